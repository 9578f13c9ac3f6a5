"""Temperatures by name, the limits of each zone, and whether the machine slows down for them now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hw.device.files import integer, names, text

RASPBERRY = "sys/devices/platform/soc/soc:firmware/get_throttled"
RASPBERRY_BITS = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
}
"""What holds now; bits 16 to 19 say the same since boot (Raspberry Pi documentation, vcgencmd)."""


@dataclass(frozen=True, slots=True)
class Trip:
    """From ``celsius`` on the kernel slows ``zone`` down."""

    zone: str
    celsius: float


@dataclass(frozen=True, slots=True)
class Throttle:
    """Something that slows the machine down now: a cooling device or a word of the firmware."""

    name: str


def temperatures_of(root: Path) -> dict[str, float]:
    """Degrees by zone; switched-off zones are empty, unreadable or at -256 degrees and left out."""
    folder = root / "sys/class/thermal"
    found: dict[str, float] = {}
    for zone in names(folder, "thermal_zone"):
        millidegrees = integer(folder / zone / "temp")
        if millidegrees is not None and -50_000 < millidegrees < 200_000:
            found[text(folder / zone / "type") or zone] = millidegrees / 1000.0
    return found


def trips_of(root: Path) -> tuple[Trip, ...]:
    """The lowest ``passive`` trip point of each zone: where clocks go down."""
    folder = root / "sys/class/thermal"
    found = []
    for zone in names(folder, "thermal_zone"):
        limits = [
            millidegrees / 1000.0
            for point in names(folder / zone, "trip_point_")
            if point.endswith("_type") and text(folder / zone / point) == "passive"
            if (millidegrees := integer(folder / zone / f"{point.removesuffix('_type')}_temp")) is not None
            and millidegrees > 0
        ]
        if limits:
            found.append(Trip(text(folder / zone / "type") or zone, min(limits)))
    return tuple(found)


def throttles_of(root: Path) -> tuple[Throttle, ...]:
    """What slows the machine down now.

    On a Jetson cooling devices such as ``cpu-throttle-alert`` rise while their zone throttles. A fan is a
    cooling device too, and no throttle.
    """
    folder = root / "sys/class/thermal"
    found = [
        Throttle(name)
        for device in names(folder, "cooling_device")
        if (name := text(folder / device / "type")).endswith("-throttle-alert")
        and (integer(folder / device / "cur_state") or 0) > 0
    ]
    word = text(root / RASPBERRY)
    try:
        flags = int(word, 16) if word else 0
    except ValueError:
        flags = 0
    return (*found, *(Throttle(name) for bit, name in RASPBERRY_BITS.items() if flags >> bit & 1))
