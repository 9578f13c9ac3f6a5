"""HDR video into fragmented MP4 segments: HEVC through x265 or AV1 through SVT-AV1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge.hdr_metadata import ContentLight
from edge.segments import ClosedSegment, EncodeError, Location
from edge.tonemap import HdrFormat, YuvImage

__all__ = ["ClosedSegment", "EncodeError", "HdrEncoder", "Location", "VideoSettings"]


@dataclass(frozen=True, slots=True)
class VideoSettings:
    """``preset`` None: x265 superfast, SVT-AV1 10. ``crf`` None: 20 and 30. ``threads`` 0: the encoder's choice.

    ``sync_s``: seconds between fdatasync calls, so that a power cut costs little more than a crash; None: never.
    """

    codec: Literal["hevc", "av1"] = "hevc"
    preset: str | int | None = None
    crf: float | None = None
    threads: int = 0
    segment_s: float = 60.0
    keyframe_s: float = 1.0
    fragment_s: float = 0.2
    sync_s: float | None = 1.0


class HdrEncoder:
    """Writes ``folder/subfolder/000000.mp4``, ... ; one thread writes, frames in order of time.

    ``origin_ns`` is the session's zero of time: pts = t_ns - origin_ns, in 90 kHz ticks, so that segments
    join without a gap. ``estimate`` stands at the head of the first file until it is measured; each next
    file starts from what was measured so far. A crash leaves the estimate.
    """

    def __init__(
        self,
        folder: Path,
        *,
        width: int,
        height: int,
        fps: float,
        origin_ns: int,
        fmt: HdrFormat | None = None,
        settings: VideoSettings | None = None,
        estimate: ContentLight | None = None,
        on_segment: Callable[[ClosedSegment], None] | None = None,
        subfolder: str = "hdr",
    ) -> None:
        raise NotImplementedError

    def write(self, image: YuvImage, t_ns: int) -> Location:
        """Encode one frame. Raises EncodeError."""
        raise NotImplementedError

    def close(self) -> None:
        """Finish the open segment. May be called twice. Raises EncodeError."""
        raise NotImplementedError
