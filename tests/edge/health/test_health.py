"""Health: the figures a person and a watchdog decide by. A wrong one here hides a lost recording."""

from __future__ import annotations

import itertools
import json
import logging
import math
import threading
import time
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.health.health import QUIET_NS, RATE_WINDOW_NS, SPREAD_VALUES, TRACE_BINS, Health
from edge.health.series import SERIES, UnknownSeriesError
from edge.health.snapshot import rate_hz, spread
from edge.web.metrics import markdown

S = 1_000_000_000
PERIOD_30 = 33_333_333


def test_steady_rate_does_not_depend_on_when_one_asks() -> None:
    """A camera at 30 fps must read 30.00, not flutter between 29.8 and 30.2."""
    health = Health()
    for i in range(300):
        health.tick("frames", i * PERIOD_30, "reference")
    for asked_ns in (299 * PERIOD_30, 299 * PERIOD_30 + PERIOD_30 // 2, 300 * PERIOD_30):
        assert health.snapshot(asked_ns).rates["frames"][("reference",)] == pytest.approx(30, rel=1e-6)


def test_rate_of_a_dead_camera_falls_and_ends_at_zero() -> None:
    """A camera that stopped must not keep its last rate on the page."""
    health = Health()
    for i in range(150):
        health.tick("frames", i * PERIOD_30, "secondary")
    last = 149 * PERIOD_30
    seen = [health.snapshot(last + s * S).rates["frames"][("secondary",)] for s in range(6)]
    assert seen[0] == pytest.approx(30, rel=1e-6)
    assert all(later < earlier for earlier, later in itertools.pairwise(seen))
    assert seen[5] == 0


@given(st.lists(st.integers(1, 3 * S), max_size=60), st.integers(0, 10 * S))
def test_rate_is_never_more_than_what_happened(distances: list[int], silence: int) -> None:
    """No pattern of arrivals may show more frames per second than the densest ones had."""
    stamps = np.cumsum([0, *distances]).tolist()
    rate = rate_hz(stamps, stamps[-1] + silence, RATE_WINDOW_NS)
    assert 0 <= rate <= (S / min(distances) * (1 + 1e-9) if distances else 0)


def test_losses_are_kept_apart_by_stage_and_cause() -> None:
    """One sum of losses helps nobody; stage and cause do. A cause can show zero before it happens."""
    health = Health()
    health.count("drops", "capture", "incomplete", n=3)
    health.count("drops", "pair", "age")
    health.count("drops", "pair", "age")
    health.count("drops", "encode", "ring_full", n=0)
    drops = health.snapshot(0).totals["drops"]
    assert drops == {("capture", "incomplete"): 3, ("pair", "age"): 2, ("encode", "ring_full"): 0}
    with pytest.raises(ValueError, match="only grows"):
        health.count("drops", "pair", "age", n=-1)


def test_a_misspelt_figure_is_refused_where_it_is_written() -> None:
    """Else it would be counted and never shown."""
    health = Health()
    with pytest.raises(UnknownSeriesError, match=r"ringdepth.*series\.py"):
        health.gauge("ringdepth", 1, "pair")
    with pytest.raises(UnknownSeriesError, match="labels"):
        health.count("drops", "pair")
    with pytest.raises(UnknownSeriesError, match="spread"):
        health.gauge("age_ms", 1.0, "low")
    with pytest.raises(ValueError, match="slash"):
        health.count("drops", "pair", "a/b")


@pytest.mark.parametrize("unknown", [None, math.nan, math.inf])
def test_an_unknown_figure_is_absent(unknown: float | None) -> None:
    """A temperature that cannot be read must not stay at its last value, nor break the page's JSON."""
    health = Health()
    health.gauge("cpu_celsius", 51.0)
    health.gauge("cpu_celsius", unknown)
    assert "cpu_celsius" not in health.snapshot(0).gauges


def test_spread_forgets_what_is_long_past() -> None:
    """The stage costs are those of now: a slow start must not colour the whole day."""
    health = Health()
    for value in [1000.0] * 50 + list(range(1, SPREAD_VALUES + 1)):
        health.observe("stage_ms", value, "fuse")
    got = health.snapshot(0).spreads["stage_ms"][("fuse",)]
    assert (got.p50, got.p95, got.count) == (120, 228, SPREAD_VALUES)
    assert spread([7.0]).p95 == 7
    with pytest.raises(ValueError, match="no values"):
        spread([])


def test_sparkline_keeps_the_flash_between_two_quiet_frames() -> None:
    """Flicker is one frame long: averaging or sampling would hide exactly what the gauge is for."""
    health = Health()
    for i in range(30 * 120):
        t = i * PERIOD_30
        health.trace("flicker", t, 0.02 if i == 3000 else 0.001, "fused")
    points = health.snapshot(30 * 120 * PERIOD_30).traces["flicker"][("fused",)]
    assert len(points) == TRACE_BINS
    assert max(value for _, value in points) == 0.02
    assert points[0][0] > points[-1][0] >= 0
    assert points[0][0] <= 61


def test_a_hung_stage_is_named_and_a_finished_one_is_not() -> None:
    """A watchdog that restarts on this must neither miss a hang nor bark at the end of a session."""
    health = Health()
    health.watch("fuse", 0, limit_ns=2 * S)
    health.watch("store", 0, limit_ns=2 * S)
    health.beat("fuse", 5 * S)
    health.beat("nobody", 5 * S)
    snap = health.snapshot(6 * S)
    assert snap.faults() == ["stage store has not moved for 6.0 s"]
    assert not snap.healthy
    health.unwatch("store")
    assert health.snapshot(6 * S).healthy


def test_a_condition_is_named_once_per_change(caplog: pytest.LogCaptureFixture) -> None:
    """The log says when and what to do, once; changing figures in the text are not news."""
    caplog.set_level(logging.INFO)
    health = Health()
    assert not health.condition("disk", True, 0)
    for i in range(100):
        named = health.condition("disk", False, 10 * S + i * S, f"{100 - i} GB free.", "Delete sessions.")
        assert named == (i == 0)
    assert health.condition("disk", True, 200 * S)
    assert caplog.messages == ["disk: 100 GB free. Delete sessions.", "disk: good again"]
    assert [e.text for e in health.snapshot(201 * S).events] == list(reversed(caplog.messages))


def test_the_page_shows_what_is_wrong_since_when_and_what_to_do() -> None:
    """The text shown is the newest; the age counts from the change."""
    health = Health()
    health.condition("trigger", True, 0)
    for i in range(3):
        health.condition("trigger", False, (10 + i) * S, f"no edge for {i} s.", "Check the board's cable.")
    snap = health.snapshot(20 * S)
    (condition,) = snap.conditions
    assert (condition.since_s, condition.text) == (10, "no edge for 2 s.")
    assert snap.faults() == ["trigger: no edge for 2 s. Check the board's cable."]


def test_a_warning_does_not_make_it_unhealthy() -> None:
    """/healthz restarts things: a warm device must not be restarted for being warm."""
    health = Health()
    health.condition("temperature", False, 0, "81 °C.", "Give it air.", "warning")
    snap = health.snapshot(0)
    assert snap.healthy
    assert not snap.conditions[0].ok


def test_a_flapping_condition_cannot_flood_the_log_and_its_end_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Minutes of toggling at 30 Hz is at most one line per quiet time; the last state is told right."""
    caplog.set_level(logging.INFO)
    health = Health()
    toggles = 900 * 30
    for i in range(toggles):
        health.condition("link", i % 2 == 0, i * PERIOD_30, "lost.", "Check it.")
    assert 2 <= len(caplog.messages) <= 900 * S / QUIET_NS + 1
    for i in range(toggles, toggles + 300):
        health.condition("link", True, i * PERIOD_30)
    assert caplog.messages[-1] == "link: good again"


def test_nothing_is_lost_between_threads() -> None:
    """Every stage has its own thread; a drop counted in two places at once must count twice."""
    health = Health()
    go = threading.Event()

    def work() -> None:
        go.wait()
        for i in range(8_000):
            health.count("drops", "pair", "age")
            health.tick("frames", i, "fused")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    go.set()
    snapshots = 0
    while any(thread.is_alive() for thread in threads):
        health.snapshot(0)
        snapshots += 1
    for thread in threads:
        thread.join()
    totals = health.snapshot(0).totals
    assert (totals["drops"][("pair", "age")], totals["frames"][("fused",)]) == (32_000, 32_000)
    assert snapshots > 0


def test_snapshot_is_frozen_and_plain_json() -> None:
    """What was published cannot change under a reader, and NumPy scalars from the stages do not break it."""
    health = Health()
    health.gauge("ev", np.float32(-2), "low")
    health.observe("age_ms", np.float64(33.4), "low")
    health.trace("flicker", S, np.float32(0.001), "fused")
    health.tick("frames", S, "fused")
    health.text("session", "a")
    health.condition("disk", True, S)
    health.watch("fuse", S, S)
    health.event(S, "began")
    snap = health.snapshot(2 * S)
    with pytest.raises(FrozenInstanceError):
        snap.t_ns = 0  # type: ignore[misc]
    back = json.loads(json.dumps(snap.as_json(), allow_nan=False))
    assert back["gauges"]["ev"] == {"low": -2.0}
    assert back["totals"]["frames"] == {"fused": 1}
    assert back["spreads"]["age_ms"]["low"] == {"p50": 33.4, "p95": 33.4}
    assert back["texts"]["session"] == {"": "a"}
    assert back["healthy"] is True
    assert back["events"] == [{"age_s": 1.0, "text": "began"}]


def test_what_a_frame_says_costs_next_to_nothing() -> None:
    """Twenty facts a frame must stay far below a frame: under 0.5 ms of CPU (about 0.03 ms measured)."""
    health = Health()
    frames = 500
    begin = time.thread_time_ns()
    for i in range(frames):
        for stage in ("capture", "develop", "register", "fuse", "tonemap", "encode", "store"):
            health.observe("stage_ms", 3.0, stage)
            health.beat(stage, i)
        for stream in ("reference", "secondary", "fused"):
            health.tick("frames", i * PERIOD_30, stream)
            health.gauge("rung", 0)
    assert (time.thread_time_ns() - begin) / frames < 500_000


def test_the_published_names_are_documented() -> None:
    """Dashboards are built from docs/metrics.md: a renamed metric must show up there."""
    docs = Path(__file__).parents[3] / "docs" / "metrics.md"
    assert docs.read_text() == markdown(), "run: python -m edge.web.metrics > docs/metrics.md"
    inside = ("text", "histogram")
    assert all(row.help and (row.exported or row.kind.value in inside) for row in SERIES.values())
