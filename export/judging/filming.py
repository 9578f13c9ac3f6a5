"""The simulator's cameras without their clocks and faults: frame by number, as fast as they render."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from edge.develop.linear import DevelopSettings, develop
from edge.frames import CameraName, Exposure, FloatImage, Frame
from edge.pair import Stamped
from hw.simulator.scene import REFERENCE_VIEW, View, World
from hw.simulator.sensor import expose
from hw.simulator.spec import CameraSpec
from hw.simulator.timeline import frame_rng, frame_times

KEPT = 4
"""Developed frames that neighbours in time ask for again."""


class Film:
    """What ``camera`` films of ``world``; its cycle of exposures begins with frame 0.

    ``unit`` is the light (``Exposure.light``) whose saturation is radiance 1.0. Times are from the common
    start edge.
    """

    def __init__(
        self,
        world: World,
        camera: CameraSpec,
        name: CameraName,
        unit: float,
        seed: int = 1,
        view: View = REFERENCE_VIEW,
    ) -> None:
        self._world, self._camera, self._name = world, camera, name
        self._unit, self._seed, self._view = unit, seed, view
        self._settings = DevelopSettings(camera.sensor.black, camera.sensor.white, (1.0, 1.0, 1.0))
        self.linear = lru_cache(KEPT)(self._linear)

    def exposure(self, seq: int) -> Exposure:
        """What frame ``seq`` is taken with."""
        return self._camera.exposures[seq % len(self._camera.exposures)]

    def stamped(self, seq: int) -> Stamped:
        """Frame ``seq`` with its time, without its picture: pairing needs no more."""
        exposure, mid_ns = self.exposure(seq), self._mid_ns(seq)
        sensor, none = self._camera.sensor, np.empty((0, 0), np.uint16)
        frame = Frame(self._name, seq, mid_ns, mid_ns, exposure, none, sensor.pixel_format, sensor.bit_depth)
        return Stamped(frame, mid_ns)

    def truth(self, seq: int) -> FloatImage:
        """Radiance (H, W, 3) in reference units that frame ``seq`` stands for, its motion blur included."""
        return self._radiance(seq)

    def _linear(self, seq: int) -> FloatImage:
        """Frame ``seq`` developed: (H, W, 3) float32 in [0, 1]."""
        sensor, exposure = self._camera.sensor, self.exposure(seq)
        rng = frame_rng(self._seed, self._name, seq, "noise")
        raw = expose(self._radiance(seq), sensor, exposure.light / self._unit, exposure.gain_db, rng)
        return develop(raw, sensor.pixel_format, self._settings)

    def _radiance(self, seq: int) -> FloatImage:
        return self._world.exposed(
            self._mid_ns(seq) * 1e-9, self.exposure(seq).exposure_us * 1e-6, self._view
        )

    def _mid_ns(self, seq: int) -> int:
        return frame_times(self._camera, self._seed, self._name, seq, self.exposure(seq)).mid_ns
