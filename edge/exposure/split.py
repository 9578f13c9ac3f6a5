"""An amount of light as exposure time and gain: time first, because gain is noise.

A lamp on the mains brightens and darkens twice a period. Only an exposure of whole half periods collects the
same light whenever it begins (Poynton 2012, "Digital Video and HD", ch. 2 on beat frequencies); shorter ones
beat with the lamp, and nothing but less light, a darker lens or a longer exposure helps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge.frames import Exposure

KEEP_EV = 0.15
"""How much light beyond the next whole half period before the exposure time takes it: no to and fro."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a camera may be set to. ``half_period_us`` of the mains; None: no lamps."""

    shortest_us: float
    longest_us: float
    least_gain_db: float
    most_gain_db: float
    half_period_us: float | None = None

    @property
    def least_light(self) -> float:
        """As ``Exposure.light``."""
        return Exposure(self.shortest_us, self.least_gain_db).light

    @property
    def most_light(self) -> float:
        """As ``Exposure.light``."""
        return Exposure(_longest_us(self), self.most_gain_db).light

    def clamped_ev(self, light_ev: float) -> float:
        """``light_ev`` (log2 of ``Exposure.light``) within what the camera can do."""
        return min(max(light_ev, math.log2(self.least_light)), math.log2(self.most_light))


def split(light: float, limits: Limits, before: Exposure | None = None) -> Exposure:
    """The setting that collects ``light`` (see ``Exposure.light``), or the nearest that there is.

    ``before``, the setting until now, decides between two that are equally good.
    """
    light = min(max(light, limits.least_light), limits.most_light)
    base = Exposure(1.0, limits.least_gain_db).light
    time_us = min(max(light / base, limits.shortest_us), _longest_us(limits))
    half_us = limits.half_period_us
    if half_us is not None and time_us >= half_us * (1.0 - 1e-9):
        time_us = half_us * _half_periods(time_us / half_us, before, half_us)
    gain_db = 20.0 * math.log10(light / time_us)
    return Exposure(time_us, min(max(gain_db, limits.least_gain_db), limits.most_gain_db))


def beats(exposure: Exposure, limits: Limits) -> bool:
    """Whether a lamp on the mains shows as flicker at this setting."""
    if limits.half_period_us is None:
        return False
    periods = exposure.exposure_us / limits.half_period_us
    return periods < 0.5 or abs(periods - round(periods)) > 0.01


def _half_periods(fit: float, before: Exposure | None, half_us: float) -> int:
    most = math.floor(fit + 1e-9)
    kept = 0 if before is None else round(before.exposure_us / half_us)
    if kept == most - 1 >= 1 and fit < most * 2.0**KEEP_EV:
        return kept
    return most


def _longest_us(limits: Limits) -> float:
    """The longest exposure time, in whole half periods where one fits."""
    half_us = limits.half_period_us
    if half_us is None or limits.longest_us < half_us:
        return limits.longest_us
    return half_us * math.floor(limits.longest_us / half_us + 1e-9)
