"""What is told of the clocks is true: drift, residual and start, against a simulation that knows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.config.schema import Config
from edge.daemon.run import run_daemon
from edge.frames import CameraName
from edge.session.recording import Session
from edge.timing.timebase import TimeBase
from edge.timing.truth import ClockFigures, ClockTruth
from hw.simulator.spec import SimulatorSpec
from tests.edge.streams import Arrival, arrivals, frame, rig_spec

SECONDS = 30.0
DRIFT_PPM = 3.0
"""Tolerance after 30 s: three standard errors of 60 comparisons, each some 80 us off."""
RESIDUAL_MS = 0.2
"""Tolerance: the earliest of seven arrivals is late by a seventh of the jitter (0.3 ms), give or take."""
APART_MS = 0.15


def judged(
    items: list[Arrival], shift_ns: Callable[[float], float] = lambda _t_s: 0.0
) -> tuple[ClockFigures, np.ndarray]:
    """The figures told, and by how many ms each secondary frame really was misplaced.

    ``shift_ns`` misplaces the secondary on purpose, as a wrong fit would.
    """
    base, truth, true_ns = TimeBase(), ClockTruth(), {}
    times: dict[CameraName, list[tuple[float, int]]] = {"reference": [], "secondary": []}
    for item in items:
        true_ns[item.frame.camera, item.frame.seq] = item.true_ns
        for placed, t_ns in base.stamp(item.frame):
            told_ns = t_ns
            if placed.camera == "secondary":
                told_ns += round(shift_ns(t_ns / 1e9))
            truth.observe(placed, told_ns)
            times[placed.camera].append((told_ns, true_ns[placed.camera, placed.seq]))
    reference, secondary = np.array(times["reference"]), np.array(times["secondary"])
    nearest = np.abs(reference[:, 1] - secondary[:, 1, None]).argmin(1)
    off_ms = np.abs((secondary - reference[nearest]) @ np.array([1, -1])) / 1e6
    assert base.reference.line is not None
    assert base.secondary.line is not None
    return truth.figures(base.secondary.line.tick_ratio / base.reference.line.tick_ratio), off_ms


@pytest.mark.parametrize("drift_ppm", [(12.0, -21.0), (100.0, -100.0), (0.0, 0.0)])
@pytest.mark.parametrize("ratio", [1.0, 10.0, 0.694])
def test_drift_and_residual_are_the_truth(drift_ppm: tuple[float, float], ratio: float) -> None:
    """A page that says 33 ppm and 0.1 ms is believed; people buy other cameras for such figures."""
    told, off_ms = judged(arrivals(rig_spec(drift_ppm=drift_ppm, tick_ratio=(1.0, ratio)), SECONDS))
    true_ppm = ((1 + drift_ppm[1] * 1e-6) / (1 + drift_ppm[0] * 1e-6) - 1) * 1e6
    assert told.tick_ratio == ratio
    assert told.drift_ppm == pytest.approx(true_ppm, abs=DRIFT_PPM)
    assert told.drift_error_ppm is not None
    assert 0.2 < told.drift_error_ppm < DRIFT_PPM / 2
    assert told.residuals is not None
    assert told.residuals.p50_ms == pytest.approx(np.percentile(off_ms, 50), abs=RESIDUAL_MS)
    assert told.residuals.p99_ms == pytest.approx(np.percentile(off_ms, 99), abs=RESIDUAL_MS)
    assert told.residuals.count == pytest.approx(2 * SECONDS, abs=2)


@pytest.mark.parametrize("ratio", [1.05, 0.3])
def test_an_unknown_tick_rate_and_its_drift_make_the_true_rate(ratio: float) -> None:
    """Where the ratio itself was measured, only the product means something."""
    told, _ = judged(arrivals(rig_spec(tick_ratio=(1.0, ratio)), SECONDS))
    assert told.drift_ppm is not None
    rate = told.tick_ratio * (1 + told.drift_ppm * 1e-6)
    assert rate == pytest.approx(ratio * (1 - 21e-6) / (1 + 12e-6), rel=DRIFT_PPM * 1e-6)


def test_the_drift_of_a_long_recording_is_known_to_a_tenth() -> None:
    """Over ten minutes the start and the end lie far enough apart; a minute's fit could not say so."""
    told, _ = judged(arrivals(rig_spec(fps=(10.0, 5.0)), 600.0))
    assert told.drift_ppm == pytest.approx(-33.0, abs=0.1)


@pytest.mark.parametrize("off_ms", [0.0, 2.0, 7.0])
def test_misplaced_frames_show_as_residual(off_ms: float) -> None:
    """The figure must see what it is there for: a fit that is wrong."""
    told, true_ms = judged(arrivals(rig_spec(), SECONDS), lambda t_s: off_ms * 1e6 * (t_s > 20.0))
    assert told.residuals is not None
    assert told.residuals.p99_ms == pytest.approx(np.percentile(true_ms, 99), abs=RESIDUAL_MS)
    assert told.residuals.max_ms == pytest.approx(true_ms.max(), abs=0.3)
    assert told.residuals.p50_ms < 0.2


@pytest.mark.parametrize("delay_us", [0.0, 1_500.0, -4_000.0])
def test_a_camera_that_starts_late_is_told_by_how_much(delay_us: float) -> None:
    """Two cables, one opto-isolator each: nobody sees otherwise that one camera starts 2 ms late."""
    spec = rig_spec()
    late = replace(spec.secondary, start_delay_us=max(delay_us, 0.0))
    other = replace(spec.reference, start_delay_us=max(-delay_us, 0.0))
    told, _ = judged(arrivals(replace(spec, secondary=late, reference=other), SECONDS))
    assert told.start_apart_ms == pytest.approx(delay_us / 1e3, abs=APART_MS)


def test_a_restarted_camera_begins_a_new_line_and_keeps_the_residuals() -> None:
    """Its clock starts anywhere; drawn through both runs, the drift would be nonsense."""
    items = arrivals(rig_spec(), SECONDS)
    half = len(items) // 2
    again = [
        Arrival(replace(f, t_device_ns=f.t_device_ns + 10**12, epoch=1), true_ns) if f.camera == "secondary"
        else Arrival(f, true_ns)
        for f, true_ns in items[half:]
    ]  # fmt: skip
    told, _ = judged(items[:half] + again)
    assert told.drift_ppm == pytest.approx(-33.0, abs=3 * DRIFT_PPM)
    assert told.start_apart_ms is None
    assert told.residuals is not None
    assert told.residuals.count > 1.8 * SECONDS


def test_nothing_is_told_before_it_is_known() -> None:
    """A figure made of two frames would be read as a measurement."""
    truth = ClockTruth()
    truth.observe(frame("reference", 0), 0)
    told = truth.figures(1.0)
    assert (told.drift_ppm, told.residuals, told.start_apart_ms) == (None, None, None)


def test_the_session_keeps_what_its_clocks_did(config_of: Callable[..., Config], tmp_path: Path) -> None:
    """After the recording only the sidecar can tell whether its pairs are to be trusted."""
    faults = "simulator: {faults: {secondary_clock_ratio: 10, secondary_clock_drift_ppm: 80}}\n"
    assert run_daemon(config_of(faults), 6.0, tmp_path / "session") == 0
    session = Session.open(tmp_path / "session")
    told = [record.fields for record in session.records("clocks")][-1]
    stored = SimulatorSpec.from_dict(dict(session.header.simulator or {}))
    true_ppm = stored.secondary.clock.drift_ppm - stored.reference.clock.drift_ppm
    assert told["tick_ratio"] == 10.0
    assert told["drift_ppm"] == pytest.approx(true_ppm, abs=4 * float(str(told["drift_error_ppm"])) + 1.0)
    assert told["residual_p99_ms"] < 0.5  # type: ignore[operator]
    assert told["start_apart_ms"] == pytest.approx(0.0, abs=0.3)
    assert told["start_skew_ns"] == 0
    started = next(iter(session.records("trigger"))).fields
    assert started["uncertainty_ns"] == 0
