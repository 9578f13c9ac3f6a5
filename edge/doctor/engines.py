"""Doctor's checks of the GPU's networks: driver, TensorRT, and each engine that is configured."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from edge.config.layers import Config
from edge.doctor.findings import Finding
from edge.engines import EngineError, model_path
from edge.engines.build import identity
from edge.engines.choice import Wanted, wanted_engines
from edge.engines.driver import DriverProbe, probe_driver
from edge.engines.gpu import Platform
from edge.engines.plan import ANY, Proof
from edge.engines.platform import open_platform
from edge.engines.store import EngineStore, engine_folder

BUILD = "twinhdr-export engine"


def check_engines(config: Config) -> Iterator[Finding]:
    """What runs on the GPU, and what is in its way. Without a GPU that is no fault."""
    yield from engine_findings(config, probe_driver(), open_platform, EngineStore(engine_folder()))


def engine_findings(
    config: Config, driver: DriverProbe, open_here: Callable[[], Platform], store: EngineStore
) -> Iterator[Finding]:
    """One finding for the driver, one for TensorRT and one per engine."""
    wanted = wanted_engines(config.fuse, config.rig)
    if driver.gpu is None:
        if driver.library:
            yield Finding("driver", "warn", driver.reason, "the NVIDIA driver is installed and does not work")
        for engine in wanted:
            if path := _existing(store, engine):
                advice = "the network runs on the CPU until the driver is back"
                yield Finding(f"engine {engine.model}", "warn", f"{path} cannot run: {driver.reason}", advice)
        return
    gpu = driver.gpu
    memory = "memory shared with the CPU" if gpu.unified else "memory of its own"
    release = gpu.release or "release unknown"
    yield Finding("driver", "ok", f"{gpu.name}, SM {gpu.sm}, CUDA {gpu.cuda}, {release}, {memory}")
    try:
        platform = open_here()
    except EngineError as error:
        yield Finding("tensorrt", "warn", str(error), "until then networks run on the CPU")
        return
    yield Finding("tensorrt", "ok", platform.tensorrt)
    for engine in wanted:
        yield _of_engine(engine, platform, store)


def _of_engine(engine: Wanted, platform: Platform, store: EngineStore) -> Finding:
    name, size = f"engine {engine.model}", f"{engine.width}x{engine.height}"
    try:
        path = model_path(engine.model)
        here = identity(path, engine.width, engine.height, engine.cut, platform, ANY)
        if _existing(store, engine) is None:
            return Finding(name, "warn", f"none for {size} in {store.folder}", f"build it here: {BUILD}")
        return Finding(name, "ok", described(store.load(path.stem, here).proof))
    except EngineError as error:
        return Finding(name, "warn", str(error), "until then it runs on the CPU")


def described(proof: Proof) -> str:
    """A proof in one line."""
    frame = proof.latency_ms["frame"]
    return (
        f"{proof.identity['width']}x{proof.identity['height']}, {proof.identity['cut']}: agrees with FP32 to "
        f"{proof.worst_db:.1f} dB or better on {len(proof.agreement_db)} scenes; {frame.p50:.1f} ms a frame, "
        f"p99 {frame.p99:.1f} ms; built {proof.built} for key {proof.key[:12]}"
    )


def _existing(store: EngineStore, engine: Wanted) -> str | None:
    try:
        stem = model_path(engine.model).stem
    except EngineError:
        return None
    path = store.proof_path(stem, engine.width, engine.height, engine.cut)
    return str(path) if os.path.exists(path) else None
