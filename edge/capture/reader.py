"""Cameras to stamped frames: reads, checks, counts what is missing, places in time, hands on.

A live camera has a thread of its own and never waits: what cannot be taken is dropped and counted. A source
that can wait (a simulation, a recording) is read by one thread in order of its own time, so that a slow
machine films slower and loses nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from edge.frames import CameraName, Frame, FrameStatus
from edge.pair import Stamped
from edge.timing.timebase import EDGE_SLACK_NS, TimeBase
from hw.camera import Camera, CameraLostError, EndOfRecordingError

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 0.25
TURN_S = 0.02
"""How long one camera may keep the other waiting where one thread reads both."""

FrameSink = Callable[[Stamped], None]
DropSink = Callable[[str, CameraName, int, int], None]
"""``(cause, camera, first seq, count)``."""


class Intake:
    """Takes every frame of both cameras, from any thread; counts gaps, stamps what is good, hands it on.

    The order of ``sink`` calls is the order of arrival within each camera.
    """

    def __init__(self, sink: FrameSink, on_drop: DropSink) -> None:
        self._sink = sink
        self._on_drop = on_drop
        self._lock = threading.Lock()
        self._base = TimeBase()
        self._last_seq: dict[CameraName, int] = {}

    @property
    def base(self) -> TimeBase:
        """The clock fits, for the page and the session."""
        return self._base

    def take(self, frame: Frame) -> None:
        """One frame from a camera."""
        # Handing on stays under the lock: a frame may release frames of the other camera that have waited.
        with self._lock:
            self._count_gap(frame)
            if frame.status is not FrameStatus.OK:
                self._on_drop(frame.status.value, frame.camera, frame.seq, 1)
                return
            placed = self._base.stamp(frame)
            for lost in self._base.given_up():
                self._on_drop("no_time", lost.camera, lost.seq, 1)
            for ready, t_ns in placed:
                if t_ns < -EDGE_SLACK_NS:
                    self._on_drop("before_start", ready.camera, ready.seq, 1)
                else:
                    self._sink(Stamped(ready, max(t_ns, 0)))

    def _count_gap(self, frame: Frame) -> None:
        last = self._last_seq.get(frame.camera)
        if last is not None and frame.seq > last + 1:
            self._on_drop(frame.gap_cause, frame.camera, last + 1, frame.seq - last - 1)
        self._last_seq[frame.camera] = frame.seq


def read_live(camera: Camera, intake: Intake, stopping: threading.Event, beat: Callable[[], None]) -> None:
    """Read one camera until told to stop, or its recording ends. Raises CameraLostError when it is gone."""
    while not stopping.is_set():
        try:
            frame = camera.read(READ_TIMEOUT_S)
        except EndOfRecordingError:
            return
        beat()
        if frame is not None:
            intake.take(frame)


def read_in_order(
    reference: Camera,
    secondary: Camera,
    intake: Intake,
    stopping: threading.Event,
    beat: Callable[[], None],
) -> None:
    """Read two waiting cameras in order of arrival time until told to stop, or the recording ends.

    A secondary camera that is gone or silent is left alone; without the reference there is no video, so its
    CameraLostError is passed on.
    """

    def ended() -> bool:
        beat()
        return stopping.is_set()

    read_in_order_until(reference, secondary, intake, ended)


def read_in_order_until(
    reference: Camera, secondary: Camera, intake: Intake, ended: Callable[[], bool]
) -> None:
    """As ``read_in_order``; ``ended`` is asked before each frame."""
    first: Frame | None = None
    second = _Optional(secondary)
    over = False
    while not ended():
        if first is None and not over:
            try:
                first = reference.read(TURN_S)
            except EndOfRecordingError:
                over = True
        # A frame of the secondary that is not here by now arrives later than the reference frame at hand.
        second.fill(TURN_S if over else 0.0)
        if second.head is not None and (first is None or second.head.t_host_ns < first.t_host_ns):
            intake.take(second.take())
        elif first is not None:
            intake.take(first)
            first = None
        elif over:
            return


class _Optional:
    """The next frame of a camera that may be gone or silent."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._gone = False
        self.head: Frame | None = None

    def fill(self, timeout_s: float) -> None:
        if self.head is not None or self._gone:
            return
        try:
            self.head = self._camera.read(timeout_s)
        except EndOfRecordingError:
            self._gone = True
        except CameraLostError as error:
            self._gone = True
            log.error("%s; the reference goes on alone", error)

    def take(self) -> Frame:
        frame, self.head = self.head, None
        assert frame is not None
        return frame
