"""Exposure of a live camera through its V4L2 controls, whatever its driver calls them."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from pathlib import Path

from hw.camera import CameraError
from hw.v4l2 import Control, V4l2Device, V4l2Error

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TimeControl:
    """A control that sets exposure time, and what one unit of it is."""

    name: str
    unit_us: float
    driver: str | None = None
    """Only of this driver; elsewhere the same name counts sensor lines or nothing known."""


TIME_CONTROLS = (
    TimeControl("exposure_time_absolute", 100.0),
    TimeControl("exposure_absolute", 100.0),
    TimeControl("exposure", 1.0, "tegra-video"),
)
"""UVC since Linux 5.15 or so, UVC before (V4L2_CID_EXPOSURE_ABSOLUTE counts 100 us), sensors of a Jetson."""

MANUAL = {
    "auto_exposure": 1,
    "exposure_auto": 1,
    "exposure_dynamic_framerate": 0,
    "exposure_auto_priority": 0,
    "white_balance_automatic": 0,
    "white_balance_temperature_auto": 0,
    "gain_automatic": 0,
    "autogain": 0,
    "focus_automatic_continuous": 0,
    "focus_auto": 0,
    "backlight_compensation": 0,
    "wide_dynamic_range": 0,
    "override_enable": 1,
}
"""What must not change from frame to frame, where a camera has it; menu entry 1 is manual exposure.

``override_enable``: without it a Jetson's sensor driver stores what is set and never tells the sensor.
"""


class V4l2Exposure:
    """Manual exposure of one device. See ExposureControl.

    ``gain`` is in the device's own units; None: its lowest, where it is quietest.
    """

    def __init__(self, node: Path, gain: int | None) -> None:
        self._node = node
        self._gain = gain
        self._lock = threading.Lock()
        self._applied: int | None = None
        self._told = False
        self._device = _open(node)
        try:
            self._time, self._unit_us = self._find_time()
            self._make_manual()
        except BaseException:
            self._device.close()
            raise

    @property
    def serial(self) -> str:
        """Name and place, which tell two equal webcams apart."""
        return f"{self._device.card} at {self._device.bus_info}"

    def prepare(self) -> None:
        """Set everything again on a camera that was plugged in again. Raises CameraError."""
        with self._lock:
            self._device.close()
            self._device = _open(self._node)
            self._make_manual()
            if self._applied is not None:
                self._try(self._time.name, self._applied)
            self._told = False

    def _make_manual(self) -> None:
        """Everything automatic off, gain set."""
        for name, value in MANUAL.items():
            if name in self._device.controls:
                self._try(name, value)
        if "gain" in self._device.controls:
            control = self._device.controls["gain"]
            self._try("gain", control.minimum if self._gain is None else control.nearest(self._gain))

    def nearest_us(self, exposure_us: float) -> float:
        value = self._time.nearest(exposure_us / self._unit_us)
        given_us = value * self._unit_us
        if not 0.75 <= given_us / exposure_us <= 1.33:
            low_us, high_us = self._time.minimum * self._unit_us, self._time.maximum * self._unit_us
            raise CameraError(
                f"{self._node}: no exposure near {exposure_us:.0f} us; {self._time.name} goes from "
                f"{low_us:g} to {high_us:g} us in steps of {self._time.step * self._unit_us:g}; change "
                "rig.reference.exposure_us, rig.secondary.low_ev or high_ev"
            )
        return given_us

    def apply(self, exposure_us: float) -> None:
        value = self._time.nearest(exposure_us / self._unit_us)
        with self._lock:
            if value == self._applied:
                return
            self._applied = value
            try:
                self._device.set(self._time.name, value)
            except V4l2Error as error:
                # once: a camera that is away is told so with every frame of the other one
                if not self._told:
                    log.warning("%s", error)
                self._told = True

    def close(self) -> None:
        with self._lock:
            self._device.close()

    def _find_time(self) -> tuple[Control, float]:
        for known in TIME_CONTROLS:
            control = self._device.controls.get(known.name)
            if control is not None and known.driver in (None, self._device.driver):
                return control, known.unit_us
        there = ", ".join(sorted(self._device.controls)) or "none"
        raise CameraError(
            f"{self._node} ({self._device.card}): no exposure control that twinhdr knows; it has {there}. "
            "Another camera is needed, or video.*.controls must name the node that has them"
        )

    def _try(self, name: str, value: int) -> None:
        try:
            self._device.set(name, value)
        except V4l2Error as error:
            log.warning("%s; it may change by itself", error)


def _open(node: Path) -> V4l2Device:
    try:
        return V4l2Device(node)
    except V4l2Error as error:
        raise CameraError(str(error)) from error
