"""The secondary camera's plan: how far low and high lie from the reference, and how often each is taken.

The low exposure is there for what the reference clips, the high one for what it leaves dark. Each is judged
by its own frames: a low frame that clips still lies too near, one whose brightest spots are well below
saturation lies too far and is noisier than it needs to be; likewise the high one with its shadows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from edge.config.exposure import SecondaryExposureConfig
from edge.exposure.follow import Following, Pace, follow, start
from edge.exposure.meter import FLOOR_EV, Metered
from edge.frames import Exposure

Kind: TypeAlias = Literal["low", "high"]

EVEN: tuple[Kind, ...] = ("low", "high")
MORE_LOW: tuple[Kind, ...] = ("low", "low", "high")
MORE_HIGH: tuple[Kind, ...] = ("low", "high", "high")

HIGHLIGHT_EV = -0.5
"""Where the brightest spots of the low frame should lie."""
SHADOW_EV = -4.5
"""Where the darkest fiftieth of the high frame should lie: 460 electrons of 10 500, a noise of 5 %."""
FARTHER_EV = 1.0
"""How far to go on where a frame is off the scale and cannot say how far it is."""
MOST_CLIPPED = 0.7
"""A high frame with more than this clipped has too little left to be laid on the reference."""
NEEDED, IDLE = 0.01, 0.001
"""Share of the reference that clips (is dark) from which low (high) is needed; below which it is not."""
HOLD_NS = 3_000_000_000
"""How long one exposure must be needed alone before it is taken twice as often, and back."""
PATIENCE_S = 3.0
STEP_EV = 0.1


@dataclass(frozen=True, slots=True)
class SecondaryPlan:
    """``low`` and ``high`` follow in EV from the reference; ``causes`` why they lie there.

    ``order`` is the cycle; ``other_order`` what the last frames speak for, since ``other_ns``.
    """

    low: Following
    high: Following
    low_cause: str = "as configured"
    high_cause: str = "as configured"
    order: tuple[Kind, ...] = EVEN
    order_cause: str = "as configured"
    other_order: tuple[Kind, ...] = EVEN
    other_ns: int = 0


def first(low_ev: float, high_ev: float, t_ns: int) -> SecondaryPlan:
    """Before anything was seen."""
    return SecondaryPlan(start(low_ev, t_ns), start(high_ev, t_ns), other_ns=t_ns)


def pace_of(config: SecondaryExposureConfig) -> Pace:
    """Slower than the reference: nobody sees a pair that is a little too near."""
    return Pace(
        config.smoothing_s, deadband_ev=0.25, settled_ev=0.05, ev_per_s=config.ev_per_s, ev_per_step=STEP_EV,
        patience_s=PATIENCE_S,
    )  # fmt: skip


def decide_low(
    plan: SecondaryPlan,
    seen: Metered,
    used: Exposure,
    reference: Exposure,
    reference_seen: Metered,
    t_ns: int,
    config: SecondaryExposureConfig,
) -> SecondaryPlan:
    """The plan after a low frame. ``reference`` is the setting that the distance is counted from."""
    used_ev = used.ev_from(reference)
    if reference_seen.bright_ev < HIGHLIGHT_EV and seen.bright_ev < 0.0:
        wish, cause = config.low_nearest_ev, "the reference hardly clips"
    elif seen.bright_ev >= 0.0:
        wish, cause = used_ev - FARTHER_EV, f"low clips {seen.clipped:.1%}"
    else:
        wish = used_ev + HIGHLIGHT_EV - seen.bright_ev
        cause = f"reference clips {reference_seen.clipped:.1%}, low ends {-seen.bright_ev:.1f} EV below"
    wish = min(max(wish, config.low_farthest_ev), config.low_nearest_ev)
    return replace(plan, low=follow(plan.low, wish, t_ns, pace_of(config)), low_cause=cause)


def decide_high(
    plan: SecondaryPlan,
    seen: Metered,
    used: Exposure,
    reference: Exposure,
    reference_seen: Metered,
    t_ns: int,
    config: SecondaryExposureConfig,
) -> SecondaryPlan:
    """The plan after a high frame. ``reference`` is the setting that the distance is counted from."""
    used_ev = used.ev_from(reference)
    if reference_seen.shadow_ev > SHADOW_EV:
        wish, cause = config.high_nearest_ev, "the reference has no dark shadows"
    elif seen.clipped > MOST_CLIPPED:
        wish, cause = used_ev - FARTHER_EV, f"high clips {seen.clipped:.0%}"
    elif seen.shadow_ev <= FLOOR_EV:
        wish, cause = used_ev + FARTHER_EV, "shadows of high are below its noise"
    else:
        wish = used_ev + SHADOW_EV - seen.shadow_ev
        cause = f"reference is dark on {reference_seen.dark:.1%}, shadows of high at {seen.shadow_ev:.1f} EV"
    wish = min(max(wish, config.high_nearest_ev), config.high_farthest_ev)
    return replace(plan, high=follow(plan.high, wish, t_ns, pace_of(config)), high_cause=cause)


def decide_order(
    plan: SecondaryPlan, reference_seen: Metered, t_ns: int, config: SecondaryExposureConfig
) -> SecondaryPlan:
    """The plan after a reference frame: the exposure that alone is needed is taken twice as often."""
    wanted = EVEN
    if config.order == "planned":
        wanted = _order(reference_seen)
    if wanted != plan.other_order:
        return replace(plan, other_order=wanted, other_ns=t_ns)
    if wanted == plan.order or t_ns - plan.other_ns < HOLD_NS:
        return plan
    cause = f"reference clips {reference_seen.clipped:.1%} and is dark on {reference_seen.dark:.1%}"
    return replace(plan, order=wanted, order_cause=cause)


def cycle(plan: SecondaryPlan, low: Exposure, high: Exposure) -> tuple[Exposure, ...]:
    """What the camera cycles through."""
    return tuple(low if kind == "low" else high for kind in plan.order)


def unequal(cycle_now: tuple[Exposure, ...], other: tuple[Exposure, ...], ev: float) -> bool:
    """Whether two cycles differ enough to tell the camera."""
    if len(cycle_now) != len(other):
        return True
    return any(
        abs(math.log2(a.light / b.light)) >= ev or a.exposure_us / b.exposure_us > 1.5
        for a, b in zip(cycle_now, other, strict=True)
    )


def _order(seen: Metered) -> tuple[Kind, ...]:
    if seen.clipped >= NEEDED and seen.dark <= IDLE:
        return MORE_LOW
    if seen.dark >= NEEDED and seen.clipped <= IDLE:
        return MORE_HIGH
    return EVEN
