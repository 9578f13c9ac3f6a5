"""Everything that decides what a simulated rig films, in one frozen value that goes to JSON and back.

A session stores it, so that another process can render the very same ground truth later.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge.errors import EX_DATAERR, TwinhdrError
from edge.frames import CameraName, Exposure
from hw.simulator.light import Light
from hw.simulator.motion import Motion
from hw.simulator.scene import Stage
from hw.simulator.sensor import Sensor


class SpecError(TwinhdrError):
    """A stored simulator description is not one. The text lists every fault."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class DeviceClock:
    """A camera's own clock: ``stamp = offset_ns + tick_ratio * (1 + drift_ppm * 1e-6) * true time``.

    ``tick_ratio`` is what the driver gets wrong when it takes the camera's ticks for nanoseconds (10 and
    0.694 occur). It spoils the stamps only; ``drift_ppm`` is the oscillator, so it moves the frames too.
    """

    offset_ns: int = 0
    drift_ppm: float = 0.0
    tick_ratio: float = 1.0


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong with one camera. Shares are probabilities per frame, drawn from the rig's seed."""

    lost_share: float = 0.0
    """Frames that never arrive: a gap in the sequence numbers."""
    lost_seqs: tuple[int, ...] = ()
    incomplete_share: float = 0.0
    """Frames with missing packets: status INCOMPLETE, no image."""
    incomplete_seqs: tuple[int, ...] = ()
    late_exposure_share: float = 0.0
    """Frames that an exposure change reached too late: taken with the setting of the frame before."""
    late_exposure_seqs: tuple[int, ...] = ()
    silences: tuple[tuple[float, float], ...] = ()
    """From, to in seconds after the start edge: nothing arrives; the camera keeps counting."""
    gone_at_s: float | None = None
    """From here on the camera is lost: every call raises CameraLostError."""


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """One virtual camera.

    ``exposures`` is the cycle it starts with. A frame begins every ``frame_period_us`` of the camera's own
    time, ``start_delay_us`` after the edge; it arrives ``readout_us`` after its exposure ends plus a jitter
    of mean ``jitter_us``. ``exposure_lag_frames`` pass before a change of the cycle takes hold.
    """

    frame_period_us: float
    exposures: tuple[Exposure, ...]
    sensor: Sensor = field(default_factory=Sensor)
    clock: DeviceClock = DeviceClock()
    start_delay_us: float = 0.0
    readout_us: float = 8_000.0
    jitter_us: float = 300.0
    exposure_lag_frames: int = 1
    faults: Faults = Faults()


@dataclass(frozen=True, slots=True)
class Geometry:
    """The secondary camera's place beside the reference.

    ``baseline_m`` to its right; ``shift_px``, ``roll_deg`` and ``scale`` carry its pixels onto the
    reference's, turned about the image centre: what is left of mounting two cameras by hand. ``rectified``
    undoes all that and the background's disparity within the camera, so that only the parallax of near
    objects remains and nothing is there to calibrate.
    """

    baseline_m: float = 0.05
    shift_px: tuple[float, float] = (5.0, -3.5)
    roll_deg: float = 0.3
    scale: float = 1.002
    rectified: bool = False


def _reference() -> CameraSpec:
    return CameraSpec(1e6 / 30, (Exposure(8_000.0),), clock=DeviceClock(7_310_000_000, 12.0))


def _secondary() -> CameraSpec:
    cycle = (Exposure(2_000.0), Exposure(32_000.0))
    return CameraSpec(1e6 / 15, cycle, clock=DeviceClock(91_450_000_000, -21.0))


@dataclass(frozen=True, slots=True)
class SimulatorSpec:
    """A scene, two cameras and all their faults.

    ``scene`` is a shipped scene's name or the path of an EXR file; ``stage`` and ``motion`` default to the
    scene's own. Radiance 1.0 saturates ``reference.exposures[0]``. ``host_epoch_ns`` is the simulated host's
    monotonic clock at the start edge.
    """

    scene: str = "workshop"
    width: int = 960
    height: int = 540
    seed: int = 1
    light: Light = "steady"
    reference: CameraSpec = field(default_factory=_reference)
    secondary: CameraSpec = field(default_factory=_secondary)
    geometry: Geometry = Geometry()
    stage: Stage | None = None
    motion: Motion | None = None
    trigger_fails: bool = False
    host_epoch_ns: int = 1_000_000_000_000

    def __post_init__(self) -> None:
        if self.width % 2 or self.height % 2 or min(self.width, self.height) < 16:
            raise ValueError(f"{self.width}x{self.height}: a Bayer view has even sides of at least 16 px")
        for name in ("reference", "secondary"):
            camera: CameraSpec = getattr(self, name)
            check_exposures(name, camera.exposures, camera.frame_period_us)

    def camera(self, name: CameraName) -> CameraSpec:
        return self.reference if name == "reference" else self.secondary

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SimulatorSpec:
        """The spec that ``to_dict`` described. Raises SpecError naming every key that does not fit."""
        from pydantic import TypeAdapter, ValidationError

        try:
            spec = TypeAdapter(cls).validate_python(dict(data))
        except ValidationError as error:
            faults = (f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors())
            raise SpecError("simulator description: " + "; ".join(faults)) from error
        unknown = _unknown_keys(data, spec.to_dict())
        if unknown:
            raise SpecError(f"simulator description: unknown key {', '.join(unknown)}")
        return spec


def _unknown_keys(data: Mapping[str, Any], known: Mapping[str, Any], path: str = "") -> list[str]:
    unknown = [path + key for key in data if key not in known]
    for key, value in data.items():
        if isinstance(value, Mapping) and isinstance(known.get(key), Mapping):
            unknown += _unknown_keys(value, known[key], f"{path}{key}.")
    return unknown


def check_exposures(camera: str, exposures: tuple[Exposure, ...], frame_period_us: float) -> None:
    """Raise ValueError unless each of one or more exposures fits the frame period."""
    if not exposures:
        raise ValueError(f"{camera}: no exposure given; one makes it constant, several a cycle")
    for exposure in exposures:
        if not 0.0 < exposure.exposure_us <= frame_period_us:
            raise ValueError(
                f"{camera}: exposure {exposure.exposure_us:g} us does not fit the frame period of "
                f"{frame_period_us:g} us; shorten it or lower the frame rate"
            )
