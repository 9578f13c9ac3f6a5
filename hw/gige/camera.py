"""A GigE Vision or USB3 Vision camera that outlives the loss of its device."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from edge.frames import Exposure, Frame
from hw.camera import CameraError, CameraInfo, CameraState
from hw.gige.keeper import Keeper
from hw.gige.link import Link
from hw.gige.plan import CameraPlan
from hw.gige.receive import Receiver
from hw.gige.slot import Slot

STOP_S = 3.0


class GigeCamera:
    """See ``hw.camera.Camera`` and ``hw.camera.Watched``.

    Opened by the constructor, which waits up to ``timeout_s`` for a camera that is missing or held and raises
    CameraError or UnavailableError then. From there on ``read`` never raises: while the camera is away it
    answers None, and frames of a camera that came back have the next ``epoch``.
    """

    def __init__(self, plan: CameraPlan, exposures: Sequence[Exposure], timeout_s: float) -> None:
        self._plan = plan
        self._slot = Slot(plan.where)
        self._keeper = Keeper(plan, self._slot, exposures)
        self._receiver = Receiver(plan.name, plan.period_ns)
        self._reading: Link | None = None
        self._ready: deque[Frame] = deque()
        self._keeper.open(timeout_s)
        link = self._slot.link
        if link is None:
            self._keeper.end(wait_s=0.0)
            raise CameraError(f"{plan.where}: lost while it was opened; check its power and cable")
        self._info = link.source.info

    @property
    def info(self) -> CameraInfo:
        return self._info

    @property
    def address(self) -> str:
        """Where it is; a USB camera's is empty."""
        return self._keeper.address

    def start(self) -> None:
        """See Camera. A camera that waits for software films from ``release`` on."""
        if not self._plan.waits:
            self._keeper.film(self._plan.source)

    def release(self) -> None:
        """Film now, without an edge. Raises CameraError."""
        self._keeper.film(None)

    def edge_given(self, t_ns: int) -> None:
        """The common edge rose: frames are due."""
        self._slot.edge(t_ns)

    def read(self, timeout_s: float) -> Frame | None:
        """See Camera; never raises CameraLostError."""
        until_s = time.monotonic() + timeout_s
        while not self._ready:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return None
            popped = self._slot.pop(left_s)
            if popped is None:
                self._ready.extend(self._receiver.end())
                self._reading = None
                continue
            link, delivery = popped
            if link is not self._reading:
                self._ready.extend(self._receiver.end())
                self._receiver.begin(link.source, link.settings)
                self._reading = link
            if delivery is not None:
                self._ready.extend(self._receiver.take(delivery))
                self._keeper.frame_came()
            del link, popped
        return self._ready.popleft()

    def set_exposures(self, exposures: Sequence[Exposure]) -> None:
        """See Camera."""
        self._keeper.set_exposures(exposures)

    def state(self, now_ns: int) -> CameraState:
        """See ``hw.camera.Watched``."""
        return self._slot.state(now_ns)

    def stop(self) -> None:
        """See Camera. Ends within seconds, also while the camera is dead."""
        self._keeper.end(STOP_S)
