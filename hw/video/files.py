"""A video file in place of a camera: to try the line on one's own pictures, and to test it on real ones."""

from __future__ import annotations

from pathlib import Path

import cv2

from hw.camera import CameraError, EndOfRecordingError
from hw.video.source import Picture

EPOCH_NS = 1_000_000_000
"""Where a file's time begins: stamps of zero and below would look like a camera without any."""


class FileSource:
    """Pictures of a file as fast as they are read, each at its own time in the file. See PictureSource."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise CameraError(
                f"{path}: no such video file; correct video.reference.uri or video.secondary.uri"
            )
        self._path = path
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        self._fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        if not self._capture.isOpened() or not 0.1 <= self._fps <= 1000:
            self._capture.release()
            raise CameraError(f"{path}: not a video that FFmpeg can read; ffprobe {path} says more")
        self._seq = 0

    @property
    def model(self) -> str:
        return "video file"

    @property
    def size(self) -> tuple[int, int]:
        return (
            int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )

    @property
    def fps(self) -> float:
        return self._fps

    @property
    def live(self) -> bool:
        return False

    def start(self) -> None:
        """Nothing to start."""

    def read(self, timeout_s: float) -> Picture | None:
        """The next picture. Raises EndOfRecordingError after the last."""
        there, image = self._capture.read()
        if not there:
            raise EndOfRecordingError(f"{self._path}: the video has ended")
        seq, self._seq = self._seq, self._seq + 1
        t_ns = EPOCH_NS + round(seq / self._fps * 1e9)
        return Picture(seq, t_ns, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))

    def close(self) -> None:
        self._capture.release()
