"""Following a wish without hunting: smoothed, with a dead band, a bounded speed and patience to turn round.

Three causes make an automatic exposure swing, and each is met by construction. Delay of the camera: the wish
is computed from what a frame was *taken* with, so it does not depend on what was asked for meanwhile. Noise
and flicker: they are averaged, and what is left must leave the dead band. Overshoot: the value approaches the
average from one side and stops short of it. Patience bounds the rest: a turn at most once in ``patience_s``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Pace:
    """How to follow. EV and seconds.

    Moving begins when the smoothed wish is ``deadband_ev`` away and ends within ``settled_ev``; a step is at
    most ``ev_per_s`` times the time since the last and never more than ``ev_per_step``.
    """

    smoothing_s: float
    deadband_ev: float
    settled_ev: float
    ev_per_s: float
    ev_per_step: float
    patience_s: float


@dataclass(frozen=True, slots=True)
class Following:
    """``value`` follows ``wish`` (the smoothed one). ``moving`` is the direction, 0 at rest.

    ``turned``: the direction of the last move, which ended at ``moved_ns``.
    """

    value: float
    wish: float
    t_ns: int
    moving: int = 0
    turned: int = 0
    moved_ns: int = 0


APPROACH_S = 0.5
"""Near its goal a value moves by the rest of the way per this time: it slows down instead of stopping."""


def start(value: float, t_ns: int) -> Following:
    """At rest, and content."""
    return Following(value, value, t_ns)


def follow(state: Following, wish: float, t_ns: int, pace: Pace) -> Following:
    """The state after one more wish at ``t_ns``. A time that does not advance changes nothing."""
    dt_s = (t_ns - state.t_ns) * 1e-9
    if dt_s <= 0.0:
        return state
    share = 1.0 - math.exp(-dt_s / pace.smoothing_s) if pace.smoothing_s > 0.0 else 1.0
    smoothed = state.wish + share * (wish - state.wish)
    state = replace(state, wish=smoothed, t_ns=t_ns)
    error = smoothed - state.value
    moving = _direction(state, error, pace)
    if moving == 0:
        return replace(state, moving=0)
    most = min(pace.ev_per_s * dt_s, pace.ev_per_step)
    step = min(max(error * min(dt_s / APPROACH_S, 1.0), -most), most)
    return replace(state, value=state.value + step, moving=moving, turned=moving, moved_ns=t_ns)


def _direction(state: Following, error: float, pace: Pace) -> int:
    toward = 1 if error > 0.0 else -1
    if state.moving == toward:
        return toward if abs(error) > pace.settled_ev else 0
    if abs(error) <= pace.deadband_ev:
        return 0
    turns = state.turned == -toward
    return 0 if turns and t_since(state) < pace.patience_s else toward


def t_since(state: Following) -> float:
    """Seconds since the last move."""
    return (state.t_ns - state.moved_ns) * 1e-9
