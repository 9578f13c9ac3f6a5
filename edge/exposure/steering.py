"""Automatic exposure beside the capture threads: they leave their newest frame and never wait for a camera.

A live camera is set from a thread of its own, because a camera that has gone takes seconds to refuse. A
source that can wait is set between two reads, in its own time, so that a simulation repeats to the byte.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from edge.capture.rig import OpenRig
from edge.config.exposure import ExposureConfig
from edge.config.schema import Config
from edge.exposure.control import ExposureControl, Eye, Told
from edge.frames import CameraName
from edge.pair import Stamped

POLL_S = 0.25


class Steering:
    """Holds the newest frame of each camera for ``control``; None: everything stays as it was set."""

    def __init__(self, control: ExposureControl | None, own_time: bool) -> None:
        self._control = control
        self._own_time = own_time
        self._changed = threading.Condition()
        self._newest: dict[CameraName, Stamped] = {}
        self._closed = False

    def take(self, item: Stamped) -> None:
        """A good frame, from any thread."""
        if self._control is not None:
            with self._changed:
                self._newest[item.frame.camera] = item
                self._changed.notify_all()

    def configure(self, exposure: ExposureConfig) -> None:
        """Other targets and limits from the next frame on; who decides stays as it was. Any thread."""
        if self._control is not None:
            self._control.configure(exposure)

    def act(self) -> None:
        """Decide on what is there."""
        if self._control is None:
            return
        with self._changed:
            items = sorted(self._newest.values(), key=lambda item: item.frame.t_host_ns)
            self._newest.clear()
        for item in items:
            self._control.take(item, item.frame.t_host_ns if self._own_time else time.monotonic_ns())

    def run(self, beat: Callable[[], None]) -> None:
        """Act whenever there is something, until ``close``; at once over where nothing is to be decided."""
        while self._control is not None and not self._closed:
            beat()
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._newest, POLL_S)
            self.act()

    def close(self) -> None:
        """Let ``run`` end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def steering_of(config: Config, opened: OpenRig, told: Told) -> Steering:
    """What steers the cameras of ``opened`` as configured. A recording cannot be exposed again."""
    wanted = config.exposure.automatic and config.rig.source != "replay"
    rig = opened.rig
    reference = Eye(
        rig.reference.info,
        (opened.reference_exposure,),
        config.rig.reference.gain_db,
        rig.reference.set_exposures,
    )
    secondary = Eye(
        rig.secondary.info,
        opened.secondary_exposures,
        config.rig.secondary.gain_db,
        rig.secondary.set_exposures,
    )
    control = ExposureControl(config.exposure, reference, secondary, told) if wanted else None
    return Steering(control, own_time=opened.can_wait)
