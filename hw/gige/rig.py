"""Two GigE Vision or USB3 Vision cameras and what starts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.frames import CameraName, Exposure
from hw.camera import CameraError, CameraState, Edge, TellsEdge, Trigger, Watched
from hw.gige import gvcp
from hw.gige.camera import GigeCamera
from hw.gige.plan import camera_plan

if TYPE_CHECKING:
    from edge.config.schema import Config

ACTION_SOURCE = "Action1"


class EdgeStart:
    """A trigger that gives a common edge; the cameras are told that frames are due."""

    def __init__(self, trigger: Trigger, cameras: tuple[GigeCamera, GigeCamera]) -> None:
        self.trigger = trigger
        self._cameras = cameras

    @property
    def edge(self) -> Edge | None:
        """What the trigger knows of the edge it gave."""
        return self.trigger.edge if isinstance(self.trigger, TellsEdge) else None

    def start(self) -> int:
        """See ``hw.camera.Trigger``."""
        edge_ns = self.trigger.start()
        for camera in self._cameras:
            camera.edge_given(edge_ns)
        return edge_ns

    def stop(self) -> None:
        """See ``hw.camera.Trigger``."""
        self.trigger.stop()

    def state(self, now_ns: int) -> CameraState:
        """See Watched: how the trigger is, where it tells."""
        return self.trigger.state(now_ns) if isinstance(self.trigger, Watched) else CameraState(True)


class GigeRig:
    """See ``hw.camera.Rig``."""

    def __init__(self, reference: GigeCamera, secondary: GigeCamera, trigger: Trigger) -> None:
        self._reference = reference
        self._secondary = secondary
        self._trigger = trigger

    @property
    def reference(self) -> GigeCamera:
        return self._reference

    @property
    def secondary(self) -> GigeCamera:
        return self._secondary

    @property
    def trigger(self) -> Trigger:
        return self._trigger


def open_gige_rig(config: Config) -> GigeRig:
    """The cameras that ``config.gige`` names, opened and set, and the trigger of ``config.trigger``.

    With a board or an action command they are armed and wait for the common edge, which only starts them:
    afterwards, and after a loss, each runs freely, except in the board's mode ``paced``. Raises CameraError,
    TriggerError, UnavailableError.
    """
    kind = config.trigger.kind
    source = {"board": config.gige.trigger_line, "action": ACTION_SOURCE}.get(kind)
    paced = kind == "board" and config.trigger.mode == "paced"
    rig, limit_s = config.rig, config.gige.open_timeout_s
    cycles: dict[CameraName, list[Exposure]] = {
        "reference": [rig.reference.exposure],
        "secondary": [rig.low, rig.high],
    }
    opened: list[GigeCamera] = []
    try:
        for name, exposures in cycles.items():
            plan = camera_plan(config, name, source=source, waits=kind == "software", paced=paced)
            opened.append(GigeCamera(plan, exposures, limit_s))
        reference, secondary = opened
        trigger = _trigger(config, reference, secondary)
    except BaseException:
        for camera in opened:
            camera.stop()
        raise
    return GigeRig(
        reference, secondary, trigger if source is None else EdgeStart(trigger, (reference, secondary))
    )


def _trigger(config: Config, reference: GigeCamera, secondary: GigeCamera) -> Trigger:
    from hw.trigger.choice import open_trigger

    def act() -> None:
        addresses = [camera.address for camera in (reference, secondary)]
        silent = gvcp.act(addresses)
        if silent:
            raise CameraError(f"no answer to the action command from {' and '.join(silent)}")

    return open_trigger(config, fire=(reference.release, secondary.release), action=act)
