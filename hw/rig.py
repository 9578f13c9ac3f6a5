"""What the configuration says of the simulated rig, in the simulator's own words."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from hw.simulator.spec import CameraSpec, DeviceClock, Faults, SimulatorSpec

if TYPE_CHECKING:
    from edge.config.schema import Config

FOREVER_S = 1e9


def pace_factor(pace: float | str) -> float | None:
    """Scene seconds per real second; None for "max", where only the reader sets the pace.

    "auto" is never faster than real time; it differs from 1 in that the line makes the cameras wait.
    """
    if isinstance(pace, str):
        return 1.0 if pace == "auto" else None
    return float(pace)


def simulator_spec(config: Config) -> SimulatorSpec:
    """The simulated rig that ``config`` asks for; its cameras are as badly mounted as real ones."""
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
        scene=_scene(config.simulator.scene),
        width=rig.width,
        height=rig.height,
        seed=config.simulator.seed,
        light=config.simulator.light,
        reference=reference,
        secondary=secondary,
    )


def _scene(scene: str) -> str:
    """A session remembers the scene: a path must not depend on the folder it was started in."""
    path = Path(scene)
    return str(path.absolute()) if path.suffix else scene
