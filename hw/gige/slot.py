"""Where the reader finds the camera that the keeper opened, and both what the other one knows."""

from __future__ import annotations

import threading
import time

from edge.errors import TwinhdrError
from hw.camera import CameraLostError, CameraState
from hw.gige.link import Link
from hw.gige.receive import Delivery
from hw.gige.watch import Watched

COUNT_S = 1.0
TODO_LOST = "Check its power and cable; it is opened again by itself."
TODO_HELD = "Nothing is lost but its frames; it is opened as soon as it lets us."


class Slot:
    """One opened camera or none. ``pop`` keeps the camera from being taken away under the reader."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._reading = threading.Lock()
        self._lock = threading.Lock()
        self._filled = threading.Event()
        self._link: Link | None = None
        self._number = 0
        self._since_ns = 0
        self._last_ns: int | None = None
        self._armed = self._edge_given = False
        self._lost_ns: int | None = None
        self._why, self._todo = "", ""
        self._losses = 0
        self._gone_counters: dict[str, int] = {}
        self._counters: dict[str, int] = {}
        self._counted_s = 0.0
        self.problem: TwinhdrError | None = None

    @property
    def link(self) -> Link | None:
        return self._link

    def pop(self, timeout_s: float) -> tuple[Link, Delivery | None] | None:
        """The reader's: the camera and its next buffer; None while there is no camera."""
        if not self._filled.wait(timeout_s):
            return None
        with self._reading:
            link = self._link
            if link is None:
                return None
            delivery = link.pop(timeout_s)
            if delivery is not None:
                self._arrived(link)
        return link, delivery

    def put(self, link: Link) -> None:
        """The keeper opened the camera."""
        with self._reading, self._lock:
            self._link = link
            self.problem = None
        self._filled.set()

    def take_out(self) -> Link | None:
        """The camera, for closing; the reader has let go of it."""
        self._filled.clear()
        with self._reading:
            link, self._link = self._link, None
        if link is not None:
            with self._lock:
                self._gone_counters = _sum(self._gone_counters, link.counters())
                self._counters = {}
        return link

    def filming(self, now_ns: int, armed: bool) -> None:
        """The camera is told to film, or to wait for an edge."""
        with self._lock:
            self._since_ns, self._last_ns = now_ns, None
            self._armed, self._edge_given = armed, False

    def edge(self, t_ns: int) -> None:
        """The common edge was given."""
        with self._lock:
            self._edge_given, self._since_ns = True, t_ns

    def no_edge(self) -> None:
        """The edge did not arrive; frames come without it."""
        with self._lock:
            self._armed, self._since_ns = False, time.monotonic_ns()

    def watched(self) -> Watched:
        with self._lock:
            return Watched(self._since_ns, self._last_ns, self._armed, self._edge_given)

    def frame_age_ns(self, now_ns: int) -> int:
        with self._lock:
            return now_ns - (self._since_ns if self._last_ns is None else self._last_ns)

    def lost(self, why: str) -> None:
        """The camera is gone, or was not there to be opened."""
        with self._lock:
            if self._lost_ns is None:
                self._lost_ns = time.monotonic_ns() if self._last_ns is None else self._last_ns
                self._losses += 1 if self._since_ns else 0
            self._why, self._todo = why, TODO_LOST
            self.problem = CameraLostError(why)

    def explain(self, why: str) -> None:
        """What is known of a camera that is gone."""
        with self._lock:
            self._why, self._todo = why, TODO_LOST

    def refused(self, error: TwinhdrError) -> None:
        """The camera is there and cannot be opened."""
        with self._lock:
            if self._lost_ns is None:
                self._lost_ns = time.monotonic_ns()
            self._why, self._todo = str(error), TODO_HELD
            self.problem = bare(error)

    def state(self, now_ns: int) -> CameraState:
        """See ``hw.camera.Watched``."""
        with self._lock:
            totals = _sum(self._gone_counters, self._counters)
            if self._lost_ns is None:
                return CameraState(True, losses=self._losses, counters=totals)
            away_s = (now_ns - self._lost_ns) / 1e9
            text = f"lost since {away_s:.0f} s: {self._why}."
            return CameraState(False, text, self._todo, self._losses, totals)

    def _arrived(self, link: Link) -> None:
        now_s = time.monotonic()
        counters = link.counters() if now_s - self._counted_s > COUNT_S else None
        with self._lock:
            self._last_ns = time.monotonic_ns()
            self._lost_ns = None
            if counters is not None:
                self._counters, self._counted_s = counters, now_s


def bare(error: TwinhdrError) -> TwinhdrError:
    """The error without its traceback, whose frames would keep the camera open."""
    return type(error)(str(error))


def _sum(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in one.keys() | other.keys()}
