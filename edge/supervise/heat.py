"""What heat and power allow, as a pure function of temperatures, throttling and time.

The device slows itself down at the passive trip points of its zones, and then nobody chooses what suffers.
Bands below them give up what costs most and matters least, in this order: the large network, every network,
the preview, the fused video. Masters are the last to go, and nothing here touches them.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from edge.config.thermal import ThermalConfig
from edge.frames import Rung

LEAST_TRIP_CELSIUS = 60.0
"""Below this a passive trip point is no limit of the machine (firmware of laptops has one at 20 degrees)."""


class Band(enum.IntEnum):
    """Each gives up what it names, and what those before it do."""

    NORMAL = 0
    NO_LARGE_NETWORK = 1
    NO_NETWORK = 2
    NO_PREVIEW = 3
    NO_FUSED_VIDEO = 4


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the stages may do. ``fused`` False: frames go to masters only."""

    best: Rung = Rung.MODEL
    preview: bool = True
    fused: bool = True
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Readings:
    """Of one moment: degrees by zone, passive trip points by zone, and what slows the machine down now."""

    celsius: Mapping[str, float] = field(default_factory=dict)
    trips: Mapping[str, float] = field(default_factory=dict)
    throttles: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class HeatState:
    """``calm_ns``: since when it has been cool enough for a better band."""

    band: Band = Band.NORMAL
    cause: str = ""
    calm_ns: int | None = None


POWER = {"under-voltage": Band.NO_NETWORK, "throttled": Band.NO_NETWORK}
"""Of what a machine says of itself; whatever else slows it down costs the large network."""


def limits(zone: str, readings: Readings, config: ThermalConfig) -> tuple[float, ...]:
    """The temperatures at which the bands 1 to 4 begin in ``zone``."""
    trip = readings.trips.get(zone, 0.0)
    if trip < LEAST_TRIP_CELSIUS:
        return config.limits_celsius
    return tuple(trip - margin for margin in config.margins_celsius)


def wanted(readings: Readings, config: ThermalConfig, lowered_celsius: float = 0.0) -> tuple[Band, str]:
    """The band that ``readings`` ask for by themselves, with limits ``lowered_celsius``, and the cause."""
    band, cause = Band.NORMAL, ""
    for zone, celsius in readings.celsius.items():
        begins = limits(zone, readings, config)
        reached = Band(sum(1 for limit in begins if celsius >= limit - lowered_celsius))
        if reached > band:
            band, cause = reached, f"{zone} is at {celsius:.0f} degrees"
    for name in readings.throttles:
        asked = POWER.get(name, Band.NO_LARGE_NETWORK)
        if asked > band:
            band, cause = asked, f"the machine says {name}"
    return band, cause


def step(state: HeatState, readings: Readings, config: ThermalConfig, now_ns: int) -> HeatState:
    """The state after ``readings``: worse at once, better one band at a time after a while of calm.

    Readings that say nothing change nothing: a sensor that went silent did not cool down.
    """
    if not readings.celsius and not readings.throttles:
        return state
    band, cause = wanted(readings, config)
    if band > state.band:
        return HeatState(band, cause)
    held, held_by = wanted(readings, config, config.hysteresis_celsius)
    if held >= state.band:
        return replace(state, calm_ns=None, cause=held_by or state.cause)
    if state.calm_ns is None:
        return replace(state, calm_ns=now_ns)
    if now_ns - state.calm_ns < config.hold_s * 1e9:
        return state
    better = Band(state.band - 1)
    return HeatState(better, held_by if better else "", now_ns if better > held else None)


def allowance(state: HeatState, masters: bool) -> Allowance:
    """What ``state`` leaves. Without ``masters`` the fused video is the recording and goes on."""
    band = state.band
    if band is Band.NORMAL:
        return Allowance()
    bests = {Band.NO_LARGE_NETWORK: Rung.SMALL_MODEL, Band.NO_FUSED_VIDEO: Rung.REFERENCE}
    return Allowance(
        best=bests.get(band, Rung.MERGE),
        preview=band < Band.NO_PREVIEW,
        fused=band < Band.NO_FUSED_VIDEO or not masters,
        cause=state.cause,
    )
