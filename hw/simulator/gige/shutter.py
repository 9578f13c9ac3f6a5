"""When frames begin: free run, one edge for all, one edge for each. Pure; the caller brings the time.

Times are ns of CLOCK_MONOTONIC, which all processes of a machine share: two cameras that are given the same
edge begin in the same instant, whenever their processes get to run.
"""

from __future__ import annotations

import collections
import enum
from dataclasses import dataclass


class Starts(enum.Enum):
    """What one edge starts."""

    NOTHING = "free run from the command on"
    RUN = "free run"
    BURST = "as many frames as AcquisitionBurstFrameCount"
    FRAME = "one frame"


@dataclass(frozen=True, slots=True)
class Plan:
    """How frames are started. ``source`` is the wire that is listened to; periods are true ns."""

    starts: Starts = Starts.NOTHING
    source: int = -1
    delay_ns: int = 0
    period_ns: int = 33_333_333
    burst: int = 1


class Shutter:
    """The begin of each next exposure."""

    def __init__(self) -> None:
        self._plan = Plan()
        self._open = False
        self._next_ns: int | None = None
        self._left: int | None = None
        self._edges: collections.deque[int] = collections.deque(maxlen=4)

    @property
    def acquiring(self) -> bool:
        return self._open

    def start(self, now_ns: int, plan: Plan) -> None:
        """AcquisitionStart: frames come now, or after an edge."""
        self._plan, self._open, self._left = plan, True, None
        self._edges.clear()
        self._next_ns = now_ns if plan.starts is Starts.NOTHING else None

    def stop(self) -> None:
        self._open, self._next_ns = False, None
        self._edges.clear()

    def replan(self, now_ns: int, plan: Plan) -> None:
        """A setting changed while frames flow: a trigger switched off lets them run free."""
        if not self._open:
            return
        before, self._plan = self._plan, plan
        if before.starts is not plan.starts:
            self._left = None
            self._next_ns = (
                now_ns if plan.starts is Starts.NOTHING and self._next_ns is None else self._next_ns
            )

    def edge(self, source: int, t_ns: int) -> bool:
        """A wire rose at ``t_ns``. Whether it started anything."""
        plan = self._plan
        if not self._open or plan.starts is Starts.NOTHING or source != plan.source:
            return False
        begin_ns = t_ns + plan.delay_ns
        if plan.starts is Starts.FRAME:
            self._edges.append(begin_ns)
            return True
        if self._next_ns is not None:
            return False  # a camera that films ignores further edges
        self._next_ns = begin_ns
        self._left = plan.burst if plan.starts is Starts.BURST else None
        return True

    def next_begin(self) -> int | None:
        """When the next exposure begins; None while the shutter waits for an edge or is closed."""
        if not self._open:
            return None
        if self._plan.starts is Starts.FRAME and self._next_ns is None:
            return self._edges[0] if self._edges else None
        return self._next_ns

    def took(self, begin_ns: int) -> None:
        """The exposure that began at ``begin_ns`` is taken; plan the one after it."""
        if not self._open:
            return
        if self._plan.starts is Starts.FRAME:
            self._next_ns = None
            if self._edges and self._edges[0] == begin_ns:
                self._edges.popleft()
            return
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self._next_ns = self._left = None
                return
        self._next_ns = begin_ns + self._plan.period_ns

    def skip_to(self, t_ns: int) -> int:
        """Free-run exposures whose time has passed were taken by nobody; how many."""
        if self._next_ns is None or self._next_ns >= t_ns:
            return 0
        missed = -(-(t_ns - self._next_ns) // self._plan.period_ns)
        if self._left is not None:
            missed = min(missed, self._left - 1)
            self._left -= missed
        self._next_ns += missed * self._plan.period_ns
        return missed
