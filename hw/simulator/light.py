"""Light that changes over a simulated world: one factor on its radiance, a pure function of true time.

The factor is averaged over an exposure, because that is what a sensor does: an exposure of whole periods of a
flickering lamp does not see it flicker.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

Light: TypeAlias = Literal["steady", "sunrise", "tunnel", "lamp"]

SUNRISE_BEGIN_S, SUNRISE_END_S, SUNRISE_EV = 2.0, 22.0, 4.0
"""Four stops in twenty seconds: a hundred times faster than the sun, as fast as a cloud moves off."""
TUNNEL_BEGIN_S, TUNNEL_END_S, TUNNEL_EV = 4.0, 5.5, 4.0
LAMP_HZ = 100.0
"""Twice the mains frequency where that is 50 Hz."""
LAMP_DEPTH = 0.5
LAMP_UNSTEADY = ((1.3, 0.15, 0.4), (3.7, 0.10, 2.1))
"""A tube near its end: (Hz, EV, phase in rad) of slow sines on top."""


def light_factor(light: Light, t_mid_s: float, exposure_s: float) -> float:
    """Mean factor on the scene's radiance over the exposure around ``t_mid_s`` (true time since the edge)."""
    if light == "sunrise":
        return float(2.0 ** (SUNRISE_EV * _ease(t_mid_s, SUNRISE_BEGIN_S, SUNRISE_END_S)))
    if light == "tunnel":
        return float(2.0 ** (TUNNEL_EV * _ease(t_mid_s, TUNNEL_BEGIN_S, TUNNEL_END_S)))
    if light == "lamp":
        slow_ev = sum(ev * math.sin(2.0 * math.pi * hz * t_mid_s + phase) for hz, ev, phase in LAMP_UNSTEADY)
        seen = LAMP_DEPTH * _sinc(LAMP_HZ * exposure_s)  # exact: the mean of a sine over the exposure
        return float(2.0**slow_ev * (1.0 + seen * math.sin(2.0 * math.pi * LAMP_HZ * t_mid_s)))
    return 1.0


def _ease(t_s: float, begin_s: float, end_s: float) -> float:
    """From 0 to 1 without a kink."""
    share = min(max((t_s - begin_s) / (end_s - begin_s), 0.0), 1.0)
    return share * share * (3.0 - 2.0 * share)


def _sinc(x: float) -> float:
    return math.sin(math.pi * x) / (math.pi * x) if x else 1.0
