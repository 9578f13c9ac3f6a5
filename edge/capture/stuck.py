"""A camera that goes on sending one and the same picture: its driver, or its sensor, hangs and says nothing.

Two exposures of a real sensor never agree in every count, because noise does not. What agrees bit for bit is
the same exposure sent again.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from edge.frames import Frame

ROWS = 16
"""Rows of a picture that are compared: microseconds a frame, and enough noise to tell it by."""
ALTERNATING = 4
"""A camera that repeats itself may still step through its exposures."""


class StuckPicture:
    """Of one camera; one thread."""

    def __init__(self) -> None:
        self._recent: deque[bytes] = deque(maxlen=ALTERNATING)
        self._changed_ns: int | None = None

    def take(self, frame: Frame, now_ns: int) -> float:
        """Seconds for which no new picture has come; a flat one (a covered or blinded lens) counts as new."""
        rows = frame.image[:: max(1, frame.image.shape[0] // ROWS)]
        sample = np.ascontiguousarray(rows).tobytes()
        if self._changed_ns is None or sample not in self._recent or rows.min() == rows.max():
            self._changed_ns = now_ns
        self._recent.append(sample)
        return (now_ns - self._changed_ns) / 1e9
