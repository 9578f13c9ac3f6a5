"""Two virtual cameras side by side, their trigger, and the truth about what they film."""

from __future__ import annotations

import numpy as np

from edge.frames import Exposure, FloatImage
from hw.camera import TriggerError
from hw.simulator.camera import SimulatedCamera
from hw.simulator.clock import SimulatedClock
from hw.simulator.library import scene_stage, scene_world
from hw.simulator.light import light_factor
from hw.simulator.motion import Matrix, similarity, translation
from hw.simulator.scene import REFERENCE_VIEW, View, World
from hw.simulator.spec import SimulatorSpec
from hw.simulator.timeline import Cycle, frame_times, used_exposure
from hw.trigger.start import StartEdge


class SimulatedTrigger:
    """The common edge of a simulated rig."""

    def __init__(self, spec: SimulatorSpec, clock: SimulatedClock) -> None:
        self._spec = spec
        self._clock = clock
        self.edge: StartEdge | None = None

    def start(self) -> int:
        """Start both cameras; the edge's time on the simulated host's clock in ns. See Trigger."""
        if self._spec.trigger_fails:
            raise TriggerError(
                "simulated trigger board: no answer, as its fault knob trigger_fails asks; set it to false"
            )
        self._clock.start()
        apart_us = self._spec.secondary.start_delay_us - self._spec.reference.start_delay_us
        self.edge = StartEdge(self._spec.host_epoch_ns, 0, round(abs(apart_us) * 1e3))
        return self._spec.host_epoch_ns

    def stop(self) -> None:
        """Nothing to drop: simulated cameras end by their own ``stop``."""


class SimulatedRig:
    """``hw.camera.Rig`` over one world described by ``spec``.

    ``pace`` is simulated seconds per real second; None films as fast as frames are rendered and read. It
    changes no pixel and no stamp, so it is no part of the spec. Raises SceneError.
    """

    def __init__(self, spec: SimulatorSpec, pace: float | None = 1.0) -> None:
        self.spec = spec
        self.world: World = scene_world(
            spec.scene, spec.width, spec.height, spec.seed, spec.stage, spec.motion
        )
        slower_us = max(spec.reference.frame_period_us, spec.secondary.frame_period_us)
        clock = SimulatedClock(pace, lead_ns=round(slower_us * 1e3))
        view = View(spec.geometry.baseline_m, true_homography(spec))
        self._reference = SimulatedCamera("reference", spec, self.world, REFERENCE_VIEW, clock)
        self._secondary = SimulatedCamera("secondary", spec, self.world, view, clock)
        self._trigger = SimulatedTrigger(spec, clock)

    @property
    def reference(self) -> SimulatedCamera:
        return self._reference

    @property
    def secondary(self) -> SimulatedCamera:
        return self._secondary

    @property
    def trigger(self) -> SimulatedTrigger:
        return self._trigger

    def true_homography(self) -> Matrix:
        """See the function of this name."""
        return true_homography(self.spec)

    def truth(self, reference_seq: int, exposure: Exposure | None = None) -> FloatImage:
        """See the function of this name."""
        return truth(self.spec, self.world, reference_seq, exposure)


def true_homography(spec: SimulatorSpec) -> Matrix:
    """3x3 map from secondary pixels to reference pixels, exact on the background plane.

    It is what a perfect calibration of the far scene finds; nearer objects keep their parallax.
    """
    geometry = spec.geometry
    if geometry.rectified:
        return np.eye(3)
    stage = spec.stage or scene_stage(spec.scene, spec.width)
    focal_px = stage.focal_px or float(spec.width)
    disparity = focal_px * geometry.baseline_m / stage.background_depth_m
    cx, cy = 0.5 * (spec.width - 1), 0.5 * (spec.height - 1)
    shift_x, shift_y = geometry.shift_px
    mounting = similarity(np.deg2rad(geometry.roll_deg), geometry.scale, cx + shift_x, cy + shift_y, cx, cy)
    return translation(disparity, 0.0) @ mounting


def truth(
    spec: SimulatorSpec, world: World, reference_seq: int, exposure: Exposure | None = None
) -> FloatImage:
    """What reference frame ``reference_seq`` would show without noise or clipping: (H, W, 3) float32.

    ``exposure`` is what the frame was taken with (from its sidecar), None for what the spec began with. The
    unit is radiance that saturates *that* exposure.
    """
    camera = spec.reference
    base = camera.exposures[0]
    if exposure is None:
        exposure = used_exposure((Cycle(0, camera.exposures),), camera, spec.seed, "reference", reference_seq)
    times = frame_times(camera, spec.seed, "reference", reference_seq, exposure)
    mid_s, exposure_s = times.mid_ns * 1e-9, exposure.exposure_us * 1e-6
    radiance = world.exposed(mid_s, exposure_s)
    scale = light_factor(spec.light, mid_s, exposure_s) * exposure.light / base.light
    if scale != 1.0:
        radiance *= np.float32(scale)
    return radiance
