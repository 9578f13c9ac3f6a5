"""What automatic exposure decided, told twice: to the health figures and, with its reason, to the sidecar."""

from __future__ import annotations

import time
from typing import Literal

from edge.capture.rig import OpenRig
from edge.config.schema import Config
from edge.exposure.control import Decision, Told
from edge.exposure.meter import Metered
from edge.exposure.steering import Steering, steering_of
from edge.frames import CameraName
from edge.health.health import Health
from edge.session.sidecar import SidecarWriter


def steered(config: Config, opened: OpenRig, health: Health, sidecar: SidecarWriter) -> Steering:
    """What steers the cameras of a recording and tells of it."""
    band_ev = config.exposure.reference.band_ev
    return steering_of(config, opened, told_to(health, sidecar, band_ev))


def told_to(health: Health, sidecar: SidecarWriter, band_ev: float) -> Told:
    """Callbacks for ``ExposureControl``; any thread. ``band_ev``: how far off the reference may stay."""

    def decided(decision: Decision) -> None:
        seen = decision.seen
        measured = {} if seen is None else {
            "level_ev": round(seen.level_ev, 3),
            "clipped": round(seen.clipped, 5),
            "dark": round(seen.dark, 5),
        }  # fmt: skip
        sidecar.event(
            "exposure",
            t_ns=decision.t_ns,
            camera=decision.camera,
            seq=decision.seq,
            exposures=[
                {"exposure_us": round(e.exposure_us, 3), "gain_db": round(e.gain_db, 4)}
                for e in decision.exposures
            ],
            cause=decision.cause,
            **measured,
        )

    def held(camera: CameraName, cause: str, off_ev: float, beyond_ev: float) -> None:
        health.text("exposure_cause", cause, camera)
        if camera == "reference":
            health.gauge("brightness_off_ev", off_ev)
            dark = beyond_ev > 0
            health.condition(
                "exposure",
                abs(beyond_ev) <= band_ev,
                time.monotonic_ns(),
                f"the reference would need {abs(beyond_ev):.1f} EV {'more' if dark else 'less'} light.",
                "Open the lens, or allow a longer exposure or more gain (exposure.reference)."
                if dark
                else "Close the lens or use a neutral density filter.",
                "warning",
            )

    def metered(kind: Literal["low", "reference", "high"], seen: Metered) -> None:
        if kind != "reference":  # the reference's is taken from the picture, like that of the fused one
            health.gauge("clipped_share", seen.clipped, kind)
        health.gauge("dark_share", seen.dark, kind)

    def refused(camera: CameraName, text: str | None) -> None:
        health.condition(
            f"{camera} exposure",
            text is None,
            time.monotonic_ns(),
            f"the camera does not take its settings: {text}",
            "It is asked again with each frame.",
            "warning",
        )

    return Told(decided, held, metered, refused)
