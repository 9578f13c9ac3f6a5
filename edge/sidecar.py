"""``frames.jsonl``: one JSON line per frame and event, appended and flushed, torn tails tolerated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.frames import CameraName, Frame, HdrFrame, Rung
from edge.hdr_metadata import FrameLight
from edge.segments import ClosedSegment, Location


class SidecarWriter:
    """Appends records; every method may be called from any thread and returns once the line is with the OS."""

    def __init__(self, path: Path, *, sync: bool = True) -> None:
        raise NotImplementedError

    def start(self, origin_ns: int) -> None:
        """The session's zero of time on the reference camera's clock."""

    def frame(self, frame: Frame, t_ns: int, at: Location | None) -> None:
        """A raw frame: ``t_ns`` on the reference clock, ``at`` None where no master is kept."""

    def hdr(
        self,
        hdr: HdrFrame,
        at: Location | None,
        *,
        mean_luminance: float,
        mean_mu: float,
        light: FrameLight | None = None,
    ) -> None:
        """A fused frame, its mean luminance (radiance) and mean mu-law luminance (for flicker)."""

    def drop(
        self,
        stage: str,
        cause: str,
        *,
        camera: CameraName | None = None,
        seq: int | None = None,
        count: int = 1,
    ) -> None:
        """Frames lost, by name."""

    def rung(self, t_ns: int, rung: Rung, cause: str) -> None:
        """The ladder moved."""

    def segment(self, closed: ClosedSegment) -> None:
        """A file is complete."""

    def event(self, kind: str, **fields: Any) -> None:
        """Anything else that belongs to the recording (start of the trigger, exposures chosen, faults)."""

    def end(self) -> None:
        """The recording ended as it should. Closes the file."""

    def close(self) -> None:
        """Close without ``end``. May be called twice."""
