"""Static HDR metadata: the mastering display, and the content light level measured on what was shown.

SMPTE ST 2086 names the display the picture was made for. CTA-861.3 Annex P defines, on the displayed
linear light in cd/m2: MaxCLL, the largest max(R, G, B) of any pixel of any frame, and MaxFALL, the
largest frame average of max(R, G, B). Both are whole numbers of 16 bits; 0 means unknown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ContentLight:
    """MaxCLL and MaxFALL in cd/m2 as they stand in a file; (0, 0): unknown."""

    max_cll: int
    max_fall: int


@dataclass(frozen=True, slots=True)
class FrameLight:
    """One frame's light on the display, cd/m2: its brightest max(R, G, B) and the average of it."""

    peak_nits: float
    average_nits: float


@dataclass(frozen=True, slots=True)
class MasteringDisplay:
    """ST 2086: BT.2020 primaries, D65, and the luminance range in cd/m2."""

    max_nits: float = 1000.0
    min_nits: float = 0.0001


class LightMeter:
    """Gathers MaxCLL and MaxFALL over frames. Not thread-safe."""

    def __init__(self) -> None:
        self._peak = 0.0
        self._average = 0.0
        self.frames = 0

    def add(self, light: FrameLight) -> None:
        """Count one frame."""
        self._peak = max(self._peak, light.peak_nits)
        self._average = max(self._average, light.average_nits)
        self.frames += 1

    @property
    def content_light(self) -> ContentLight | None:
        """What was measured, rounded up to whole cd/m2; None before the first frame."""
        if not self.frames:
            return None
        return ContentLight(math.ceil(self._peak), math.ceil(self._average))
