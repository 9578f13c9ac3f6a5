"""``twinhdr bench --model``: what a network costs on this machine, and how near the truth it comes.

Several models are measured interleaved, call by call, so that what else the machine does meets all alike:
their ratio holds where the milliseconds do not. Encoding a pair and fusing a frame are timed apart. From them
follow the two ways in which the recorder runs a network: with the pair brought onto every frame
(``fuse.alignment`` on; each frame pays for flow, pair and fusion), and with the pair as it is (``off``; the
first frame of a group pays for the pair).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from edge.bench.scene import Bracket
from edge.engines import Engine, Light, mean_gamma
from edge.frames import FloatImage
from edge.judge.quality import psnr_linear, psnr_mu
from edge.register.align import Aligned, Aligner, Effort

T = TypeVar("T")

WARM_UP = 1
"""Groups."""
MIB = 1 << 20
EQUAL_DB = 120.0
"""Written for equal pictures: JSON has no infinity."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds: median, 95th and 99th percentile, longest."""

    p50: float
    p95: float
    p99: float
    max: float

    @staticmethod
    def of(values_ms: Sequence[float]) -> Spread:
        """Of at least one value."""
        p50, p95, p99 = (float(np.percentile(values_ms, share)) for share in (50, 95, 99))
        return Spread(*(round(value, 3) for value in (p50, p95, p99, max(values_ms))))


@dataclass(frozen=True, slots=True)
class Live:
    """Frames as the recorder would fuse them: latency, frames per second, deadlines missed of ``frames``."""

    latency_ms: Spread
    throughput_fps: float
    missed: int
    frames: int

    @staticmethod
    def of(values_ms: Sequence[float], period_ms: float) -> Live:
        """Of at least one latency; what takes longer than ``period_ms`` is missed."""
        missed = sum(value > period_ms for value in values_ms)
        rate = 1000.0 * len(values_ms) / sum(values_ms)
        return Live(Spread.of(values_ms), round(rate, 2), missed, len(values_ms))


@dataclass(frozen=True, slots=True)
class ModelResult:
    """One model's figures.

    ``pair_share``: encode_pair's share of encode_pair plus fuse (medians); ``saved_by_sharing``: what
    encoding once per group saves of that. ``memory_mib``: what opening and running it added to the process's
    resident memory. PSNR in dB against the scene's truth, after alignment.
    """

    name: str
    runtime: str
    encode_pair_ms: Spread
    fuse_ms: Spread
    aligned: Live
    shared: Live
    pair_share: float
    saved_by_sharing: float
    memory_mib: float
    psnr_mu_db: float
    psnr_l_db: float


@dataclass(frozen=True, slots=True)
class ModelBench:
    """All models of one run. ``group``: frames that share a pair; ``fps``: the rate of the deadlines.

    ``ratio``: each model's time per frame of a shared pair over the first model's, medians. ``agreement_db``:
    PSNR-mu of each model's picture against the first one's.
    """

    width: int
    height: int
    group: int
    fps: float
    align_ms: Spread
    reference_psnr_mu_db: float
    models: tuple[ModelResult, ...]
    ratio: tuple[float, ...]
    agreement_db: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Opened:
    """A model under test, and the memory that it took so far."""

    engine: Engine
    runtime: str
    memory_mib: float


@dataclass(slots=True)
class _Times:
    encode: list[float] = field(default_factory=list)
    fuse: list[float] = field(default_factory=list)
    aligned: list[float] = field(default_factory=list)
    shared: list[float] = field(default_factory=list)


def resident_mib() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    import resource

    return pages * resource.getpagesize() / MIB


def opened(open_one: Callable[[], Engine], runtime: Callable[[Engine], str], bracket: Bracket) -> Opened:
    """Open a model, run it once, and take note of what that did to the process's memory."""
    before = resident_mib()
    engine = open_one()
    _picture(engine, bracket.low, bracket.reference, bracket.high, bracket.light)
    return Opened(engine, runtime(engine), round(max(0.0, resident_mib() - before), 1))


def bench_models(
    models: Sequence[Opened],
    bracket: Bracket,
    frames: int,
    group: int,
    fps: float,
    now_ns: Callable[[], int],
    effort: Effort = "fine",
) -> ModelBench:
    """Fuse ``frames`` frames (rounded up to whole groups) on every model, taking turns."""
    aligner, align_ms = Aligner(effort), list[float]()
    times = [_Times() for _ in models]

    mean = mean_gamma(bracket.reference)

    def timed(work: Callable[..., T], *arguments: Any) -> tuple[T, float]:
        begin = now_ns()
        answer = work(*arguments)
        return answer, (now_ns() - begin) / 1e6

    for number in range(WARM_UP + math.ceil(frames / group)):
        if number == WARM_UP:
            times, align_ms = [_Times() for _ in models], []
        pair, spent = timed(_aligned, aligner, bracket)
        align_ms.append(spent)
        caches = []
        for model, own in zip(models, times, strict=True):
            cache, ms = timed(model.engine.encode_pair, pair.low, pair.high, pair.light, mean)
            caches.append(cache)
            own.encode.append(ms)
        for frame in range(group):
            for model, own, cache in zip(models, times, caches, strict=True):
                _, ms = timed(model.engine.fuse, cache, bracket.reference)
                own.fuse.append(ms)
                own.aligned.append(spent + own.encode[-1] + ms)
                own.shared.append(ms + (own.encode[-1] if frame == 0 else 0.0))
    aligned = _aligned(aligner, bracket)
    pictures = [
        _picture(model.engine, aligned.low, bracket.reference, aligned.high, aligned.light)
        for model in models
    ]
    full_scale = aligned.light[1] / aligned.light[0]
    results = tuple(
        _result(model, own, picture, bracket, full_scale, group, 1000.0 / fps)
        for model, own, picture in zip(models, times, pictures, strict=True)
    )
    per_frame = [r.fuse_ms.p50 + r.encode_pair_ms.p50 / group for r in results]
    height, width = bracket.reference.shape[:2]
    return ModelBench(
        width,
        height,
        group,
        fps,
        Spread.of(align_ms),
        _db(psnr_mu(bracket.reference, bracket.truth, full_scale)),
        results,
        tuple(round(each / per_frame[0], 4) for each in per_frame),
        tuple(_db(psnr_mu(picture, pictures[0], full_scale)) for picture in pictures),
    )


def _aligned(aligner: Aligner, bracket: Bracket) -> Aligned:
    return aligner.align(bracket.reference, bracket.low, bracket.high, bracket.light)


def _picture(
    engine: Engine, low: FloatImage, reference: FloatImage, high: FloatImage, light: Light
) -> FloatImage:
    return engine.fuse(engine.encode_pair(low, high, light, mean_gamma(reference)), reference)


def _result(
    model: Opened,
    times: _Times,
    picture: FloatImage,
    bracket: Bracket,
    full_scale: float,
    group: int,
    period_ms: float,
) -> ModelResult:
    encode, fuse = Spread.of(times.encode), Spread.of(times.fuse)
    share = encode.p50 / (encode.p50 + fuse.p50)
    return ModelResult(
        name=model.engine.name,
        runtime=model.runtime,
        encode_pair_ms=encode,
        fuse_ms=fuse,
        aligned=Live.of(times.aligned, period_ms),
        shared=Live.of(times.shared, period_ms),
        pair_share=round(share, 4),
        saved_by_sharing=round(share * (1 - 1 / group), 4),
        memory_mib=model.memory_mib,
        psnr_mu_db=_db(psnr_mu(picture, bracket.truth, full_scale)),
        psnr_l_db=_db(psnr_linear(picture, bracket.truth, full_scale)),
    )


def _db(value: float) -> float:
    return round(min(value, EQUAL_DB), 2)
