"""Static HDR metadata: the mastering display, and the content light level measured on what was shown.

SMPTE ST 2086 names the display the picture was made for. CTA-861.3 Annex P defines, on the displayed
linear light in cd/m2: MaxCLL, the largest max(R, G, B) of any pixel of any frame, and MaxFALL, the
largest frame average of max(R, G, B). Both are whole numbers of 16 bits; 0 means unknown.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TypeAlias

Chromaticity: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class ContentLight:
    """MaxCLL and MaxFALL in cd/m2 as they stand in a file; (0, 0): unknown."""

    max_cll: int
    max_fall: int

    def sei_safe(self) -> ContentLight:
        """The same, or the next larger MaxCLL whose four bytes need no escape byte in H.265 (7.4.2).

        Only such values have the same length in every file and can be overwritten in place.
        """
        light = self
        while any(b"\0\0" + bytes([last]) in light._bytes() for last in range(4)):
            light = ContentLight(light.max_cll + 1, light.max_fall)
        return light

    def _bytes(self) -> bytes:
        return struct.pack(">BHHB", 4, self.max_cll, self.max_fall, 0x80)


@dataclass(frozen=True, slots=True)
class FrameLight:
    """One frame's light on the display, cd/m2: its brightest max(R, G, B) and the average of it."""

    peak_nits: float
    average_nits: float


@dataclass(frozen=True, slots=True)
class MasteringDisplay:
    """ST 2086: the luminance range in cd/m2 of a P3-D65 grading monitor. Rec. 709 colours lie inside P3."""

    max_nits: float = 1000.0
    min_nits: float = 0.0001
    primaries_gbr: tuple[Chromaticity, Chromaticity, Chromaticity] = (
        (0.265, 0.690),
        (0.150, 0.060),
        (0.680, 0.320),
    )
    white: Chromaticity = (0.3127, 0.3290)

    def x265(self) -> str:
        """As x265 reads it: chromaticities in 0.00002, luminance in 0.0001 cd/m2."""
        points = "".join(
            f"{name}({round(x * 50000)},{round(y * 50000)})"
            for name, (x, y) in zip(("G", "B", "R", "WP"), (*self.primaries_gbr, self.white), strict=True)
        )
        return f"{points}L({round(self.max_nits * 10000)},{round(self.min_nits * 10000)})"

    def svt_av1(self) -> str:
        """As SVT-AV1 reads it: plain numbers."""
        points = "".join(
            f"{name}({x:g},{y:g})"
            for name, (x, y) in zip(("G", "B", "R", "WP"), (*self.primaries_gbr, self.white), strict=True)
        )
        return f"{points}L({self.max_nits:g},{self.min_nits:g})"


class LightMeter:
    """Gathers MaxCLL and MaxFALL over frames. Not thread-safe."""

    def __init__(self) -> None:
        self._peak = 0.0
        self._average = 0.0
        self._frames = 0

    def add(self, light: FrameLight) -> None:
        """Count one frame."""
        self._peak = max(self._peak, light.peak_nits)
        self._average = max(self._average, light.average_nits)
        self._frames += 1

    @property
    def content_light(self) -> ContentLight | None:
        """What was measured, to the nearest cd/m2 and at least 1; None before the first frame."""
        if not self._frames:
            return None
        return ContentLight(max(1, round(self._peak)), max(1, round(self._average)))
