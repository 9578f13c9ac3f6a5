"""The Python interface of jetson-utils, as far as cameras need it, with frames of a real video file.

After python/bindings/PyVideo.cpp, PyCUDA.cpp and PyNumPy.cpp of dusty-nv/jetson-utils (2023 and newer) and
codec/gstBufferManager.cpp, quirks and all:

- every fault is a plain ``Exception``; a timeout is None;
- ``Capture`` takes whole milliseconds, opens the stream itself, and answers with the *newest* frame: what was
  not fetched in time is lost without a word;
- its images lie in a ring of ``numBuffers`` that it goes round, and ``cudaToNumpy`` is a view of that memory;
- the GPU converts after ``Capture`` has returned: before ``cudaDeviceSynchronize`` the memory is half old;
- ``timestamp`` counts nanoseconds of CLOCK_REALTIME since the process began, and is 0 where it was lost;
- ``GetFrameRate`` cuts 29.97 to 29; ``GetOptions`` has it whole.
"""

# ruff: noqa: N801, N802  names are those of jetson-utils

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


class Sensor:
    """What stands behind a URI: tests film with it frame by frame. ``wall_ns``: what the wall clock shows."""

    def __init__(self, path: Path, framerate: float) -> None:
        self._pictures = _pictures(path)
        self.framerate = framerate
        self.come = threading.Condition()
        self.newest: tuple[NDArray[np.uint8], int] | None = None
        self.broken = False
        self.streaming = False

    def film(self, wall_ns: int) -> NDArray[np.uint8]:
        """The next picture arrives at GStreamer now."""
        picture = next(self._pictures)
        with self.come:
            self.newest = (picture, wall_ns)
            self.come.notify_all()
        return picture

    def unplug(self) -> None:
        """The pipeline reports an error."""
        with self.come:
            self.broken = True
            self.come.notify_all()


def _pictures(path: Path) -> Iterator[NDArray[np.uint8]]:
    capture = cv2.VideoCapture(str(path))
    while True:
        there, image = capture.read()
        if not there:
            return
        yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


class cudaImage:
    """An image in mapped memory."""

    def __init__(self, memory: NDArray[np.uint8], timestamp: int) -> None:
        self.memory = memory
        self.height, self.width, self.channels = memory.shape
        self.shape = memory.shape
        self.format = "rgb8"
        self.timestamp = timestamp
        self.mapped = True


class Module:
    """Stands for the module ``jetson_utils``; ``sensors`` are what is plugged in, by URI."""

    def __init__(self, sensors: dict[str, Sensor]) -> None:
        self.sensors = sensors
        self.pending: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []
        module = self

        class videoSource:
            def __init__(
                self,
                uri: str = "",
                argv: list[str] | None = None,
                positionArg: int = -1,
                options: dict[str, Any] | None = None,
            ) -> None:
                sensor = module.sensors.get(uri)
                if sensor is None:
                    raise Exception("jetson.utils -- failed to create videoSource device")
                asked = options or {}
                if not isinstance(asked.get("width", 0), int) or not isinstance(
                    asked.get("framerate", 0.0), float
                ):
                    raise Exception("jetson.utils -- options argument has a wrong type")
                self._sensor = sensor
                self._options = {
                    "width": asked.get("width", 1280),
                    "height": asked.get("height", 720),
                    "framerate": sensor.framerate,
                    "numBuffers": asked.get("numBuffers", 4),
                    "zeroCopy": asked.get("zeroCopy", True),
                }
                self._ring: list[NDArray[np.uint8]] = []
                self._turn = 0

            def Open(self) -> None:
                self._sensor.streaming = True

            def Close(self) -> None:
                self._sensor.streaming = False

            def Capture(self, format: str = "rgb8", timeout: int = 1000, stream: int = 0) -> cudaImage | None:
                if not isinstance(timeout, int):
                    raise TypeError("an integer is required")
                if not self._sensor.streaming:
                    self.Open()
                with self._sensor.come:
                    self._sensor.come.wait_for(
                        lambda: self._sensor.newest is not None or self._sensor.broken, timeout / 1e3
                    )
                    if self._sensor.broken:
                        raise Exception("jetson.utils -- videoSource failed to capture image")
                    if self._sensor.newest is None:
                        return None
                    picture, stamp = self._sensor.newest
                    self._sensor.newest = None
                if not self._ring:
                    self._ring = [np.zeros_like(picture) for _ in range(self._options["numBuffers"])]
                memory = self._ring[self._turn % len(self._ring)]
                self._turn += 1
                memory[: len(memory) // 2] = picture[: len(memory) // 2]
                module.pending.append((memory, picture))
                return cudaImage(memory, stamp)

            def GetWidth(self) -> int:
                return int(self._options["width"])

            def GetHeight(self) -> int:
                return int(self._options["height"])

            def GetFrameRate(self) -> int:
                return int(self._options["framerate"])

            def GetOptions(self) -> dict[str, Any]:
                return dict(self._options)

            def IsStreaming(self) -> bool:
                return self._sensor.streaming

        self.videoSource = videoSource

    def cudaDeviceSynchronize(self) -> None:
        for memory, picture in self.pending:
            memory[:] = picture
        self.pending.clear()

    def cudaToNumpy(self, array: cudaImage) -> NDArray[np.uint8]:
        if not array.mapped:
            raise Exception("jetson.utils -- cudaToNumpy() needs to use CUDA mapped memory as input")
        return array.memory
