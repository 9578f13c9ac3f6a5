"""The capture stages: cameras to stamped frames, handed to masters and fusion."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from edge.capture.reader import Intake, read_in_order, read_live
from edge.config.schema import Config
from edge.exposure.report import steered
from edge.exposure.steering import Steering
from edge.pair import Stamped
from edge.stages.parts import Parts
from edge.stages.rings import Rings
from edge.supervise.crew import Turn
from edge.supervise.pulse import Progress
from hw.camera import Camera, CameraLostError

log = logging.getLogger(__name__)


class Filming:
    """Reads both cameras until ``stopping``, which the end of a recording or ``duration_ns`` sets, too.

    ``beat(stage)`` is called by name: a frame of one camera may wait in the thread of the other.
    """

    def __init__(
        self,
        parts: Parts,
        rings: Rings,
        progress: Progress,
        stopping: threading.Event,
        beat: Callable[[str], None],
        duration_ns: int | None,
    ) -> None:
        self._parts = parts
        self._rings = rings
        self._progress = progress
        self._stopping = stopping
        self._beat = beat
        self._duration_ns = duration_ns
        self.intake = Intake(self._stamped, parts.reporter.camera_drop)
        self._steering = self._new_steering()

    def live(self, camera: Camera) -> None:
        """One camera that does not wait."""
        stage = f"capture {camera.info.name}"
        try:
            read_live(camera, self.intake, self._stopping, partial(self._beat, stage))
        except CameraLostError as error:
            if camera.info.name == "reference":
                raise
            log.error("%s", error)  # the page names it as soon as its frames are missed
        if camera.info.name == "reference":
            self._stopping.set()  # the end of a recording

    def in_order(self) -> None:
        """Both cameras of a source that can wait."""
        rig = self._parts.opened.rig

        def between() -> None:
            self._beat("capture")
            self._steering.act()

        read_in_order(rig.reference, rig.secondary, self.intake, self._stopping, between)
        self._stopping.set()

    def steer(self, turn: Turn) -> None:
        """Automatic exposure of live cameras. After a control that hangs another begins from the settings."""
        if turn.number:
            self._steering.close()
            self._steering = self._new_steering()
        self._steering.run(turn.beat)

    def configure(self, config: Config) -> None:
        """Targets and limits of automatic exposure, from the next frame on. Any thread."""
        self._parts = replace(self._parts, config=config)
        self._steering.configure(config.exposure)

    def close(self) -> None:
        """Nothing is steered any more."""
        self._steering.close()

    def _new_steering(self) -> Steering:
        parts = self._parts
        return steered(parts.config, parts.opened, parts.reporter.health, parts.reporter.sidecar)

    def _stamped(self, item: Stamped) -> None:
        """Every good frame passes here, in the capture threads."""
        if self._duration_ns is not None and item.t_ns >= self._duration_ns:
            self._stopping.set()
            return
        self._parts.reporter.received(item.frame, item.t_ns)
        if item.frame.camera == "reference":
            self._progress.received(time.monotonic())
        self._steering.take(item)
        ring = self._rings.masters.get(item.frame.camera)
        if ring is None:
            self._parts.session.sidecar.frame(item.frame, item.t_ns, None)
        else:
            self._rings.put(ring, item, self._waiting)
        self._rings.put(self._rings.frames, item, self._waiting)

    def _waiting(self) -> None:
        self._beat("capture")
