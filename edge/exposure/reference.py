"""The reference camera's next exposure: its log-average brightness is kept in a band below saturation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from edge.config.exposure import ReferenceExposureConfig
from edge.exposure.follow import Following, Pace, follow, start
from edge.exposure.meter import Metered
from edge.exposure.split import Limits, beats, split
from edge.frames import Exposure

PATIENCE_S = 2.0
"""The exposure turns round at most this often."""


@dataclass(frozen=True, slots=True)
class ReferencePlan:
    """What the reference is set to, and why. ``following`` is in log2 of ``Exposure.light``.

    ``off_ev`` is the measured brightness against the target, positive where too bright. ``beyond_ev`` is how
    much more (positive) or less light is wanted than the camera can be set to.
    """

    exposure: Exposure
    following: Following
    cause: str
    off_ev: float = 0.0
    beyond_ev: float = 0.0


def pace_of(config: ReferenceExposureConfig) -> Pace:
    """The configured pace. It moves before the band is left."""
    return Pace(
        smoothing_s=config.smoothing_s,
        deadband_ev=0.4 * config.band_ev,
        settled_ev=0.1 * config.band_ev,
        ev_per_s=config.ev_per_s,
        ev_per_step=config.ev_per_frame,
        patience_s=PATIENCE_S,
    )


def first(exposure: Exposure, t_ns: int) -> ReferencePlan:
    """Before anything was seen."""
    return ReferencePlan(exposure, start(math.log2(exposure.light), t_ns), "as configured")


def decide(
    plan: ReferencePlan,
    seen: Metered,
    used: Exposure,
    t_ns: int,
    limits: Limits,
    config: ReferenceExposureConfig,
) -> ReferencePlan:
    """The plan after a frame that was taken with ``used`` and looked like ``seen``, at ``t_ns``.

    The light that would have hit the target follows from that frame alone, whatever has been asked of the
    camera since: its delay, known or not, cannot make the loop swing.
    """
    off_ev = seen.level_ev - config.target_ev
    wanted = math.log2(used.light) - off_ev
    possible = limits.clamped_ev(wanted)
    following = follow(plan.following, possible, t_ns, pace_of(config))
    exposure = split(2.0**following.value, limits, plan.exposure)
    if _same(exposure, plan.exposure):  # but for the last digits
        exposure = plan.exposure
    cause = _cause(following, off_ev, wanted - possible, config)
    if beats(exposure, limits):
        cause += "; too much light for whole periods of a lamp"
    return replace(
        plan,
        exposure=exposure,
        following=following,
        cause=cause,
        off_ev=off_ev,
        beyond_ev=wanted - possible,
    )


def _same(a: Exposure, b: Exposure) -> bool:
    return math.isclose(a.exposure_us, b.exposure_us) and math.isclose(a.light, b.light)


def _cause(following: Following, off_ev: float, beyond_ev: float, config: ReferenceExposureConfig) -> str:
    where = f"reference {abs(off_ev):.1f} EV {'above' if off_ev > 0 else 'below'} its target"
    if following.moving:
        return f"{where}: {'more' if following.moving > 0 else 'less'} light"
    if abs(beyond_ev) > config.band_ev:
        end = "longest exposure and highest" if beyond_ev > 0 else "shortest exposure and lowest"
        return f"{where}, at the {end} gain allowed"
    return "within the band around the target" if abs(off_ev) <= config.band_ev else f"{where}: waiting"
