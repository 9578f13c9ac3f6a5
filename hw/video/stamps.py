"""When a picture arrived and which one it is, from sources that tell neither well. Pure."""

from __future__ import annotations

import statistics
from collections import deque

HISTORY = 16
LATE = 1.6
"""A gap of more than this many periods means that a picture is missing: jitter is below half of one."""
WINDOW = 256
STEP_NS = 500_000_000
"""Clocks that moved this far against each other since the last picture were set, not late."""


class FrameCounter:
    """Numbers pictures so that those that never came show as gaps, from their arrival alone.

    The period is the median of the last gaps, so that a camera that is slower than asked (a webcam in the
    dark) is not taken for one that loses frames.
    """

    def __init__(self, period_ns: float) -> None:
        self._nominal_ns = period_ns
        self._gaps_ns: deque[int] = deque(maxlen=HISTORY)
        self._last: tuple[int, int] | None = None

    def number(self, t_ns: int) -> int:
        """The number of the picture that arrived at ``t_ns``: 0 first, then rising."""
        if self._last is None:
            self._last = (0, t_ns)
            return 0
        seq, last_ns = self._last
        gap_ns = t_ns - last_ns
        settled = len(self._gaps_ns) >= HISTORY // 2
        period_ns = statistics.median(self._gaps_ns) if settled else self._nominal_ns
        missing = round(gap_ns / period_ns) - 1 if gap_ns > LATE * period_ns else 0
        self._gaps_ns.append(gap_ns)
        self._last = (seq + 1 + missing, t_ns)
        return seq + 1 + missing


class StampClock:
    """Stamps of the settable wall clock, made into arrival times on the monotonic clock.

    jetson-utils stamps a picture with CLOCK_REALTIME since its process began, in the thread that receives it:
    free of the delays of conversion and of Python, but it jumps when the clock is set. The smallest distance
    between such a stamp and the moment it is handed over is the distance of the clocks; whatever a picture
    shows beyond it is how long it waited.
    """

    def __init__(self) -> None:
        self._offsets_ns: deque[int] = deque(maxlen=WINDOW)

    def arrival_ns(self, stamp_ns: int, now_ns: int) -> int:
        """Monotonic arrival of the picture stamped ``stamp_ns`` and handed over at ``now_ns``.

        A stamp of 0 says that the source lost it: then ``now_ns``.
        """
        if stamp_ns <= 0:
            return now_ns
        offset_ns = now_ns - stamp_ns
        if self._offsets_ns and abs(offset_ns - self._offsets_ns[-1]) > STEP_NS:
            self._offsets_ns.clear()
        self._offsets_ns.append(offset_ns)
        return now_ns - (offset_ns - min(self._offsets_ns))
