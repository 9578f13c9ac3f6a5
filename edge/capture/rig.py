"""From configuration to cameras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from edge.config.schema import Config
from edge.develop.linear import Transfer
from edge.errors import TwinhdrError
from edge.frames import CameraName, Exposure
from edge.fuse.assembly import Source
from edge.register.rectify import Calibration, identity, load_calibration, parse_calibration
from hw.camera import CameraInfo, Rig


class RigError(TwinhdrError):
    """The cameras cannot be opened. The text says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class OpenRig:
    """Two cameras ready to be armed.

    ``can_wait``: the source films as fast as its frames are taken, so nothing needs to be dropped.
    ``calibration`` is the geometry that the configuration names, else what the source knows of itself.
    ``simulator`` describes a simulated world well enough to render its ground truth again.
    """

    rig: Rig
    source: str
    can_wait: bool
    calibration: Calibration
    reference_exposure: Exposure
    secondary_exposures: tuple[Exposure, ...]
    simulator: Mapping[str, Any] | None = None
    transfer: Transfer = "linear"

    def as_source(self) -> Source:
        """What the fusion line needs to know of it."""
        cameras: dict[CameraName, CameraInfo] = {
            "reference": self.rig.reference.info,
            "secondary": self.rig.secondary.info,
        }
        return Source(cameras, self.calibration, self.transfer)

    @property
    def full_scale(self) -> float:
        """The radiance that saturates the low exposure: the brightest that can be measured."""
        return max(self.reference_exposure.light / e.light for e in self.secondary_exposures)


def open_rig(config: Config) -> OpenRig:
    """The cameras that ``rig.source`` names.

    Raises RigError, CameraError, TriggerError, CalibrationError, SceneError, SessionError, UnavailableError.
    """
    openers = {"simulator": _simulated, "replay": _replayed, "video": _video, "gige": _gige}
    opened = openers[config.rig.source](config)
    if config.calibration.file is None:
        return opened
    info = opened.rig.reference.info
    calibration = load_calibration(config.calibration.file, info.width, info.height)
    return replace(opened, calibration=calibration)


def _simulated(config: Config) -> OpenRig:
    from hw.rig import pace_factor, simulator_spec
    from hw.simulator.rig import SimulatedRig

    spec = simulator_spec(config)
    rig = SimulatedRig(spec, pace_factor(config.simulator.pace))
    rows = tuple((float(a), float(b), float(c)) for a, b, c in rig.true_homography())
    return OpenRig(
        rig,
        f"simulated scene {spec.scene}",
        can_wait=isinstance(config.simulator.pace, str),
        calibration=Calibration(spec.width, spec.height, rows),
        reference_exposure=config.rig.reference.exposure,
        secondary_exposures=(config.rig.low, config.rig.high),
        simulator=spec.to_dict(),
    )


def _replayed(config: Config) -> OpenRig:
    from edge.session.recording import Session
    from hw.replay import ReplayRig
    from hw.rig import pace_factor

    if config.replay.session is None:
        raise RigError("replay.session is not set; name the folder of a recorded session")
    session = Session.open(config.replay.session)
    header = session.header
    info = header.cameras["reference"]
    stored = header.calibration
    calibration = (
        parse_calibration(stored, f"{config.replay.session}/session.json: calibration")
        if stored is not None
        else identity(info.width, info.height)
    )
    return OpenRig(
        ReplayRig(session, pace=pace_factor(config.replay.pace)),
        f"recording {config.replay.session.name}",
        can_wait=isinstance(config.replay.pace, str),
        calibration=calibration,
        reference_exposure=header.exposures["reference"][0],
        secondary_exposures=header.exposures["secondary"],
        simulator=header.simulator,
        transfer=header.transfer,
    )


def _video(config: Config) -> OpenRig:
    from hw.video.rig import VideoRig

    rig = VideoRig(config)
    uris = f"{config.video.reference.uri} and {config.video.secondary.uri}"
    return OpenRig(
        rig,
        f"cameras {uris}" if rig.live else f"videos {uris}",
        can_wait=not rig.live,
        calibration=identity(config.rig.width, config.rig.height),
        # as the cameras round them: a webcam counts in steps of 100 us
        reference_exposure=rig.reference.possible(config.rig.reference.exposure),
        secondary_exposures=tuple(map(rig.secondary.possible, (config.rig.low, config.rig.high))),
        transfer=config.video.transfer,
    )


def _gige(config: Config) -> OpenRig:
    from hw.gige.rig import open_gige_rig

    rig = open_gige_rig(config)
    info = rig.reference.info
    return OpenRig(
        rig,
        " and ".join(f"{i.model} serial {i.serial}" for i in (info, rig.secondary.info)),
        can_wait=False,
        calibration=identity(info.width, info.height),
        reference_exposure=config.rig.reference.exposure,
        secondary_exposures=(config.rig.low, config.rig.high),
    )
