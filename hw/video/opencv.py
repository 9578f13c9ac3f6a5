"""V4L2 cameras through OpenCV, for machines without jetson-utils: two webcams on a PC.

OpenCV waits up to ten seconds inside the driver for a frame, so a thread of its own reads, and whoever asks
waits no longer than he said. A camera that was unplugged is opened again once a second.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from edge.frames import Image
from hw.camera import CameraError
from hw.video.source import Picture
from hw.video.stamps import FrameCounter

log = logging.getLogger(__name__)

WAITING = 4
"""Pictures kept for a reader that is late; older ones are lost and show as gaps of ``seq``."""
RETRY_S = 1.0
CLOSE_S = 2.0
"""OpenCV may wait in the driver of a dead camera for ten seconds; the thread then ends by itself."""
STAMP_SLACK_NS = 2_000_000_000
"""A kernel stamp further than this from now is on another clock and not used."""


@dataclass(frozen=True, slots=True)
class WantedFormat:
    """What is asked of the driver. It may give another; ``size`` and ``fps`` say what it gives."""

    width: int
    height: int
    fps: float
    fourcc: str | None
    """Such as MJPG or YUYV; None leaves it to the driver."""


class OpenCvSource:
    """A V4L2 node. See PictureSource.

    ``prepare`` runs when a camera is back, before its first frame: it has forgotten its settings.
    """

    def __init__(
        self,
        node: Path,
        wanted: WantedFormat,
        prepare: Callable[[], None],
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._node = node
        self._wanted = wanted
        self._prepare = prepare
        self._now_ns = now_ns
        self._stopping = threading.Event()
        self._come = threading.Condition()
        self._pictures: deque[Picture] = deque(maxlen=WAITING)
        self._capture = self._open()
        self._counter = FrameCounter(1e9 / self.fps)
        self._thread = threading.Thread(target=self._run, name=f"grab {node.name}", daemon=True)

    @property
    def model(self) -> str:
        return f"V4L2 through OpenCV {cv2.__version__}"

    @property
    def size(self) -> tuple[int, int]:
        return (
            int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )

    @property
    def fps(self) -> float:
        return float(self._capture.get(cv2.CAP_PROP_FPS)) or self._wanted.fps

    @property
    def live(self) -> bool:
        return True

    def start(self) -> None:
        self._thread.start()

    def read(self, timeout_s: float) -> Picture | None:
        with self._come:
            if not self._come.wait_for(lambda: self._pictures or self._stopping.is_set(), timeout_s):
                return None
            return self._pictures.popleft() if self._pictures else None

    def close(self) -> None:
        self._stopping.set()
        with self._come:
            self._come.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=CLOSE_S)
        elif self._capture is not None:
            self._capture.release()

    def _open(self) -> Any:
        capture = cv2.VideoCapture(str(self._node), cv2.CAP_V4L2)
        if not capture.isOpened():
            capture.release()
            raise CameraError(
                f"{self._node}: cannot be opened for video; v4l2-ctl --list-devices shows the cameras, "
                f"fuser -v {self._node} who uses one"
            )
        wanted = self._wanted
        if wanted.fourcc is not None:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*wanted.fourcc))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, wanted.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, wanted.height)
        capture.set(cv2.CAP_PROP_FPS, wanted.fps)
        return capture

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                if self._grab():
                    continue
                log.warning("%s: no frame; opening it again", self._node)
                self._capture.release()
                self._reopen()
        finally:
            self._capture.release()

    def _grab(self) -> bool:
        there = self._capture.grab()
        t_ns = self._arrival_ns(float(self._capture.get(cv2.CAP_PROP_POS_MSEC)))
        if not there:
            return False
        there, image = self._capture.retrieve()
        if there:  # else a JPEG that broke on the wire: lost, as the next one's number will say
            self._hand_on(t_ns, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        return True

    def _hand_on(self, t_ns: int, image: Image) -> None:
        with self._come:
            self._pictures.append(Picture(self._counter.number(t_ns), t_ns, image))
            self._come.notify_all()

    def _arrival_ns(self, position_ms: float) -> int:
        """The kernel's stamp of the buffer, on the monotonic clock (uvcvideo's default), else now."""
        now_ns = self._now_ns()
        stamp_ns = round(position_ms * 1e6)
        return stamp_ns if 0 <= now_ns - stamp_ns < STAMP_SLACK_NS else now_ns

    def _reopen(self) -> None:
        while not self._stopping.wait(RETRY_S):
            try:
                self._capture = self._open()
                self._prepare()
            except CameraError:
                self._capture.release()
                continue
            log.warning("%s: back", self._node)
            return
