"""Two cameras of ready pictures, opened as the configuration says."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge.frames import CameraName
from hw.camera import CameraError, Trigger
from hw.jetson import JetsonSource, find_jetson_utils
from hw.video.camera import VideoCamera, VideoSettings
from hw.video.exposure import V4l2Exposure
from hw.video.files import FileSource
from hw.video.opencv import OpenCvSource, WantedFormat
from hw.video.source import PictureSource
from hw.video.uri import VideoUri, parse_uri

if TYPE_CHECKING:
    from edge.config.schema import Config

log = logging.getLogger(__name__)

FPS_TOLERANCE = 0.02


class FreeRun:
    """In place of a trigger: these cameras stream from ``start`` on, each when it likes.

    What that costs: the phase between them is any, up to half a period of the secondary camera, and every
    pair is older by it than with a common edge.
    """

    def __init__(self, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._now_ns = now_ns

    def start(self) -> int:
        return self._now_ns()

    def stop(self) -> None:
        """Nothing to drop."""


class VideoRig:
    """The rig of ``rig.source: video``. Raises CameraError where a camera does not open as configured."""

    def __init__(self, config: Config) -> None:
        self._trigger = FreeRun()
        reference = _open(config, "reference")
        try:
            secondary = _open(config, "secondary")
        except BaseException:
            reference.camera.stop()
            raise
        self._reference, self._secondary = reference.camera, secondary.camera
        if reference.live != secondary.live:
            self._reference.stop()
            self._secondary.stop()
            raise CameraError("one camera is a file and the other is not: their times have nothing in common")
        self.live = reference.live

    @property
    def reference(self) -> VideoCamera:
        return self._reference

    @property
    def secondary(self) -> VideoCamera:
        return self._secondary

    @property
    def trigger(self) -> Trigger:
        return self._trigger


@dataclass(frozen=True, slots=True)
class _Opened:
    camera: VideoCamera
    live: bool


def _open(config: Config, name: CameraName) -> _Opened:
    video = config.video.reference if name == "reference" else config.video.secondary
    fps = config.rig.reference.fps if name == "reference" else config.rig.secondary.fps
    if video.uri is None:
        raise CameraError(f"video.{name}.uri is not set; write csi://0, v4l2:///dev/video0 or a video file")
    uri = parse_uri(video.uri)
    control = None
    if uri.kind != "file":
        assert uri.node is not None
        control = V4l2Exposure(Path(video.controls) if video.controls else uri.node, video.gain)
    try:
        prepare = control.prepare if control is not None else _nothing
        source = _source(config, uri, fps, prepare)
        try:
            _check(config, name, source, fps)
            serial = control.serial if control is not None else str(uri)
            settings = VideoSettings(name, serial, config.video.transfer)
            return _Opened(VideoCamera(settings, source, control), source.live)
        except BaseException:
            source.close()
            raise
    except BaseException:
        if control is not None:
            control.close()
        raise


def _nothing() -> None:
    """A file has no settings to be brought back."""


def _source(config: Config, uri: VideoUri, fps: float, prepare: Callable[[], None]) -> PictureSource:
    width, height = config.rig.width, config.rig.height
    if uri.kind == "file":
        return FileSource(Path(uri.place))
    backend = config.video.backend
    if backend == "auto":
        backend = "opencv" if uri.kind == "v4l2" and find_jetson_utils() is None else "jetson"
    if backend == "jetson":
        return JetsonSource(uri, width, height, fps)
    if uri.kind == "csi":
        raise CameraError(f"{uri}: only jetson-utils opens CSI cameras; set video.backend to auto")
    return OpenCvSource(Path(uri.place), WantedFormat(width, height, fps, config.video.pixel_format), prepare)


def _check(config: Config, name: CameraName, source: PictureSource, fps: float) -> None:
    width, height = source.size
    if (width, height) != (config.rig.width, config.rig.height):
        raise CameraError(
            f"{name} camera: gives {width}x{height}, not the {config.rig.width}x{config.rig.height} of "
            "rig.width and rig.height; v4l2-ctl --list-formats-ext shows what it can"
        )
    if abs(source.fps / fps - 1.0) > FPS_TOLERANCE:
        raise CameraError(
            f"{name} camera: gives {source.fps:g} frames per second, not the {fps:g} of rig.{name}.fps; "
            "set that, or another video.pixel_format (MJPG is fast over USB 2)"
        )
