"""Prepared groups to radiance, on the rung the ladder chose.

What depends on the low/high pair alone is computed when the pair changes and reused for every reference frame
that shares it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edge.engines import Engine, PairCache, mean_gamma
from edge.frames import FloatImage, HdrFrame, Rung
from edge.merge import MergePair, merge, prepare_pair
from edge.prepare import Prepared


class Fuser:
    """Fuses groups on any rung. One thread. ``engines`` maps MODEL and SMALL_MODEL to what runs them."""

    def __init__(self, engines: Mapping[Rung, Engine]) -> None:
        self._engines = dict(engines)
        self._pairs: dict[Rung, tuple[tuple[int, int], PairCache]] = {}
        self._merge_pair: tuple[tuple[int, int], MergePair] | None = None

    def model_name(self, rung: Rung) -> str:
        """What the sidecar calls the rung: the model's name, ``merge`` or ``reference``."""
        engine = self._engines.get(rung)
        return engine.name if engine is not None else rung.name.lower()

    def fuse(self, prepared: Prepared, rung: Rung) -> HdrFrame:
        """One HDR frame. Without a pair the reference stands alone, whatever rung was asked for."""
        group = prepared.group
        if group.pair_id is None:
            rung = Rung.REFERENCE
        alone = rung is Rung.REFERENCE
        return HdrFrame(
            seq=group.reference.seq,
            t_ns=group.t_ns,
            radiance=self._radiance(prepared, rung),
            rung=rung,
            model=self.model_name(rung),
            low_seq=None if alone or group.low is None else group.low.seq,
            high_seq=None if alone or group.high is None else group.high.seq,
            low_age_ns=None if alone else group.low_age_ns,
            high_age_ns=None if alone else group.high_age_ns,
        )

    def _radiance(self, prepared: Prepared, rung: Rung) -> FloatImage:
        if rung is Rung.REFERENCE:
            return prepared.reference
        if rung is Rung.MERGE:
            return merge(self._merge_pair_of(prepared), prepared.reference)
        engine = self._engines[rung]
        return engine.fuse(self._pair_of(rung, engine, prepared), prepared.reference)

    def _merge_pair_of(self, prepared: Prepared) -> MergePair:
        pair_id, low, high, light = _pair(prepared)
        if self._merge_pair is None or self._merge_pair[0] != pair_id:
            self._merge_pair = (pair_id, prepare_pair(low, high, light))
        return self._merge_pair[1]

    def _pair_of(self, rung: Rung, engine: Engine, prepared: Prepared) -> PairCache:
        pair_id, low, high, light = _pair(prepared)
        kept = self._pairs.get(rung)
        if kept is None or kept[0] != pair_id:
            kept = (pair_id, engine.encode_pair(low, high, light, mean_gamma(prepared.reference)))
            self._pairs[rung] = kept
        return kept[1]


def _pair(
    prepared: Prepared,
) -> tuple[tuple[int, int], FloatImage, FloatImage, tuple[float, float, float]]:
    pair_id, light = prepared.group.pair_id, prepared.light
    if pair_id is None or light is None or prepared.low is None or prepared.high is None:
        raise ValueError("this group has no pair; only the reference rung can take it")
    return pair_id, prepared.low, prepared.high, light


def probe_engine(engine: Engine, height: int, width: int) -> float:
    """Seconds that one fused frame takes on this machine, a quarter of a pair included (groups of four)."""
    import time

    grey: FloatImage = np.full((height, width, 3), 0.2, np.float32)
    engine.fuse(engine.encode_pair(grey * 0.25, np.clip(grey * 4, 0, 1), (0.25, 1.0, 4.0), 0.48), grey)
    begin = time.perf_counter()
    cache = engine.encode_pair(grey * 0.25, np.clip(grey * 4, 0, 1), (0.25, 1.0, 4.0), 0.48)
    middle = time.perf_counter()
    engine.fuse(cache, grey)
    return (middle - begin) / 4 + (time.perf_counter() - middle)
