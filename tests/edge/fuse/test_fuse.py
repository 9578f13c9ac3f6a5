"""One frame on one rung: the unit is the same on all, and what a pair costs is paid once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.develop.prepare import Prepared
from edge.engines import Engine, EngineError, Light, PairCache
from edge.engines.onnx import OnnxEngine
from edge.frames import Exposure, FloatImage, Frame, Group, Rung
from edge.fuse.fuser import Fuser, probe_engine
from edge.register.align import Aligner
from tests.edge.streams import HIGH, LOW, REFERENCE, frame
from tests.edge.tiny_model import write_tiny_model

LOW_FRAME, HIGH_FRAME = frame("secondary", 0), frame("secondary", 1)


class Counting:
    """A real engine and how often its parts ran; fails from then on when told to."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.multiple = engine.name, engine.multiple
        self.pairs = self.frames = 0
        self.error: Exception | None = None
        self.spoil = False

    def encode_pair(
        self,
        low: FloatImage,
        high: FloatImage,
        light: Light,
        mean_reference: float,
        mean_pair: tuple[float, float] | None = None,
    ) -> PairCache:
        self.pairs += 1
        return self._engine.encode_pair(low, high, light, mean_reference, mean_pair)

    def fuse(self, cache: PairCache, reference: FloatImage) -> FloatImage:
        self.frames += 1
        if self.error is not None:
            raise self.error
        out = self._engine.fuse(cache, reference)
        if self.spoil:
            out[3, 4, 1] = np.nan
        return out


@pytest.fixture
def engine(tmp_path: Path) -> Counting:
    return Counting(OnnxEngine(write_tiny_model(tmp_path / "eafnet-tiny.onnx"), threads=1))


def prepared(
    level: float = 0.5,
    *,
    low: Frame | None = LOW_FRAME,
    high: Frame | None = HIGH_FRAME,
    exposure: Exposure = REFERENCE,
    seq: int = 0,
) -> Prepared:
    """A grey wall of radiance ``level`` (unit: what saturates 8 ms)."""

    def seen(by: Exposure) -> FloatImage:
        value = min(1.0, level * by.light / REFERENCE.light)
        return np.full((32, 32, 3), value, np.float32)

    group = Group(
        10**9,
        frame("reference", seq, exposure),
        low,
        high,
        None if low is None else 1,
        None if high is None else -1,
    )
    return Prepared(
        group,
        seen(exposure),
        None if low is None else seen(low.exposure),
        None if high is None else seen(high.exposure),
    )


def test_every_rung_answers_in_the_same_unit(engine: Counting) -> None:
    """Else a change of rung is a flash."""
    for level in (0.05, 0.2, 0.7):
        for rung in (Rung.MERGE, Rung.REFERENCE):
            radiance = Fuser({}).fuse(prepared(level), rung).radiance
            assert radiance.mean() == pytest.approx(level, rel=1e-4)
    brighter = Fuser({}).fuse(prepared(3.0), Rung.MERGE).radiance
    assert brighter.mean() == pytest.approx(3.0, rel=1e-3), "clipped in the reference, not in the low frame"


def test_a_pair_is_computed_once_for_all_frames_that_share_it(engine: Counting) -> None:
    """It is a quarter to a third of the network."""
    fuser = Fuser({Rung.MODEL: engine})
    for seq in range(4):
        fuser.fuse(prepared(seq=seq), Rung.MODEL)
    assert (engine.pairs, engine.frames) == (1, 4)
    fuser.fuse(prepared(high=frame("secondary", 3)), Rung.MODEL)
    fuser.fuse(prepared(), Rung.MERGE)
    assert engine.pairs == 2


def test_a_restarted_camera_does_not_get_the_pair_of_its_last_life(engine: Counting) -> None:
    """Its numbers begin anew; the old pair under the same numbers is another scene."""
    fuser = Fuser({Rung.MODEL: engine})
    fuser.fuse(prepared(0.2), Rung.MODEL)
    before = fuser.fuse(prepared(0.2), Rung.MERGE).radiance
    reborn = prepared(0.6, low=frame("secondary", 0), high=frame("secondary", 1))
    fuser.fuse(reborn, Rung.MODEL)
    assert engine.pairs == 2
    assert fuser.fuse(reborn, Rung.MERGE).radiance.mean() > 2 * before.mean()


def test_a_new_reference_exposure_is_a_new_unit(engine: Counting) -> None:
    """Auto exposure changes the unit in the middle of a pair; kept radiance would flash."""
    fuser = Fuser({Rung.MODEL: engine})
    fuser.fuse(prepared(3.0), Rung.MODEL)
    fuser.fuse(prepared(3.0), Rung.MERGE)
    darker = prepared(3.0, exposure=Exposure(4_000.0))
    fuser.fuse(darker, Rung.MODEL)
    assert engine.pairs == 2
    assert fuser.fuse(darker, Rung.MERGE).radiance.mean() == pytest.approx(1.5, rel=1e-3)


@pytest.mark.parametrize("missing", ["low", "high", "both"])
def test_without_a_pair_the_reference_stands_alone(engine: Counting, missing: str) -> None:
    """One dead exposure costs the rung, never the frame; the sidecar must not name what was not used."""
    kept = {
        "low": None if missing in ("low", "both") else LOW_FRAME,
        "high": None if missing in ("high", "both") else HIGH_FRAME,
    }
    hdr = Fuser({Rung.MODEL: engine}).fuse(prepared(**kept), Rung.MODEL)
    assert (hdr.rung, hdr.model) == (Rung.REFERENCE, "reference")
    assert (hdr.low_seq, hdr.high_seq, hdr.low_age_ns, hdr.high_age_ns) == (None, None, None, None)
    assert engine.pairs == 0


def test_the_frame_says_what_it_was_made_from(engine: Counting) -> None:
    """Refusing later depends on it."""
    fuser = Fuser({Rung.MODEL: engine})
    hdr = fuser.fuse(prepared(seq=7), Rung.MODEL)
    assert (hdr.seq, hdr.t_ns, hdr.rung, hdr.model) == (7, 10**9, Rung.MODEL, "eafnet-tiny")
    assert (hdr.low_seq, hdr.high_seq, hdr.low_age_ns, hdr.high_age_ns) == (0, 1, 1, -1)
    assert fuser.model_name(Rung.MERGE) == "merge"


@pytest.mark.parametrize(
    "error",
    [EngineError("file: gone"), RuntimeError("CUDA error: out of memory"), KeyError("x"), MemoryError()],
)
def test_whatever_a_network_raises_has_one_name(engine: Counting, error: Exception) -> None:
    """The line can only step down for an error it knows."""
    engine.error = error
    with pytest.raises(EngineError):
        Fuser({Rung.MODEL: engine}).fuse(prepared(), Rung.MODEL)


def test_a_network_that_answers_nan_has_failed(engine: Counting) -> None:
    """FP16 that overflows gives NaN, not an error, and a black hole in the video."""
    engine.spoil = True
    with pytest.raises(EngineError, match="no picture"):
        Fuser({Rung.MODEL: engine}).fuse(prepared(), Rung.MODEL)


def test_a_pair_that_is_not_there_is_a_bug_of_the_caller(engine: Counting) -> None:
    """Images and frames of a group must not contradict each other."""
    broken = replace(prepared(), low=None)
    with pytest.raises(ValueError, match="no pair"):
        Fuser({Rung.MODEL: engine}).fuse(broken, Rung.MODEL)


def test_an_aligned_pair_is_made_for_each_frame_and_half_a_pair_is_enough(engine: Counting) -> None:
    """What moves is elsewhere in every reference frame; a lost low frame costs highlights only."""
    fuser = Fuser({Rung.MODEL: engine}, Aligner("fast"))
    for seq in range(3):
        assert fuser.fuse(prepared(seq=seq), Rung.MODEL).rung is Rung.MODEL
    assert (engine.pairs, engine.frames) == (3, 3)
    half = prepared(0.1, low=None)
    assert fuser.possible(half.group, Rung.MODEL)
    fused = fuser.fuse(half, Rung.MODEL)
    assert (fused.rung, fused.low_seq, fused.high_seq) == (Rung.MODEL, None, 1)
    assert half.light == pytest.approx((0.25, 1.0, 4.0))
    assert fuser.fuse(half, Rung.MERGE).rung is Rung.REFERENCE
    alone = prepared(low=None, high=None)
    assert alone.light is None
    assert fuser.fuse(alone, Rung.MODEL).rung is Rung.REFERENCE
    assert not Fuser({Rung.MODEL: engine}).possible(half.group, Rung.MODEL)


def test_the_probe_runs_the_real_thing(engine: Counting) -> None:
    """The ladder starts on what it measured."""
    assert 0 < probe_engine(engine, 50, 70) < 10
    assert (engine.pairs, engine.frames) == (2, 2)
    assert 0 < probe_engine(engine, 50, 70, Aligner("fast")) < 10
    assert LOW.light < REFERENCE.light < HIGH.light
