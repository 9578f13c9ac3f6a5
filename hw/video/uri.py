"""What a camera of this kind is called: ``csi://0``, ``v4l2:///dev/video0``, or the path of a video file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from hw.camera import CameraError

Kind: TypeAlias = Literal["csi", "v4l2", "file"]


@dataclass(frozen=True, slots=True)
class VideoUri:
    """``place`` is the sensor's number for csi, a device node for v4l2 and a path for a file."""

    kind: Kind
    place: str

    def __str__(self) -> str:
        return self.place if self.kind == "file" else f"{self.kind}://{self.place}"

    @property
    def node(self) -> Path | None:
        """The V4L2 node whose controls set its exposure, None for a file.

        On a Jetson sensor N is /dev/videoN, as long as no USB camera came first.
        """
        match self.kind:
            case "v4l2":
                return Path(self.place)
            case "csi":
                return Path(f"/dev/video{self.place}")
            case "file":
                return None


def parse_uri(text: str) -> VideoUri:
    """``csi://N``, ``v4l2:///dev/...``, ``/dev/video...``, ``file://PATH`` or a path. Raises CameraError."""
    if match := re.fullmatch(r"csi://(\d{1,2})", text):
        return VideoUri("csi", match[1])
    if match := re.fullmatch(r"(?:v4l2://)?(/dev/[\w./:-]+)", text):
        return VideoUri("v4l2", match[1])
    scheme, separator, rest = text.partition("://")
    if not separator:
        return VideoUri("file", text)
    if scheme == "file" and rest:
        return VideoUri("file", rest)
    raise CameraError(f"{text}: not a camera; write csi://0, v4l2:///dev/video0 or the path of a video file")
