"""From configuration to cameras: the one place that knows every kind of rig."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from hw.camera import Rig
from hw.simulator.spec import CameraSpec, DeviceClock, Faults, Geometry, SimulatorSpec

if TYPE_CHECKING:
    from edge.config_schema import Config

FOREVER_S = 1e9


def open_rig(config: Config) -> Rig:
    """The rig that ``rig.source`` names. Raises TwinhdrError where its scene or session cannot be used."""
    if config.rig.source == "replay":
        from hw.replay import ReplayRig

        assert config.replay.session is not None, "the configuration was validated"
        return ReplayRig(config.replay.session, pace=pace_factor(config.replay.pace))
    from hw.simulator.rig import SimulatedRig

    return SimulatedRig(simulator_spec(config), pace=pace_factor(config.simulator.pace))


def pace_factor(pace: float | str) -> float | None:
    """Scene seconds per real second; None for "max" and "auto", where only the reader sets the pace."""
    return None if isinstance(pace, str) else float(pace)


def simulator_spec(config: Config) -> SimulatorSpec:
    """The simulated rig that ``config`` asks for.

    Without a calibration file the configuration says that the views already agree, so the simulated cameras
    are rectified; with one they are as badly mounted as real ones.
    """
    rig, faults = config.rig, config.simulator.faults
    base = SimulatorSpec()
    lost = Faults(lost_share=faults.lost_frame_share)
    silent = faults.silent_after_s
    secondary_faults = dataclasses.replace(
        lost,
        late_exposure_share=faults.late_exposure_share,
        silences=() if silent is None else ((silent, FOREVER_S),),
    )
    clock = DeviceClock(
        base.secondary.clock.offset_ns, faults.secondary_clock_drift_ppm, faults.secondary_clock_ratio
    )
    sensor = dataclasses.replace(base.reference.sensor, bit_depth=rig.bit_depth)
    reference = CameraSpec(
        1e6 / rig.reference.fps, (rig.reference.exposure,), sensor, base.reference.clock, faults=lost
    )
    secondary = CameraSpec(
        1e6 / rig.secondary.fps, (rig.low, rig.high), sensor, clock, faults=secondary_faults
    )
    return SimulatorSpec(
        scene=config.simulator.scene,
        width=rig.width,
        height=rig.height,
        seed=config.simulator.seed,
        reference=reference,
        secondary=secondary,
        geometry=Geometry(rectified=config.calibration.file is None),
    )
