"""When frames are taken and stamped, and with which exposure."""

from __future__ import annotations

import numpy as np
import pytest

from edge.frames import Exposure
from hw.simulator.spec import CameraSpec, DeviceClock, Faults
from hw.simulator.timeline import (
    Cycle,
    Fate,
    device_stamp,
    frame_fate,
    frame_times,
    intended_exposure,
    is_late,
    start_ns,
    used_exposure,
)

LOW, HIGH = Exposure(2_000.0), Exposure(32_000.0)


def camera(**options: object) -> CameraSpec:
    return CameraSpec(50_000.0, (LOW, HIGH), **options)  # type: ignore[arg-type]


def test_stamps_are_the_middle_of_the_exposure() -> None:
    """Pairs are chosen by mid-exposure time; a stamp at the start would be off by half a long exposure."""
    times = frame_times(camera(), 1, "secondary", 3, HIGH)
    assert times.mid_ns == 150_000_000 + 16_000_000
    assert times.end_ns == 150_000_000 + 32_000_000


def test_arrival_comes_after_readout_with_jitter_that_only_delays() -> None:
    """A clock fit trusts the earliest arrivals; early jitter would break that trust."""
    spec = camera(readout_us=8_000.0, jitter_us=300.0)
    delays = [
        (t.arrival_ns - t.end_ns) / 1e3
        for t in (frame_times(spec, 1, "secondary", seq, LOW) for seq in range(500))
    ]
    assert min(delays) >= 8_000.0
    assert np.mean(delays) == pytest.approx(8_300.0, abs=60.0)


@pytest.mark.parametrize(("drift_ppm", "ratio"), [(0.0, 1.0), (80.0, 1.0), (-80.0, 10.0), (0.0, 0.694)])
def test_a_camera_counts_its_own_period_evenly(drift_ppm: float, ratio: float) -> None:
    """Drift moves the frames, a wrong tick only the stamps; both must stay a straight line."""
    clock = DeviceClock(5_000, drift_ppm, ratio)
    spec = camera(clock=clock)
    true = [start_ns(spec, seq) for seq in (0, 1, 1_000)]
    stamps = [device_stamp(clock, t) for t in true]
    assert true[2] == pytest.approx(1_000 * 50e6 / (1 + drift_ppm * 1e-6), abs=2)
    assert stamps[0] == 5_000
    assert stamps[2] - stamps[0] == pytest.approx(1_000 * 50e6 * ratio, abs=20)


def test_start_delay_shifts_every_frame() -> None:
    """Without it no test could show that a late start is noticed."""
    assert start_ns(camera(start_delay_us=700.0), 4) == start_ns(camera(), 4) + 700_000


def test_exposures_alternate_and_a_new_cycle_starts_with_its_first() -> None:
    """A cycle out of step would label low frames high."""
    cycles = [Cycle(0, (LOW, HIGH)), Cycle(5, (Exposure(1.0), Exposure(2.0), Exposure(3.0)))]
    taken = [intended_exposure(cycles, seq).exposure_us for seq in range(9)]
    assert taken == [2_000, 32_000, 2_000, 32_000, 2_000, 1, 2, 3, 1]


def test_a_change_that_takes_hold_at_once_replaces_the_one_before() -> None:
    """Two quick changes before the next frame: the second is the wish."""
    cycles = [Cycle(0, (LOW,)), Cycle(2, (HIGH,)), Cycle(2, (Exposure(5.0),))]
    assert intended_exposure(cycles, 2).exposure_us == 5.0


def test_a_late_change_repeats_the_setting_before() -> None:
    """Cameras miss a change now and then; the frame must then say what it was really taken with."""
    spec = camera(faults=Faults(late_exposure_seqs=(3, 4)))
    taken = [used_exposure([Cycle(0, (LOW, HIGH))], spec, 1, "secondary", seq) for seq in range(6)]
    assert taken == [LOW, HIGH, LOW, LOW, LOW, HIGH]


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_shares_are_met(share: float) -> None:
    """A loss of ten per cent that loses two would make every robustness figure wrong."""
    n = 3_000
    spec = camera(faults=Faults(lost_share=share, late_exposure_share=share))
    lost = sum(frame_fate(spec, 1, "secondary", seq) is Fate.LOST for seq in range(n)) / n
    late = sum(is_late(spec, 1, "secondary", seq) for seq in range(n)) / n
    assert lost == pytest.approx(share, abs=0.02)
    assert late == pytest.approx(share, abs=0.02)


def test_lost_and_incomplete_exclude_each_other_and_silence_wins() -> None:
    """A frame has one fate."""
    both = camera(faults=Faults(lost_share=0.5, incomplete_share=0.5))
    fates = {frame_fate(both, 1, "secondary", seq) for seq in range(50)}
    assert fates == {Fate.LOST, Fate.INCOMPLETE}
    silent = camera(faults=Faults(incomplete_share=1.0, silences=((0.1, 0.2),)))
    assert [frame_fate(silent, 1, "secondary", seq) for seq in range(5)] == [
        Fate.INCOMPLETE,
        Fate.INCOMPLETE,
        Fate.LOST,
        Fate.LOST,
        Fate.INCOMPLETE,
    ]


def test_cameras_and_seeds_fail_independently() -> None:
    """Both cameras losing the same frames would be too kind a test."""
    spec = camera(faults=Faults(lost_share=0.5))
    fates = {
        (seed, name): tuple(frame_fate(spec, seed, name, seq) for seq in range(64))
        for seed in (1, 2)
        for name in ("reference", "secondary")
    }  # fmt: skip
    assert len(set(fates.values())) == 4
