"""One simulated time for both cameras."""

from __future__ import annotations

import threading

import pytest

from hw.simulator.clock import SimulatedClock

MS = 1_000_000


class Now:
    """A monotonic clock that stands still until it is told."""

    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def test_nothing_is_handed_out_before_its_time() -> None:
    """A frame from the future would make latency figures negative."""
    now = Now()
    clock = SimulatedClock(0.5, 50 * MS, now)
    clock.join("reference")
    clock.start()
    now.s += 0.19
    assert not clock.wait_until("reference", 100 * MS, 0.0)
    now.s += 0.011
    assert clock.wait_until("reference", 100 * MS, 0.0)


def test_simulated_time_that_fell_behind_does_not_catch_up() -> None:
    """A burst after a hiccup would overflow the line's rings, which no real camera does."""
    now = Now()
    clock = SimulatedClock(1.0, 50 * MS, now)
    clock.join("reference")
    clock.start()
    now.s += 10.0
    assert clock.wait_until("reference", 1_000 * MS, 0.0)
    assert clock.wait_until("reference", 1_049 * MS, 0.0)
    assert not clock.wait_until("reference", 1_100 * MS, 0.0)
    now.s += 0.051
    assert clock.wait_until("reference", 1_100 * MS, 0.0)


def test_a_camera_waits_for_one_that_lags() -> None:
    """Without a common time a fast renderer would deliver frames whose partners do not exist yet."""
    clock = SimulatedClock(None, 50 * MS)
    for camera in ("reference", "secondary"):
        clock.join(camera)
    clock.start()
    assert clock.wait_until("reference", 50 * MS, 0.0)
    assert not clock.wait_until("reference", 51 * MS, 0.0)
    passed = threading.Event()
    waiter = threading.Thread(target=lambda: clock.wait_until("reference", 90 * MS, 30.0) and passed.set())
    waiter.start()
    clock.announce("secondary", 40 * MS)
    waiter.join(30.0)
    assert passed.is_set()


def test_nobody_waits_for_a_camera_that_left() -> None:
    """A stopped or lost secondary camera must not stop the reference."""
    clock = SimulatedClock(None, 50 * MS)
    for camera in ("reference", "secondary"):
        clock.join(camera)
    clock.start()
    clock.leave("secondary")
    assert clock.wait_until("reference", 10_000 * MS, 0.0)
    clock.announce("secondary", 0)
    assert clock.wait_until("reference", 20_000 * MS, 0.0)


def test_leaving_wakes_the_one_that_waits() -> None:
    """Stopping the rig would otherwise take as long as the longest time-out."""
    clock = SimulatedClock(0.001, 50 * MS)
    clock.join("reference")
    clock.start()
    results: list[bool] = []
    waiter = threading.Thread(target=lambda: results.append(clock.wait_until("reference", 10**12, 60.0)))
    waiter.start()
    clock.leave("reference")
    waiter.join(10.0)
    assert results == [False]


@pytest.mark.parametrize("pace", [0.0, -1.0, float("nan")])
def test_impossible_pace_is_refused(pace: float) -> None:
    """A pace of zero would be a rig that never gives a frame, without a word."""
    with pytest.raises(ValueError, match="pace"):
        SimulatedClock(pace, MS)
