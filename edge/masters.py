"""Lossless masters: the raw frames of one camera as FFV1 in Matroska, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.frames import CameraName, Frame, PixelFormat
from edge.segments import ClosedSegment, Location


@dataclass(frozen=True, slots=True)
class MasterSettings:
    """``threads`` encode ``slices`` of each frame side by side; one second at most is lost to a crash."""

    segment_s: float = 60.0
    cluster_s: float = 0.5
    slices: int = 4
    threads: int = 1
    sync: bool = True


class MasterWriter:
    """Writes ``folder/<camera>/000000.mkv``, ... ; one thread writes, frames in order of time."""

    def __init__(
        self,
        folder: Path,
        camera: CameraName,
        *,
        width: int,
        height: int,
        pixel_format: PixelFormat,
        bit_depth: int,
        fps: float,
        origin_ns: int,
        settings: MasterSettings | None = None,
        on_segment: Callable[[ClosedSegment], None] | None = None,
    ) -> None:
        raise NotImplementedError

    def write(self, frame: Frame, t_ns: int) -> Location:
        """Store one frame at reference time ``t_ns``. Raises EncodeError."""
        raise NotImplementedError

    def close(self) -> None:
        """Finish the open segment. May be called twice. Raises EncodeError."""
        raise NotImplementedError
