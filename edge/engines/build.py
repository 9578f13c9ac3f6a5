"""Builds an engine on the machine that will run it, proves it, and only then lets it replace the old one.

Needs onnx, numpy and TensorRT, no PyTorch. How a model file becomes the FP16 graph of one size is the
caller's (``prepare``), because that knowledge lives with the export.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edge.engines import Engine, EngineError
from edge.engines.framing import framed, in_two
from edge.engines.gpu import BuildSettings, Built, GpuError, Platform, Progress
from edge.engines.plan import AGREEMENT_DB, TONE_CODES, Cut, Identity, Proof
from edge.engines.prove import Golden, agreement_db, check_goldens, latencies_ms, tone_codes
from edge.engines.store import EngineStore, write_whole
from edge.engines.tensorrt import TensorrtEngine
from edge.engines.tone import toned
from edge.errors import first_line

if TYPE_CHECKING:
    from onnx import ModelProto

log = logging.getLogger(__name__)

LEAST_FREE_BYTES = 256 << 20
MOST_WORKSPACE_BYTES = 4 << 30
LATENCY_RUNS = 100

Prepare = Callable[["ModelProto", int, int], "ModelProto"]
"""(model, height, width) to a static FP16 graph with float32 inputs and outputs. Raises ValueError."""


@dataclass(frozen=True, slots=True)
class BuildJob:
    """Which engine: a model file, the pictures' size, and whether pairs are encoded apart from frames."""

    model: Path
    width: int
    height: int
    cut: Cut
    settings: BuildSettings = field(default_factory=BuildSettings)

    @property
    def name(self) -> str:
        """What the sidecar calls the model."""
        return self.model.stem


@dataclass(frozen=True, slots=True)
class Tools:
    """What a build works with. Clocks are arguments: ``now_ns`` counts, ``date`` is UTC for people."""

    platform: Platform
    store: EngineStore
    prepare: Prepare
    exact: Callable[[Path], Engine]
    """The model in FP32: what the engine has to agree with."""
    goldens: Callable[[int, int], Sequence[Golden]]
    """Scenes for (height, width)."""
    now_ns: Callable[[], int]
    date: str
    software: str
    latency_runs: int = LATENCY_RUNS


def identity(model: Path, width: int, height: int, cut: Cut, platform: Platform, settings: str) -> Identity:
    """What an engine of ``model`` for this machine is known by. Raises EngineError."""
    try:
        digest = hashlib.sha256(model.read_bytes()).hexdigest()
    except OSError as error:
        raise EngineError(f"{model}: cannot be read ({error.strerror})") from error
    facts = platform.facts
    return Identity(
        onnx_sha256=digest,
        tensorrt=platform.tensorrt,
        gpu=facts.name,
        sm=facts.sm,
        cuda=facts.cuda,
        release=facts.release,
        width=width,
        height=height,
        cut=cut,
        settings=settings,
    )


def workspace_bytes(free_bytes: int) -> int:
    """Half of what is free, at most 4 GiB: kernels that need more are no faster on small GPUs, and on a
    Jetson the same memory holds the parser, the weights and everybody else.

    Raises GpuError where it is too little.
    """
    if free_bytes < LEAST_FREE_BYTES:
        raise GpuError(
            f"{free_bytes / 2**20:.0f} MiB of GPU memory are free, a build needs {LEAST_FREE_BYTES >> 20}; "
            "close other programs (on the device: sudo systemctl stop twinhdr)"
        )
    return min(free_bytes // 2, MOST_WORKSPACE_BYTES)


def build(job: BuildJob, tools: Tools, progress: Progress, *, force: bool = False) -> tuple[Proof, bool]:
    """The proof of the engine of ``job``, and whether it had to be built.

    Raises EngineError where it cannot be built or does not compute the same picture; what was there before is
    then in use as before.
    """
    here = identity(job.model, job.width, job.height, job.cut, tools.platform, job.settings.text())
    if not force:
        try:
            return tools.store.load(job.name, here).proof, False
        except EngineError:
            pass  # that is why it is built
    with tools.store.writing():
        try:
            return _build(job, here, tools, progress), True
        except GpuError as error:
            raise EngineError(f"{job.model}: no engine for {here.title}: {error}") from error


def _build(job: BuildJob, here: Identity, tools: Tools, progress: Progress) -> Proof:
    progress("preparing the graph", 0.0)
    graphs, multiple = _graphs(job, tools.prepare)
    gpu = tools.platform.gpu()
    with gpu.active():
        free = gpu.free_bytes()
    plans = _plans(graphs, job.settings, workspace_bytes(free), tools, progress)
    engine = TensorrtEngine(job.name, plans, gpu, f"{job.name} for {here.title}", multiple=multiple)
    proof = _prove(engine, job, here, plans, tools, progress, free)
    tools.store.commit(proof, plans)
    return proof


def _graphs(job: BuildJob, prepare: Prepare) -> tuple[list[bytes], int]:
    """The graphs to build, serialized, and the network's multiple."""
    import onnx

    try:
        whole = onnx.load(str(job.model))
        facts = {entry.key: entry.value for entry in whole.metadata_props}
        graph = framed(prepare(whole, job.height, job.width), job.height, job.width)
        cut = [name for name in facts.get("twinhdr.pair_cache", "").split(",") if name]
        if job.cut == "pair" and not cut:
            raise ValueError("it names no tensors to keep per pair (twinhdr.pair_cache); build it whole")
        *first, last = in_two(graph, cut) if job.cut == "pair" else (graph,)
        parts = [*first, toned(last, job.height, job.width)]
    except Exception as error:  # protobuf and ONNX raise what they like over a damaged file
        raise EngineError(f"{job.model}: cannot be prepared for TensorRT ({first_line(error)})") from error
    return [part.SerializeToString() for part in parts], int(facts.get("twinhdr.multiple", "1"))


def _plans(
    graphs: Sequence[bytes], settings: BuildSettings, workspace: int, tools: Tools, progress: Progress
) -> list[bytes]:
    builder, timings = tools.platform.builder(), Timings(tools.store.folder, tools.platform)
    plans = []
    for number, graph in enumerate(graphs, 1):
        of = f" ({number} of {len(graphs)})" if len(graphs) > 1 else ""

        def tell(phase: str, share: float, of: str = of) -> None:
            progress(f"building{of}: {phase}", share)

        built: Built = builder.build(graph, settings, workspace, timings.read(), tell)
        timings.write(built.timings)
        plans.append(built.plan)
    return plans


def _prove(
    engine: TensorrtEngine,
    job: BuildJob,
    here: Identity,
    plans: Sequence[bytes],
    tools: Tools,
    progress: Progress,
    free_before: int,
) -> Proof:
    goldens = tools.goldens(job.height, job.width)
    check_goldens(goldens, job.height, job.width)
    agreements: dict[str, float] = {}
    for name, db in agreement_db(engine, tools.exact(job.model), goldens):
        progress(f"comparing with FP32: {name}, {db:.1f} dB", len(agreements) / len(goldens))
        agreements[name] = round(db, 2)
        if db < AGREEMENT_DB:
            raise EngineError(
                f"{job.model}: the engine for {here.title} agrees with FP32 to {db:.1f} dB on {name}, and "
                f"{AGREEMENT_DB:g} dB are needed; it is not used, what was there before stays"
            )
    codes = tone_codes(engine, goldens[-1])
    if codes > TONE_CODES:
        raise EngineError(
            f"{job.model}: the video planes of the engine for {here.title} are {codes} codes off the CPU's, "
            f"and {TONE_CODES} is allowed; it is not used, what was there before stays"
        )
    progress("measuring its latency", 0.0)
    latency = latencies_ms(engine, goldens[0], tools.latency_runs, tools.now_ns)
    return Proof(
        multiple=engine.multiple,
        model=job.name,
        key=here.key,
        identity=asdict(here),
        parts=tools.store.part_files(job.name, here, plans),
        agreement_db=agreements,
        tone_codes=codes,
        latency_ms=latency,
        memory_bytes=_memory(engine, plans, free_before),
        software={"twinhdr": tools.software, "tensorrt": tools.platform.tensorrt},
        built=tools.date,
    )


def _memory(engine: TensorrtEngine, plans: Sequence[bytes], free_before: int) -> dict[str, int]:
    """``device``: what became less free, by the engine and by whoever else works there now."""
    with engine.gpu.active():
        taken = free_before - engine.gpu.free_bytes()
    return {
        "plans": sum(len(plan) for plan in plans),
        "activations": engine.scratch_bytes,
        "buffers": engine.buffer_bytes,
        "device": max(taken, 0),
    }


class Timings:
    """TensorRT's timing cache on disk, with a checksum: it is an aid, and damaged it is an empty one."""

    def __init__(self, folder: Path, platform: Platform) -> None:
        facts = platform.facts
        name = f"{platform.tensorrt}-{facts.name}-{facts.sm}-{facts.release}"
        self.path = folder / f"timings-{hashlib.sha256(name.encode()).hexdigest()[:16]}.bin"

    def read(self) -> bytes:
        """The timings, empty where there are none that can be believed."""
        try:
            data = self.path.read_bytes()
        except OSError:
            return b""
        digest, timings = data[:32], data[32:]
        return timings if hashlib.sha256(timings).digest() == digest else b""

    def write(self, timings: bytes) -> None:
        """Keep ``timings`` for the next build, if the disk has room for them."""
        if not timings:
            return
        try:
            write_whole(self.path, hashlib.sha256(timings).digest() + timings)
        except OSError as error:
            log.warning("%s: cannot be written (%s); the next build takes longer", self.path, error.strerror)
