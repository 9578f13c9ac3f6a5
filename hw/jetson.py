"""CSI and V4L2 cameras through jetson-utils, which JetPack users build with jetson-inference.

What it is good for here: the hardware's colour conversion and JPEG decoding, and CSI sensors at all. What it
lacks: exposure control (that goes through V4L2 controls, ``hw.v4l2``), more than 8 bits, and device stamps.

**Where the one copy is.** ``Capture`` answers with a CUDA image in mapped memory, and ``cudaToNumpy`` wraps
that memory without a copy. But it belongs to a ring of ``numBuffers`` (4) images that the source goes round,
while a frame waits here for its low/high pair and for the masters, up to 32 frames long. So each picture is
copied once, by the CPU, out of that ring: 1.6 MB at 960x540. Development runs on the CPU, so there is no
other copy; a stage that takes CUDA memory would take ``Capture``'s image (``__cuda_array_interface__``).

The PyPI project ``jetson-utils`` is somebody else's: the real one has ``videoSource``.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from hw.camera import CameraError, CameraLostError
from hw.video.source import Picture
from hw.video.stamps import FrameCounter, StampClock
from hw.video.uri import VideoUri

MODULES = ("jetson_utils", "jetson.utils")
"""Its name since 2022, and before."""
FORMAT = "rgb8"


def find_jetson_utils() -> ModuleType | None:
    """The module of JetPack's jetson-utils, or None where it is missing, broken or another's."""
    for name in MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        if hasattr(module, "videoSource"):
            return module
    return None


class JetsonSource:
    """A ``csi://`` or ``v4l2://`` camera. See PictureSource.

    Needs a version of 2023 or newer, where a timeout answers None; before, it was an error like any other.
    """

    def __init__(
        self,
        uri: VideoUri,
        width: int,
        height: int,
        fps: float,
        *,
        utils: Any = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        found = utils if utils is not None else find_jetson_utils()
        if found is None:
            raise CameraError(
                f"{uri}: jetson-utils is not here; build it with jetson-inference (docs/v4l2.md), "
                "or use a v4l2:// camera with video.backend: opencv"
            )
        self._utils: Any = found
        self._uri = uri
        self._now_ns = now_ns
        options = {"width": width, "height": height, "framerate": float(fps), "zeroCopy": True}
        try:
            self._source: Any = self._utils.videoSource(str(uri), options=options)
        except Exception as error:  # plain Exception is what it raises
            raise CameraError(
                f"{uri}: jetson-utils cannot open it ({error}); for csi:// check the cable and "
                "sudo systemctl restart nvargus-daemon, for v4l2:// see v4l2-ctl --list-devices"
            ) from error
        # GetFrameRate cuts 29.97 to 29
        self._fps = float(self._source.GetOptions()["framerate"]) or fps
        self._counter = FrameCounter(1e9 / self._fps)
        self._clock = StampClock()

    @property
    def model(self) -> str:
        return "jetson-utils"

    @property
    def size(self) -> tuple[int, int]:
        return int(self._source.GetWidth()), int(self._source.GetHeight())

    @property
    def fps(self) -> float:
        return self._fps

    @property
    def live(self) -> bool:
        return True

    def start(self) -> None:
        try:
            self._source.Open()
        except Exception as error:
            raise CameraError(
                f"{self._uri}: does not begin to stream ({error}); is another program using it?"
            ) from error

    def read(self, timeout_s: float) -> Picture | None:
        source = self._source
        if source is None:
            return None
        try:
            image = source.Capture(format=FORMAT, timeout=max(1, round(timeout_s * 1e3)))
        except Exception as error:
            if self._source is None:
                return None  # closed meanwhile by another thread
            raise CameraLostError(
                f"{self._uri}: jetson-utils lost it ({error}); check the cable and start again"
            ) from error
        if image is None:
            return None
        t_ns = self._clock.arrival_ns(int(image.timestamp), self._now_ns())
        # Capture does not wait for the GPU's conversion: read at once, the picture is half the one before.
        self._utils.cudaDeviceSynchronize()
        own = np.array(self._utils.cudaToNumpy(image), copy=True)
        return Picture(self._counter.number(t_ns), t_ns, own)

    def close(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.Close()
