"""Two GigE Vision or USB3 Vision cameras and what starts them."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from hw.camera import Trigger
from hw.gige.camera import GigeCamera
from hw.gige.plan import camera_plan

if TYPE_CHECKING:
    from edge.config_schema import Config

log = logging.getLogger(__name__)


class SoftwareStart:
    """Both cameras are told to film in the same instant, each by a packet of its own.

    The skew is what the network and the cameras' firmware make of it, a millisecond or so; frames are paired
    by their time stamps, so it costs no accuracy.
    """

    def __init__(self, cameras: tuple[GigeCamera, GigeCamera]) -> None:
        self._cameras = cameras

    def start(self) -> int:
        """See ``hw.camera.Trigger``."""
        edge_ns = time.monotonic_ns()
        with ThreadPoolExecutor(2) as both:
            for started in [both.submit(camera.release) for camera in self._cameras]:
                started.result()
        log.info(
            "both cameras were started by software within %.1f ms", (time.monotonic_ns() - edge_ns) / 1e6
        )
        return edge_ns

    def stop(self) -> None: ...


class EdgeStart:
    """A trigger that gives the common edge; the cameras are told that frames are due."""

    def __init__(self, trigger: Trigger, cameras: tuple[GigeCamera, GigeCamera]) -> None:
        self._trigger = trigger
        self._cameras = cameras

    def start(self) -> int:
        """See ``hw.camera.Trigger``."""
        edge_ns = self._trigger.start()
        for camera in self._cameras:
            camera.edge_given(edge_ns)
        return edge_ns

    def stop(self) -> None:
        self._trigger.stop()


class GigeRig:
    """See ``hw.camera.Rig``."""

    def __init__(self, reference: GigeCamera, secondary: GigeCamera, trigger: Trigger | None) -> None:
        cameras = (reference, secondary)
        self._reference = reference
        self._secondary = secondary
        self._trigger: Trigger = SoftwareStart(cameras) if trigger is None else EdgeStart(trigger, cameras)

    @property
    def reference(self) -> GigeCamera:
        return self._reference

    @property
    def secondary(self) -> GigeCamera:
        return self._secondary

    @property
    def trigger(self) -> Trigger:
        return self._trigger


def open_gige_rig(config: Config, trigger: Trigger | None, *, paced: bool = False) -> GigeRig:
    """The cameras that ``config.gige`` names, opened and set.

    ``trigger`` gives the common edge on their ``gige.trigger_line``; None: software starts them. ``paced``:
    it gives an edge for every frame. Raises CameraError, UnavailableError.
    """
    rig, by_line = config.rig, trigger is not None
    plan = camera_plan(config, "reference", by_line=by_line, paced=paced)
    reference = GigeCamera(plan, [rig.reference.exposure], config.gige.open_timeout_s)
    try:
        plan = camera_plan(config, "secondary", by_line=by_line, paced=paced)
        secondary = GigeCamera(plan, [rig.low, rig.high], config.gige.open_timeout_s)
    except BaseException:
        reference.stop()
        raise
    return GigeRig(reference, secondary, trigger)
