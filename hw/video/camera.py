"""A camera of ready pictures that keeps the contract of ``hw.camera.Camera``."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edge.frames import CameraName, Exposure, Frame, FrameStatus, Image
from hw.camera import CameraError, CameraInfo
from hw.exposure_level import LevelIdentifier, Quantiles, quantiles_of
from hw.video.source import ExposureControl, Picture, PictureSource

SAMPLE_ROWS, SAMPLE_COLUMNS = 32, 48
SETTLE_FRAMES = 6
"""A webcam's first frames come before its settings hold."""


@dataclass(frozen=True, slots=True)
class VideoSettings:
    """What is true of a camera and cannot be read from it.

    ``transfer``: how 8-bit counts code light, needed to tell exposures by their level.
    """

    name: CameraName
    serial: str
    transfer: Literal["linear", "gamma22", "srgb"]


class VideoCamera:
    """Pictures of ``source``, each with the exposure it was really taken with.

    With ``control`` the exposures of ``set_exposures`` are set one after the other, a step a picture;
    without it (a file) they alternate as they were filmed. Either way a camera that alternates has each
    picture's exposure told by its level, and one that fits none is delivered as UNKNOWN_EXPOSURE.
    """

    def __init__(
        self, settings: VideoSettings, source: PictureSource, control: ExposureControl | None
    ) -> None:
        if source.live and control is None:
            raise CameraError(
                f"{settings.name} camera: its exposure cannot be set, so no frame's exposure would be known"
            )
        self._settings = settings
        self._source = source
        self._control = control
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._exposures: tuple[Exposure, ...] = ()
        self._identifier: LevelIdentifier | None = None
        self._step = 0
        self._settling = SETTLE_FRAMES if source.live else 0
        self._decode = _decoding(settings.transfer)
        width, height = source.size
        self._info = CameraInfo(
            name=settings.name,
            model=source.model,
            serial=settings.serial,
            width=width,
            height=height,
            pixel_format="rgb",
            bit_depth=8,
            black_level=0,
            white_level=255,
            frame_period_us=1e6 / source.fps,
            device_stamps=False,
        )

    @property
    def info(self) -> CameraInfo:
        return self._info

    def start(self) -> None:
        """See Camera. Pictures come from here on: there is no edge to wait for."""
        self._source.start()

    def set_exposures(self, exposures: Sequence[Exposure]) -> None:
        """See Camera. Times are rounded to what the camera can do. Raises CameraError out of its range."""
        cycle = tuple(self.possible(exposure) for exposure in exposures)
        with self._lock:
            self._identifier = self._retargeted(cycle)
            self._exposures = cycle
            self._step = 0
        if self._control is not None:
            self._control.apply(cycle[0].exposure_us)

    def read(self, timeout_s: float) -> Frame | None:
        """See Camera."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            picture = self._source.read(max(deadline_s - time.monotonic(), 0.001))
            if picture is None:
                return None
            exposure = self._exposure_of(picture)
            if not self._settling:
                return self._frame(picture, exposure)
            self._settling -= 1

    def stop(self) -> None:
        """See Camera."""
        self._stopped.set()
        self._source.close()
        if self._control is not None:
            self._control.close()

    def possible(self, exposure: Exposure) -> Exposure:
        """What the camera makes of ``exposure``. Raises CameraError out of its range."""
        if self._control is None:
            return exposure
        return Exposure(self._control.nearest_us(exposure.exposure_us), exposure.gain_db)

    def _retargeted(self, cycle: tuple[Exposure, ...]) -> LevelIdentifier | None:
        if len(cycle) == 1:
            return None
        try:
            if self._identifier is None:
                return LevelIdentifier(cycle)
            self._identifier.change(cycle)
            return self._identifier
        except ValueError as error:
            raise CameraError(
                f"{self._settings.name} camera: {error}; set low_ev and high_ev further apart"
            ) from error

    def _exposure_of(self, picture: Picture) -> Exposure | None:
        with self._lock:
            if not self._exposures:
                raise CameraError(f"{self._settings.name} camera: set_exposures comes before read")
            self._step += 1
            coming = self._exposures[self._step % len(self._exposures)]
            if self._identifier is None:
                return coming
            told = self._identifier.identify(self._quantiles(picture.image))
        if self._control is not None and not self._stopped.is_set():
            self._control.apply(coming.exposure_us)
        return told

    def _quantiles(self, image: Image) -> Quantiles:
        height, width = image.shape[:2]
        green = image[:: max(height // SAMPLE_ROWS, 1), :: max(width // SAMPLE_COLUMNS, 1), 1]
        return quantiles_of(self._decode[green])

    def _frame(self, picture: Picture, exposure: Exposure | None) -> Frame:
        known = exposure if exposure is not None else self._exposures[0]
        # The middle of the exposure, later by readout and transfer: constant, and equal for equal cameras.
        middle_ns = picture.t_arrival_ns - round(known.exposure_us * 500)
        return Frame(
            camera=self._settings.name,
            seq=picture.seq,
            t_device_ns=middle_ns,
            t_host_ns=picture.t_arrival_ns,
            exposure=known,
            image=picture.image if exposure is not None else np.empty((0, 0), np.uint8),
            pixel_format="rgb",
            bit_depth=8,
            status=FrameStatus.OK if exposure is not None else FrameStatus.UNKNOWN_EXPOSURE,
        )


def _decoding(transfer: Literal["linear", "gamma22", "srgb"]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """(256,) linear light of each count; IEC 61966-2-1 for srgb."""
    coded = np.arange(256) / 255.0
    if transfer == "srgb":
        return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    return coded**2.2 if transfer == "gamma22" else coded
