"""Prepared groups to radiance, on the rung the ladder chose.

For a network the pair is brought onto each reference frame first (``edge.register.align``). Without that step
what depends on the low/high pair alone is computed when the pair changes and reused for every reference frame
that shares it, as the merge's part always is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from edge.develop.prepare import Prepared
from edge.engines import Engine, EngineError, Light, PairCache, VideoEngine, mean_gamma
from edge.frames import FloatImage, Frame, Group, HdrFrame, Rung
from edge.fuse.merge import MergePair, Merger
from edge.register.align import Aligner
from edge.tone.tonemap import HdrFormat, YuvImage


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """The very frames and light that something was computed from.

    Numbers would not do: they begin anew when a camera restarts, and the light is relative to the reference.
    """

    low: Frame
    high: Frame
    light: Light

    def is_that_of(self, other: _Pair) -> bool:
        return self.low is other.low and self.high is other.high and self.light == other.light


class Fuser:
    """Fuses groups on any rung. One thread. ``engines`` maps MODEL and SMALL_MODEL to what runs them.

    ``aligner`` None leaves the pair where the calibration puts it. ``video`` is the signal that frames are
    brought into by engines that can (VideoEngine).
    """

    def __init__(
        self,
        engines: Mapping[Rung, Engine],
        aligner: Aligner | None = None,
        video: HdrFormat | None = None,
    ) -> None:
        self._engines = dict(engines)
        self._aligner = aligner
        self._video = video
        self._pairs: dict[Rung, tuple[_Pair, PairCache]] = {}
        self._merger = Merger()
        self._merge_pair: tuple[_Pair, MergePair] | None = None

    def install(self, rung: Rung, engine: Engine) -> None:
        """``engine`` takes ``rung`` from here on."""
        self._engines[rung] = engine
        self._pairs.pop(rung, None)

    def model_name(self, rung: Rung) -> str:
        """What the sidecar calls the rung: the model's name, ``merge`` or ``reference``."""
        engine = self._engines.get(rung)
        return engine.name if engine is not None else rung.name.lower()

    def possible(self, group: Group, rung: Rung) -> bool:
        """Whether ``rung`` can take ``group``: the merge wants low and high, an aligned network one."""
        if group.pair_id is not None or rung is Rung.REFERENCE:
            return True
        half = group.low is not None or group.high is not None
        return half and self._aligner is not None and rung in self._engines

    def fuse(self, prepared: Prepared, rung: Rung) -> HdrFrame:
        """One HDR frame. Where ``rung`` is not ``possible`` the reference stands alone.

        Raises EngineError where the network of ``rung`` fails; every other rung can still take the group.
        """
        group = prepared.group
        if not self.possible(group, rung):
            rung = Rung.REFERENCE
        alone = rung is Rung.REFERENCE
        radiance, video = self._radiance(prepared, rung)
        return HdrFrame(
            seq=group.reference.seq,
            t_ns=group.t_ns,
            radiance=radiance,
            rung=rung,
            model=self.model_name(rung),
            low_seq=None if alone or group.low is None else group.low.seq,
            high_seq=None if alone or group.high is None else group.high.seq,
            low_age_ns=None if alone else group.low_age_ns,
            high_age_ns=None if alone else group.high_age_ns,
            video=video,
        )

    def _radiance(self, prepared: Prepared, rung: Rung) -> tuple[FloatImage, YuvImage | None]:
        if rung is Rung.REFERENCE:
            return prepared.reference, None
        if rung is Rung.MERGE:
            pair, low, high = _pair(prepared)
            if self._merge_pair is None or not self._merge_pair[0].is_that_of(pair):
                self._merge_pair = (pair, self._merger.prepare_pair(low, high, pair.light))
            return self._merger.merge(self._merge_pair[1], prepared.reference), None
        engine = self._engines[rung]
        fixed = _pair(prepared) if self._aligner is None else None
        try:
            cache = (
                self._moved(prepared, engine) if fixed is None else self._kept(prepared, rung, engine, *fixed)
            )
            if self._video is not None and isinstance(engine, VideoEngine):
                radiance, video = engine.fuse_video(cache, prepared.reference, self._video)
            else:
                radiance, video = engine.fuse(cache, prepared.reference), None
        except EngineError:
            raise
        except Exception as error:
            # Whatever a runtime raises costs its rung, not the recording.
            raise EngineError(f"{engine.name}: {type(error).__name__}: {error}") from error
        if radiance.shape != prepared.reference.shape or not math.isfinite(sum(cv2.sumElems(radiance))):
            raise EngineError(f"{engine.name}: the network answers with values that are no picture")
        return radiance, video

    def _moved(self, prepared: Prepared, engine: Engine) -> PairCache:
        """The pair brought onto this very reference frame."""
        light = prepared.light
        assert self._aligner is not None
        assert light is not None
        aligned = self._aligner.align(prepared.reference, prepared.low, prepared.high, light)
        return engine.encode_pair(aligned.low, aligned.high, aligned.light, mean_gamma(prepared.reference))

    def _kept(
        self, prepared: Prepared, rung: Rung, engine: Engine, pair: _Pair, low: FloatImage, high: FloatImage
    ) -> PairCache:
        """The pair as it is; encoded once for all reference frames that share it."""
        kept = self._pairs.get(rung)
        if kept is None or not kept[0].is_that_of(pair):
            mean = mean_gamma(prepared.reference)
            kept = self._pairs[rung] = (pair, engine.encode_pair(low, high, pair.light, mean))
        return kept[1]


def _pair(prepared: Prepared) -> tuple[_Pair, FloatImage, FloatImage]:
    group, light = prepared.group, prepared.light
    if (
        group.low is None
        or group.high is None
        or light is None
        or prepared.low is None
        or prepared.high is None
    ):
        raise ValueError("this group has no pair; only the reference rung can take it")
    return _Pair(group.low, group.high, light), prepared.low, prepared.high


def probe_engine(engine: Engine, height: int, width: int, aligner: Aligner | None = None) -> float:
    """Seconds that one fused frame takes on this machine.

    Without ``aligner`` a quarter of a pair is included (groups of four), with it a whole one and the flow.
    """
    import time

    grey: FloatImage = np.full((height, width, 3), 0.2, np.float32)
    engine.fuse(engine.encode_pair(grey * 0.25, np.clip(grey * 4, 0, 1), (0.25, 1.0, 4.0), 0.48), grey)
    begin = time.perf_counter()
    low, high = grey * 0.25, np.clip(grey * 4, 0, 1)
    if aligner is not None:
        aligner.align(grey, low, high, (0.25, 1.0, 4.0))
    cache = engine.encode_pair(low, high, (0.25, 1.0, 4.0), 0.48)
    middle = time.perf_counter()
    engine.fuse(cache, grey)
    shared_by = 4 if aligner is None else 1
    return (middle - begin) / shared_by + (time.perf_counter() - middle)
