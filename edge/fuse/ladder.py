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
MAX_HOLD_NS = 320_000_000_000
"""Each try that fails doubles the hold, up to this."""
DRAIN_NS = 300_000_000
"""A new rung has this long to work off what waits before the next step down for that reason."""
CLIMB_SHARE = 0.8
"""A better rung must have fitted into this share of the budget when it was last measured alone."""
SMOOTHING = 0.2
MAX_BACKLOG = 4
"""Groups waiting for fusion: more than this, and the rung is too slow whatever its own clock says."""


@dataclass(frozen=True, slots=True)
class LadderState:
    """``cost_ns``: smoothed cost of a frame on ``rung``; ``probed_ns``: of each rung on an idle machine.

    ``climbed``: the last change was upwards; ``hold_ns``: how long the next one has to wait.
    """

    rung: Rung
    cause: str
    changed_ns: int
    probed_ns: Mapping[Rung, float]
    cost_ns: float
    climbed: bool = False
    hold_ns: int = HOLD_NS


def start(
    allowed: Sequence[Rung], probed_ns: Mapping[Rung, float], budget_ns: float, now_ns: int
) -> LadderState:
    """The best allowed rung whose measured cost fits the budget; the last one always does."""
    for rung in allowed:
        cost = probed_ns.get(rung, 0.0)
        if cost <= budget_ns or rung == allowed[-1]:
            best = rung == allowed[0]
            cause = "the best there is" if best else f"a frame must take under {budget_ns / 1e6:.0f} ms"
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
    held_ns = now_ns - state.changed_ns
    too_slow = state.cost_ns > budget_ns
    too_many = backlog > MAX_BACKLOG and held_ns >= DRAIN_NS
    if (too_slow or too_many) and place + 1 < len(allowed):
        cause = (
            f"{state.rung.name.lower()} takes {state.cost_ns / 1e6:.0f} of {budget_ns / 1e6:.0f} ms"
            if too_slow
            else f"{backlog} frames are waiting"
        )
        # A rung that was measured fast and is not, under this load, is tried ever more rarely.
        failed = state.climbed and held_ns < state.hold_ns
        hold_ns = min(2 * state.hold_ns, MAX_HOLD_NS) if failed else HOLD_NS
        return _move(state, allowed[place + 1], cause, now_ns, climbed=False, hold_ns=hold_ns)
    if place > 0 and backlog <= 1 and held_ns >= state.hold_ns:
        better = allowed[place - 1]
        if state.probed_ns.get(better, 0.0) <= CLIMB_SHARE * budget_ns:
            cause = "there is time again"
            return _move(state, better, cause, now_ns, climbed=True, hold_ns=state.hold_ns)
    return state


def renewed(
    state: LadderState, rung: Rung, cost_ns: float, budget_ns: float, cause: str, now_ns: int
) -> LadderState:
    """The state after ``rung`` got another engine, which costs ``cost_ns``: taken at once if it fits.

    What was learned of the old one is forgotten, and rungs between need not be tried first.
    """
    probed = {**state.probed_ns, rung: cost_ns}
    state = replace(state, probed_ns=probed, hold_ns=HOLD_NS)
    if rung == state.rung:
        return replace(state, cost_ns=cost_ns)
    if rung < state.rung and cost_ns <= CLIMB_SHARE * budget_ns:
        return _move(state, rung, cause, now_ns, climbed=True, hold_ns=HOLD_NS)
    return state


def below(allowed: Sequence[Rung], best: Rung) -> tuple[Rung, ...]:
    """The rungs that are no better than ``best``; the last one always remains."""
    return tuple(rung for rung in allowed if rung >= best or rung == allowed[-1])


def limited(state: LadderState, allowed: Sequence[Rung], cause: str, now_ns: int) -> LadderState:
    """The state where only ``allowed`` is left, because of ``cause``: as it is, or on the best of these."""
    if state.rung in allowed:
        return state
    best = next((rung for rung in allowed if rung > state.rung), allowed[-1])
    return _move(state, best, cause, now_ns, climbed=False, hold_ns=HOLD_NS)


def unhurried(state: LadderState, allowed: Sequence[Rung], now_ns: int) -> LadderState:
    """The state without a deadline: the best of ``allowed``, also after a limit was lifted."""
    if state.rung == allowed[0]:
        return state
    return _move(state, allowed[0], "the best there is", now_ns, climbed=True, hold_ns=HOLD_NS)


def failed(state: LadderState, rung: Rung, allowed: Sequence[Rung], cause: str, now_ns: int) -> LadderState:
    """The state after ``rung`` broke and is not among ``allowed`` any more: the next one below it."""
    if state.rung != rung:
        return state
    below = next(other for other in allowed if other > rung)
    return _move(state, below, cause, now_ns, climbed=False, hold_ns=state.hold_ns)


def _move(
    state: LadderState, rung: Rung, cause: str, now_ns: int, *, climbed: bool, hold_ns: int
) -> LadderState:
    cost_ns = state.probed_ns.get(rung, 0.0)
    return LadderState(rung, cause, now_ns, state.probed_ns, cost_ns, climbed, hold_ns)
