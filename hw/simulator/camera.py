"""A virtual camera that keeps the contract of ``hw.camera.Camera``."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.frames import CameraName, Exposure, Frame, FrameStatus, Image
from hw.camera import CameraError, CameraInfo, CameraLostError
from hw.simulator.clock import SimulatedClock
from hw.simulator.light import light_factor
from hw.simulator.scene import View, World
from hw.simulator.sensor import expose
from hw.simulator.spec import CameraSpec, SimulatorSpec, check_exposures
from hw.simulator.timeline import (
    Cycle,
    Fate,
    FrameTimes,
    continued,
    device_stamp,
    frame_fate,
    frame_rng,
    frame_times,
    used_exposure,
)

KEPT_CYCLES = 64
"""Settings that a late frame may still be taken with."""


@dataclass(frozen=True, slots=True)
class _Event:
    """What the camera does next: gives ``frame``, loses one (None), or goes for good."""

    due_ns: int
    frame: Frame | None
    gone: bool = False


class SimulatedCamera:
    """Films ``world`` through ``view``. Frames are rendered in the thread that calls ``read``."""

    def __init__(
        self, name: CameraName, spec: SimulatorSpec, world: World, view: View, clock: SimulatedClock
    ) -> None:
        self._name: CameraName = name
        self._rig = spec
        self._spec: CameraSpec = spec.camera(name)
        self._world = world
        self._view = view
        self._clock = clock
        self._reference_light = spec.reference.exposures[0].light
        self._lock = threading.Lock()
        self._cycles = [Cycle(0, self._spec.exposures)]
        self._seq = 0
        self._coming: _Event | None = None
        self._lost = False

    @property
    def info(self) -> CameraInfo:
        sensor = self._spec.sensor
        return CameraInfo(
            name=self._name,
            model="twinhdr simulator",
            serial=f"{self._rig.scene}-{self._rig.seed}-{self._name}",
            width=self._rig.width,
            height=self._rig.height,
            pixel_format=sensor.pixel_format,
            bit_depth=sensor.bit_depth,
            black_level=sensor.black,
            white_level=sensor.white,
            frame_period_us=self._spec.frame_period_us,
        )

    def start(self) -> None:
        """Arm. See Camera."""
        self._clock.join(self._name)

    def stop(self) -> None:
        """End filming; a waiting ``read`` returns None. See Camera."""
        self._clock.leave(self._name)

    def set_exposures(self, exposures: Sequence[Exposure]) -> None:
        """See Camera. Raises CameraError where an exposure does not fit the frame period."""
        self._raise_if_lost()
        cycle = tuple(exposures)
        try:
            check_exposures(f"{self._name} camera", cycle, self._spec.frame_period_us)
        except ValueError as error:
            raise CameraError(str(error)) from error
        with self._lock:
            lag = self._spec.exposure_lag_frames if self._clock.started else 0
            changed = continued(self._cycles[-1], self._seq + lag, cycle)
            if changed.since == self._cycles[-1].since:
                self._cycles.pop()  # nothing was taken with it
            self._cycles.append(changed)
            del self._cycles[:-KEPT_CYCLES]

    def read(self, timeout_s: float) -> Frame | None:
        """See Camera. Rendering counts towards ``timeout_s`` but is never cut short."""
        self._raise_if_lost()
        deadline_s = time.monotonic() + timeout_s
        if not self._clock.wait_for_start(self._name, timeout_s):
            return None
        while True:
            if self._coming is None:
                self._coming = self._next()
            event = self._coming
            if not self._clock.wait_until(self._name, event.due_ns, deadline_s - time.monotonic()):
                return None
            self._coming = None
            if event.gone:
                self._lost = True
                self._clock.leave(self._name)
                self._raise_if_lost()
            if event.frame is not None or time.monotonic() >= deadline_s:
                return event.frame

    def _raise_if_lost(self) -> None:
        if self._lost:
            raise CameraLostError(
                f"{self._name} camera: gone since {self._spec.faults.gone_at_s:g} s after the start edge, as "
                "its simulated fault asks; open a new rig"
            )

    def _next(self) -> _Event:
        """Expose the next frame."""
        with self._lock:
            seq = self._seq
            self._seq += 1
            exposure = used_exposure(self._cycles, self._spec, self._rig.seed, self._name, seq)
        times = frame_times(self._spec, self._rig.seed, self._name, seq, exposure)
        gone_s = self._spec.faults.gone_at_s
        gone = gone_s is not None and times.arrival_ns >= gone_s * 1e9
        due_ns = round(gone_s * 1e9) if gone_s is not None and gone else times.arrival_ns
        self._clock.announce(self._name, due_ns)
        fate = frame_fate(self._spec, self._rig.seed, self._name, seq)
        if gone or fate is Fate.LOST:
            return _Event(due_ns, None, gone)
        return _Event(due_ns, self._frame(seq, exposure, times, fate))

    def _frame(self, seq: int, exposure: Exposure, times: FrameTimes, fate: Fate) -> Frame:
        sensor = self._spec.sensor
        incomplete = fate is Fate.INCOMPLETE
        return Frame(
            camera=self._name,
            seq=seq,
            t_device_ns=device_stamp(self._spec.clock, times.mid_ns),
            t_host_ns=self._rig.host_epoch_ns + times.arrival_ns,
            exposure=exposure,
            image=np.empty((0, 0), np.uint16) if incomplete else self._image(seq, exposure, times),
            pixel_format=sensor.pixel_format,
            bit_depth=sensor.bit_depth,
            status=FrameStatus.INCOMPLETE if incomplete else FrameStatus.OK,
        )

    def _image(self, seq: int, exposure: Exposure, times: FrameTimes) -> Image:
        mid_s, exposure_s = times.mid_ns * 1e-9, exposure.exposure_us * 1e-6
        radiance = self._world.exposed(mid_s, exposure_s, self._view)
        lit = light_factor(self._rig.light, mid_s, exposure_s)
        ratio = lit * exposure.light / self._reference_light
        rng = frame_rng(self._rig.seed, self._name, seq, "noise")
        return expose(radiance, self._spec.sensor, ratio, exposure.gain_db, rng)
