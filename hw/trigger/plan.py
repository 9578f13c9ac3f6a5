"""From frame rates and microseconds to timer ticks of the board. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from hw.camera import TriggerError
from hw.trigger.codes import (
    LONGEST_PULSE_TICKS,
    LONGEST_SILENCE_MS,
    LONGEST_TICKS,
    SHORTEST_SILENCE_MS,
    SHORTEST_TICKS,
    TICK_NS,
)

US_PER_TICK = TICK_NS / 1e3
LARGEST_RATIO = 16
"""Frame rates are kept in whole proportions up to this one."""


@dataclass(frozen=True, slots=True)
class LinePace:
    """One line: ticks from rise to rise, and ticks that it stays up."""

    period_ticks: int
    width_ticks: int

    @property
    def fps(self) -> float:
        """The frame rate that comes out."""
        return 1e9 / (self.period_ticks * TICK_NS)


@dataclass(frozen=True, slots=True)
class PacePlan:
    """Both lines, and how long the host may be silent before they drop."""

    reference: LinePace
    secondary: LinePace
    silence_ms: int

    @property
    def arguments(self) -> tuple[int, int, int, int, int]:
        """As the command PACE takes them."""
        first, second = self.reference, self.secondary
        return (
            first.period_ticks, first.width_ticks, second.period_ticks, second.width_ticks, self.silence_ms,
        )  # fmt: skip


def pulse_ticks(pulse_us: float) -> int:
    """Ticks of a start pulse; 0 for 0, which holds the lines up. Raises TriggerError."""
    ticks = round(pulse_us / US_PER_TICK)
    if ticks != 0 and not SHORTEST_TICKS <= ticks <= LONGEST_PULSE_TICKS:
        shortest, longest = SHORTEST_TICKS * US_PER_TICK, LONGEST_PULSE_TICKS * US_PER_TICK
        raise TriggerError(
            f"a start pulse of {pulse_us:g} us: the board gives {shortest:g} to {longest:g} us, "
            "or 0 to hold the lines up until stop"
        )
    return ticks


def pace_plan(reference_fps: float, secondary_fps: float, pulse_us: float, silence_ms: int) -> PacePlan:
    """The plan for two frame rates. Raises TriggerError where the board cannot.

    A period is rounded to one tick (0.5 us: 15 ppm at 30 fps). Rates in whole proportion stay so exactly, or
    the lines would drift apart: the longer period is a multiple of the shorter one as rounded.
    """
    slow, fast = sorted((reference_fps, secondary_fps))
    if slow <= 0:
        raise TriggerError(f"frame rates of {reference_fps:g} and {secondary_fps:g}: both must be above 0")
    short = round(1e9 / TICK_NS / fast)
    ratio = fast / slow
    whole = round(ratio)
    is_whole = whole <= LARGEST_RATIO and abs(ratio - whole) < 1e-6 * whole
    long = short * whole if is_whole else round(1e9 / TICK_NS / slow)
    width = pulse_ticks(pulse_us)
    if width == 0 or width > short - SHORTEST_TICKS or long > LONGEST_TICKS:
        raise TriggerError(
            f"a pulse of {pulse_us:g} us in each frame of {fast:g} and {slow:g} fps: "
            f"it must last {SHORTEST_TICKS * US_PER_TICK:g} us at least and leave as much of "
            f"{1e6 / fast:.0f} us; a frame lasts {LONGEST_TICKS * US_PER_TICK / 1e6:g} s at most"
        )
    if not SHORTEST_SILENCE_MS <= silence_ms <= LONGEST_SILENCE_MS:
        raise TriggerError(
            f"a silence of {silence_ms} ms: the board takes {SHORTEST_SILENCE_MS} to {LONGEST_SILENCE_MS} ms"
        )
    paces = LinePace(short, width), LinePace(long, width)
    reference, secondary = paces if reference_fps >= secondary_fps else paces[::-1]
    return PacePlan(reference, secondary, silence_ms)
