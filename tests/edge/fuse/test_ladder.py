"""The ladder: down at once, up with patience. A swinging ladder is visible; a late frame is a lost one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.frames import Rung
from edge.fuse import ladder
from edge.fuse.ladder import DRAIN_NS, HOLD_NS, MAX_BACKLOG, LadderState

MS = 1_000_000
S = 1_000 * MS
BUDGET = 30.0 * MS
ALL = (Rung.MODEL, Rung.SMALL_MODEL, Rung.MERGE, Rung.REFERENCE)
PROBED = {Rung.MODEL: 20.0 * MS, Rung.SMALL_MODEL: 10.0 * MS}


def run(
    state: LadderState, frames: int, cost: dict[Rung, float], now_ns: int = 0, backlog: int = 0
) -> tuple[LadderState, list[Rung]]:
    """Frames 33 ms apart, each costing what its rung costs."""
    rungs = []
    for number in range(frames):
        state = ladder.step(state, ALL, BUDGET, backlog, now_ns + number * 33 * MS)
        rungs.append(state.rung)
        state = ladder.measured(state, state.rung, cost.get(state.rung, 5.0 * MS))
    return state, rungs


def changes(rungs: Sequence[Rung]) -> int:
    return sum(a != b for a, b in pairwise(rungs))


def test_it_starts_on_the_best_rung_that_fits() -> None:
    """A recording must not begin with late frames on a device that is too slow."""
    assert ladder.start(ALL, PROBED, BUDGET, 0).rung is Rung.MODEL
    slow = {Rung.MODEL: 50.0 * MS, Rung.SMALL_MODEL: 40.0 * MS}
    state = ladder.start(ALL, slow, BUDGET, 0)
    assert state.rung is Rung.MERGE
    assert "30 ms" in state.cause
    assert ladder.start((Rung.MODEL,), slow, BUDGET, 0).rung is Rung.MODEL
    with pytest.raises(ValueError, match="no rungs"):
        ladder.start((), {}, BUDGET, 0)


def test_too_slow_goes_down_within_a_few_frames_and_says_why() -> None:
    """Each late frame fills the ring; a full ring loses frames."""
    state, rungs = run(ladder.start(ALL, PROBED, BUDGET, 0), 10, {Rung.MODEL: 45.0 * MS})
    assert rungs.index(Rung.SMALL_MODEL) <= 4
    assert Rung.MERGE not in rungs
    assert "model takes" in state.cause
    assert "of 30 ms" in state.cause


def test_a_backlog_goes_down_but_not_all_the_way_at_once() -> None:
    """One stutter of the disk must not cost every rung; a standing queue must."""
    state = ladder.start(ALL, PROBED, BUDGET, 0)
    state, rungs = run(state, 8, {}, now_ns=S, backlog=MAX_BACKLOG + 1)
    assert set(rungs) == {Rung.SMALL_MODEL}
    assert "5 frames are waiting" in state.cause
    _, rungs = run(state, 40, {}, now_ns=S + 8 * 33 * MS, backlog=MAX_BACKLOG + 1)
    assert rungs[-1] is Rung.REFERENCE
    assert changes([Rung.SMALL_MODEL, *rungs]) == 2
    assert rungs.index(Rung.REFERENCE) >= 2 * DRAIN_NS // (33 * MS) - 8


def test_it_climbs_after_the_hold_and_not_before() -> None:
    """After a short load the good picture must come back by itself."""
    state, _ = run(ladder.start(ALL, PROBED, BUDGET, 0), 5, {Rung.MODEL: 60.0 * MS})
    assert state.rung is Rung.SMALL_MODEL
    state, rungs = run(state, 300, {}, now_ns=5 * 33 * MS)
    first = rungs.index(Rung.MODEL)
    assert first * 33 * MS >= HOLD_NS - 5 * 33 * MS
    assert set(rungs[first:]) == {Rung.MODEL}
    assert state.cause == "there is time again"


def test_a_rung_that_keeps_failing_is_tried_ever_more_rarely() -> None:
    """Measured fast on the idle machine, slow beside the encoder: no swing every five seconds."""
    cost = {Rung.MODEL: 45.0 * MS}
    _, rungs = run(ladder.start(ALL, PROBED, BUDGET, 0), 10 * 60 * 30, cost)
    climbs = sum(a > b for a, b in pairwise(rungs))
    assert climbs <= 8
    assert rungs.count(Rung.MODEL) < 60


def test_a_rung_that_held_is_trusted_again() -> None:
    """The patience learned in one hot afternoon must not last into the night."""
    cost = {Rung.MODEL: 45.0 * MS}
    state, _ = run(ladder.start(ALL, PROBED, BUDGET, 0), 60 * 30, cost)
    assert state.hold_ns > HOLD_NS
    state, rungs = run(state, 120 * 30, {}, now_ns=60 * S)
    assert rungs[-1] is Rung.MODEL
    state, _ = run(state, 6, cost, now_ns=180 * S)
    assert (state.rung, state.hold_ns) == (Rung.SMALL_MODEL, HOLD_NS)


def test_it_never_climbs_to_what_cannot_fit() -> None:
    """A network that takes the whole budget alone will not fit beside the rest."""
    state = ladder.start(ALL, {Rung.MODEL: 29.0 * MS}, BUDGET, 0)
    state, _ = run(state, 5, {Rung.MODEL: 60.0 * MS})
    _, rungs = run(state, 3000, {}, now_ns=S)
    assert Rung.MODEL not in rungs


def test_it_does_not_climb_into_a_queue() -> None:
    """While frames wait there is no time for a better rung."""
    state, _ = run(ladder.start(ALL, PROBED, BUDGET, 0), 5, {Rung.MODEL: 60.0 * MS})
    _, rungs = run(state, 400, {}, now_ns=S, backlog=2)
    assert set(rungs) == {Rung.SMALL_MODEL}


def test_a_frame_on_another_rung_says_nothing_about_this_one() -> None:
    """Frames without a pair are cheap; they must not make the network look fast."""
    state = ladder.start(ALL, PROBED, BUDGET, 0)
    assert ladder.measured(state, Rung.REFERENCE, 1.0) is state
    assert ladder.measured(state, Rung.MODEL, 40.0 * MS).cost_ns == pytest.approx(24.0 * MS)


def test_a_broken_rung_is_left_for_the_next_that_is_there() -> None:
    """A network that crashed is not tried again."""
    state = ladder.start(ALL, PROBED, BUDGET, 0)
    rest = (Rung.MERGE, Rung.REFERENCE)
    after = ladder.failed(state, Rung.MODEL, rest, "model failed", S)
    assert (after.rung, after.cause, after.cost_ns) == (Rung.MERGE, "model failed", 0.0)
    assert ladder.failed(state, Rung.SMALL_MODEL, rest, "", S) is state


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 200), st.integers(0, 40), st.integers(0, 3_000)), max_size=80),
    st.sampled_from([ALL, (Rung.MODEL, Rung.REFERENCE), (Rung.MERGE, Rung.REFERENCE), (Rung.REFERENCE,)]),
)
def test_it_moves_one_rung_at_a_time_and_stays_on_the_ladder(
    frames: list[tuple[float, int, int]], allowed: tuple[Rung, ...]
) -> None:
    """Whatever happens to the machine, the next frame has a rung."""
    state, now_ns = ladder.start(allowed, PROBED, BUDGET, 0), 0
    for cost_ms, backlog, step_ms in frames:
        now_ns += step_ms * MS
        before = state
        state = ladder.step(state, allowed, BUDGET, backlog, now_ns)
        moved = allowed.index(state.rung) - allowed.index(before.rung)
        assert abs(moved) <= 1
        if moved < 0:
            assert now_ns - before.changed_ns >= HOLD_NS
        state = ladder.measured(state, state.rung, cost_ms * MS)


def test_heat_takes_the_rungs_above_away_at_once_and_gives_them_back() -> None:
    """A hot device must not wait until the network is too slow, nor stay low for ever once it is cool."""
    cool, hot = ladder.below(ALL, Rung.MODEL), ladder.below(ALL, Rung.MERGE)
    assert (cool, hot) == (ALL, (Rung.MERGE, Rung.REFERENCE))
    assert ladder.below((Rung.MODEL,), Rung.MERGE) == (Rung.MODEL,), "the last rung remains"
    state = ladder.start(ALL, PROBED, BUDGET, 0)
    assert ladder.limited(state, cool, "", 5) is state
    state = ladder.limited(state, hot, "tj-thermal is at 90 degrees", 5)
    assert (state.rung, state.cause) == (Rung.MERGE, "tj-thermal is at 90 degrees")
    assert ladder.step(state, hot, BUDGET, 0, 5 + 2 * HOLD_NS).rung is Rung.MERGE
    assert ladder.step(state, cool, BUDGET, 0, 5 + 2 * HOLD_NS).rung is Rung.SMALL_MODEL
    assert ladder.unhurried(state, hot, 9) is state
    assert ladder.unhurried(state, cool, 9).rung is Rung.MODEL
