"""A recorded session as two cameras, with the recorded stamps."""

from __future__ import annotations

from pathlib import Path

from edge.session import Session
from hw.camera import Camera, CameraLostError, Trigger


class EndOfRecordingError(CameraLostError):
    """The recording has no more frames: the end, not a fault."""


class ReplayRig:
    """A Rig. ``pace``: recorded seconds per real second (1.0 as filmed, None as fast as it is read).

    Whatever the pace, neither camera runs ahead of the other by more than ``slack_s`` of recorded time, so
    that pairing sees what it saw. ``read`` raises EndOfRecordingError after the last frame.
    """

    def __init__(self, session: Path | Session, *, pace: float | None = 1.0, slack_s: float = 0.05) -> None:
        raise NotImplementedError

    @property
    def reference(self) -> Camera:
        raise NotImplementedError

    @property
    def secondary(self) -> Camera:
        raise NotImplementedError

    @property
    def trigger(self) -> Trigger:
        raise NotImplementedError
