"""What is measured of a new engine before it may replace the old one: same picture, how fast, how large."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from edge.engines import Engine, EngineError, Light, PairCache, VideoEngine, mean_gamma
from edge.engines.plan import Latency
from edge.frames import FloatImage
from edge.judge.quality import psnr_mu
from edge.tone.tonemap import HdrFormat, HdrToneMapper

EQUAL_DB = 120.0
"""Written where two pictures are equal to the last bit, because JSON has no infinity."""
WARM_UP = 5


@dataclass(frozen=True, slots=True)
class Golden:
    """One bracket that every engine of a model must fuse alike. Linear (H, W, 3) float32 in [0, 1]."""

    name: str
    low: FloatImage
    reference: FloatImage
    high: FloatImage
    light: Light


def agreement_db(engine: Engine, exact: Engine, goldens: Iterable[Golden]) -> Iterator[tuple[str, float]]:
    """PSNR-mu in dB of ``engine`` against ``exact``, scene by scene; 1.0 saturates the low exposure.

    NaN and infinity in a picture count as 0 dB: no engine with them is accepted.
    """
    for golden in goldens:
        picture, expected = _fuse(engine, golden), _fuse(exact, golden)
        db = psnr_mu(picture, expected, golden.light[1] / golden.light[0])
        yield golden.name, min(max(db, 0.0), EQUAL_DB) if np.isfinite(picture).all() else 0.0


def tone_codes(engine: VideoEngine, golden: Golden) -> int:
    """Largest difference in 10-bit codes between the engine's video planes and the CPU's, for PQ and HLG.

    Both are given the engine's own radiance. Planes that are missing or of another size count as 1023.
    """
    mean, worst = mean_gamma(golden.reference), 0
    cache = engine.encode_pair(golden.low, golden.high, golden.light, mean)
    for fmt in (HdrFormat("pq"), HdrFormat("hlg")):
        radiance, image = engine.fuse_video(cache, golden.reference, fmt)
        expected = HdrToneMapper(fmt).convert(radiance)
        for plane in ("y", "cb", "cr"):
            there, wanted = getattr(image, plane, None), getattr(expected, plane)
            if there is None or there.shape != wanted.shape:
                return 1023
            worst = max(worst, int(np.abs(there.astype(np.int32) - wanted).max()))
    return worst


def latencies_ms(engine: Engine, golden: Golden, runs: int, now_ns: Callable[[], int]) -> dict[str, Latency]:
    """How long a pair with its frame takes, and a frame alone, after a warm-up."""
    mean = mean_gamma(golden.reference)

    def pair() -> PairCache:
        return engine.encode_pair(golden.low, golden.high, golden.light, mean, (mean, mean))

    cache = pair()
    return {
        "frame": _latency(lambda: engine.fuse(pair(), golden.reference), runs, now_ns),
        "fuse": _latency(lambda: engine.fuse(cache, golden.reference), runs, now_ns),
    }


def _latency(work: Callable[[], object], runs: int, now_ns: Callable[[], int]) -> Latency:
    spent = []
    for run in range(WARM_UP + runs):
        begin = now_ns()
        work()
        if run >= WARM_UP:
            spent.append((now_ns() - begin) / 1e6)
    p50, p95, p99, worst = (round(float(np.percentile(spent, q)), 3) for q in (50, 95, 99, 100))
    return Latency(p50=p50, p95=p95, p99=p99, worst=worst, runs=runs)


def _fuse(engine: Engine, golden: Golden) -> FloatImage:
    mean = mean_gamma(golden.reference)
    return engine.fuse(engine.encode_pair(golden.low, golden.high, golden.light, mean), golden.reference)


def check_goldens(goldens: Iterable[Golden], height: int, width: int) -> None:
    """Raises EngineError where a scene does not have the engine's size, which would prove nothing."""
    for golden in goldens:
        if golden.reference.shape != (height, width, 3):
            raise EngineError(
                f"golden scene {golden.name} is {golden.reference.shape}, not {(height, width, 3)}"
            )
