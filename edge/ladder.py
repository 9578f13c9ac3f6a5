"""Which rung of the ladder the next frame is fused on. Pure: costs, deadline and time come in as arguments.

Going down is immediate, because a late frame is a lost frame; going up waits, because a ladder that swings is
worse than a low rung. All rungs share one unit of radiance, so a change shows as detail, not as a flash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edge.frames import Rung

HOLD_NS = 5_000_000_000
"""A better rung is tried at the earliest this long after the last change."""
CLIMB_SHARE = 0.8
"""A better rung must have fitted into this share of the budget when it was last measured alone."""
SMOOTHING = 0.2
MAX_BACKLOG = 4
"""Groups waiting for fusion: more than this, and the rung is too slow whatever its own clock says."""


@dataclass(frozen=True, slots=True)
class LadderState:
    """``cost_ns``: smoothed cost of a frame on ``rung``; ``probed_ns``: of each rung on an idle machine."""

    rung: Rung
    cause: str
    changed_ns: int
    probed_ns: Mapping[Rung, float]
    cost_ns: float


def start(
    allowed: Sequence[Rung], probed_ns: Mapping[Rung, float], budget_ns: float, now_ns: int
) -> LadderState:
    """The best allowed rung whose measured cost fits the budget; the last one always does."""
    for rung in allowed:
        cost = probed_ns.get(rung, 0.0)
        if cost <= budget_ns or rung == allowed[-1]:
            cause = "start" if rung == allowed[0] else f"a frame must take under {budget_ns / 1e6:.0f} ms"
            return LadderState(rung, cause, now_ns, dict(probed_ns), cost)
    raise ValueError("the ladder has no rungs")


def measured(state: LadderState, rung: Rung, cost_ns: float) -> LadderState:
    """The state after one frame on ``rung`` took ``cost_ns``."""
    if rung != state.rung:
        return state
    return replace(state, cost_ns=(1.0 - SMOOTHING) * state.cost_ns + SMOOTHING * cost_ns)


def step(
    state: LadderState, allowed: Sequence[Rung], budget_ns: float, backlog: int, now_ns: int
) -> LadderState:
    """The state for the next frame: one rung down, one up, or the same."""
    place = allowed.index(state.rung)
    too_slow = state.cost_ns > budget_ns
    if (too_slow or backlog > MAX_BACKLOG) and place + 1 < len(allowed):
        cause = (
            f"{state.rung.name.lower()} takes {state.cost_ns / 1e6:.0f} of {budget_ns / 1e6:.0f} ms"
            if too_slow
            else f"{backlog} frames are waiting"
        )
        return _move(state, allowed[place + 1], cause, now_ns)
    if place > 0 and backlog <= 1 and now_ns - state.changed_ns >= HOLD_NS:
        better = allowed[place - 1]
        if state.probed_ns.get(better, 0.0) <= CLIMB_SHARE * budget_ns:
            return _move(state, better, "there is time again", now_ns)
    return state


def _move(state: LadderState, rung: Rung, cause: str, now_ns: int) -> LadderState:
    return replace(state, rung=rung, cause=cause, changed_ns=now_ns, cost_ns=state.probed_ns.get(rung, 0.0))
