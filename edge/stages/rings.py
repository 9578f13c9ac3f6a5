"""The rings between the stages, and how a stage works through one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from edge.frames import CameraName
from edge.fuse.line import Fused
from edge.health.report import Reporter
from edge.pair import Stamped
from edge.ring import Closed, Ring
from edge.supervise.crew import Turn, TurnOver

T = TypeVar("T")

LIVE_RING = 32
"""About a second of frames: what a busy disk or a short stall may hold up without a loss."""
HDR_RING = 8
"""Fused frames are 12 MB each at 960x540."""
WAITING_RING = 6
"""A source that can wait fills every ring; what is in them has to be finished when it is told to stop."""
POLL_S = 0.25


class Rings:
    """All of a recording. With a source that ``can_wait`` the writer waits, else the oldest item goes."""

    def __init__(self, can_wait: bool, masters: bool, report: Reporter) -> None:
        self._can_wait = can_wait
        depth = WAITING_RING if can_wait else LIVE_RING
        self.frames: Ring[Stamped] = Ring(
            "frames", depth, lambda s: report.stage_drop("fuse", "too_slow", s.frame.seq, s.frame.camera)
        )
        self.hdr: Ring[Fused] = Ring(
            "hdr",
            min(depth, HDR_RING),
            lambda f: report.stage_drop("encode", "too_slow", f.hdr.seq, "reference"),
        )
        self.pictures: Ring[Fused] = Ring("pictures", 1, lambda _: None)
        names: tuple[CameraName, ...] = ("reference", "secondary") if masters else ()
        self.masters = {
            name: Ring[Stamped](
                name,
                depth,
                lambda s: report.stage_drop("masters", "too_slow", s.frame.seq, s.frame.camera),
            )
            for name in names
        }
        self._health = report.health

    def put(self, ring: Ring[T], item: T, waiting: Callable[[], None]) -> None:
        """Hand ``item`` on; ``waiting`` is called while there is no room."""
        if self._can_wait:
            ring.put_waiting(item, waiting)
        else:
            ring.put(item)

    def publish(self) -> None:
        """How full they are."""
        rings: list[Ring[Any]] = [self.frames, self.hdr, *self.masters.values()]
        for ring in rings:
            self._health.gauge("ring_depth", len(ring), ring.name)
            self._health.gauge("ring_capacity", ring.capacity, ring.name)
        self._health.gauge("encoder_backlog", len(self.hdr))


def each(
    ring: Ring[T], turn: Turn, work: Callable[[T], None], lost: Callable[[T, str], None] | None = None
) -> None:
    """``work`` on every item until the ring ends or the turn is over (TurnOver).

    ``lost`` hears of the item in hand when ``work`` on it raised ("failed") or never came back ("hung").
    """
    hand: list[T] = []
    if lost is not None:
        turn.when_over(partial(_tell, lost, hand))
    while True:
        turn.beat()
        try:
            item = ring.get(POLL_S)
        except Closed:
            return
        if item is None:
            continue
        if turn.over:
            ring.give_back(item)
            turn.check()
        hand[:] = [item]
        try:
            work(item)
        except TurnOver:
            raise  # it was counted as the turn ended
        except BaseException:
            if lost is not None:
                lost(item, "failed")
            raise
        hand.clear()


def _tell(lost: Callable[[T, str], None], hand: list[T]) -> None:
    for item in hand:
        lost(item, "hung")
