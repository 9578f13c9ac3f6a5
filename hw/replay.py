"""A recorded session as two cameras, so that everything that runs from cameras runs from a recording.

Frames come with the stamps, exposures and sequence numbers they were recorded with, including the host's
arrival times: the clock fit and the pairing see what they saw then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from edge.frames import Exposure, Frame
from edge.session.recording import Session
from hw.camera import Camera, CameraError, CameraInfo, EndOfRecordingError, Trigger


class ReplayRig:
    """A Rig from a session with masters.

    ``pace`` is recorded seconds per real second: 1.0 as filmed, None as fast as frames are read, where one
    thread should read both cameras in order of arrival. ``read`` raises EndOfRecordingError after the last
    frame. Raises SessionError for a folder that is no session, CameraError for one without raw frames.
    """

    def __init__(
        self,
        session: Path | Session,
        *,
        pace: float | None = 1.0,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._session = Session.open(session) if isinstance(session, Path) else session
        self._schedule = _Schedule(pace, now_ns)
        self._reference, self._secondary = (
            ReplayCamera(self._session.header.cameras[name], self._session.frames(name), self._schedule)
            for name in ("reference", "secondary")
        )
        first = self._reference.peek()
        if first is None:
            told = "; ".join(self._session.problems[:3]) or "frames.jsonl lists none"
            raise CameraError(f"{self._session.path}: no raw reference frame to replay: {told}")
        second = self._secondary.peek()
        self._schedule.first_ns = min(f.t_host_ns for f in (first, second) if f is not None)

    @property
    def session(self) -> Session:
        """The recording; its ``problems`` tell what was skipped so far."""
        return self._session

    @property
    def reference(self) -> Camera:
        return self._reference

    @property
    def secondary(self) -> Camera:
        return self._secondary

    @property
    def trigger(self) -> Trigger:
        return self._schedule


class _Schedule:
    """The start edge, and when a frame that arrived at some host time is due."""

    def __init__(self, pace: float | None, now_ns: Callable[[], int]) -> None:
        if pace is not None and not pace > 0:
            raise ValueError(f"pace must be positive or None, got {pace}")
        self._pace = pace
        self._now_ns = now_ns
        self._start_ns = 0
        self.first_ns = 0
        self.started = threading.Event()

    def start(self) -> int:
        self._start_ns = self._now_ns()
        self.started.set()
        return self._start_ns

    def stop(self) -> None:
        """Nothing to release."""

    def wait_s(self, frame: Frame) -> float:
        """Real seconds until ``frame`` is due; 0 or less: now."""
        if self._pace is None:
            return 0.0
        due_ns = self._start_ns + (frame.t_host_ns - self.first_ns) / self._pace
        return (due_ns - self._now_ns()) / 1e9


class ReplayCamera:
    """One camera of the recording."""

    def __init__(self, info: CameraInfo, frames: Iterator[Frame], schedule: _Schedule) -> None:
        self._info = info
        self._frames = frames
        self._schedule = schedule
        self._next: Frame | None = None
        self._stopped = threading.Event()

    @property
    def info(self) -> CameraInfo:
        return self._info

    def start(self) -> None:
        """Nothing to arm."""

    def peek(self) -> Frame | None:
        """The next frame, left in place; None at the end."""
        if self._next is None:
            self._next = next(self._frames, None)
        return self._next

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame once it is due. Raises EndOfRecordingError after the last."""
        if self._stopped.is_set() or not self._schedule.started.wait(timeout_s):
            return None
        frame = self.peek()
        if frame is None:
            raise EndOfRecordingError(f"{self._info.name}: the recording has ended")
        wait_s = self._schedule.wait_s(frame)
        if wait_s > 0 and (self._stopped.wait(min(wait_s, timeout_s)) or wait_s > timeout_s):
            return None
        self._next = None
        return frame

    def set_exposures(self, exposures: Sequence[Exposure]) -> None:
        """What was filmed cannot be changed; frames say what they were taken with."""

    def stop(self) -> None:
        self._stopped.set()
        self._frames = iter(())  # lets go of the open video
