"""Cameras to stamped frames: reads, checks, counts what is missing, places in time, hands on.

A live camera has a thread of its own and never waits: what cannot be taken is dropped and counted. A source
that can wait (a simulation, a recording) is read by one thread in order of its own time, so that a slow
machine films slower and loses nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from edge.clock import TimeBase
from edge.frames import CameraName, Frame, FrameStatus
from edge.pair import Stamped
from hw.camera import Camera, CameraLostError

READ_TIMEOUT_S = 0.25

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
        with self._lock:
            self._count_gap(frame)
            if frame.status is not FrameStatus.OK:
                self._on_drop(frame.status.value, frame.camera, frame.seq, 1)
                return
            placed = self._base.stamp(frame)
        for ready, t_ns in placed:
            if t_ns < 0:
                self._on_drop("before_start", ready.camera, ready.seq, 1)
            else:
                self._sink(Stamped(ready, t_ns))

    def _count_gap(self, frame: Frame) -> None:
        last = self._last_seq.get(frame.camera)
        if last is not None and frame.seq > last + 1:
            self._on_drop("lost", frame.camera, last + 1, frame.seq - last - 1)
        self._last_seq[frame.camera] = frame.seq


def read_live(camera: Camera, intake: Intake, stopping: threading.Event, beat: Callable[[], None]) -> None:
    """Read one camera until told to stop. Raises CameraLostError when it is gone."""
    while not stopping.is_set():
        frame = camera.read(READ_TIMEOUT_S)
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
    """Read two waiting cameras in order of arrival time until told to stop or the reference ends.

    A secondary camera that is gone or silent is left alone; without the reference there is no video, so its
    CameraLostError is passed on.
    """
    heads: dict[CameraName, Frame | None] = {"reference": None, "secondary": None}
    secondary_gone = False
    while not stopping.is_set():
        if heads["reference"] is None:
            heads["reference"] = reference.read(READ_TIMEOUT_S)
        if heads["secondary"] is None and not secondary_gone:
            try:
                heads["secondary"] = secondary.read(READ_TIMEOUT_S)
            except CameraLostError:
                secondary_gone = True
        beat()
        ready = [frame for frame in heads.values() if frame is not None]
        if ready:
            first = min(ready, key=lambda frame: frame.t_host_ns)
            heads[first.camera] = None
            intake.take(first)
