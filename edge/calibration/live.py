"""``twinhdr calibrate --live``: views of a board from the cameras, with a page that says what to do next."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from rich.console import Console

from edge.calibration.board import Detection
from edge.calibration.features import grey_at
from edge.calibration.gather import Darkroom, Moment, MomentBuffer
from edge.calibration.guided import Guided
from edge.calibration.measure import BoardSession
from edge.calibration.shots import MaterialError
from edge.capture.reader import Intake, read_in_order, read_live
from edge.capture.rig import OpenRig, open_rig
from edge.config.schema import Config
from edge.frames import FloatImage
from edge.fuse.assembly import develop_settings
from edge.health.health import Health
from edge.pair import Stamped
from edge.ring import Closed, Ring
from edge.viewfinder.preview import PreviewHub
from edge.web.calibrate import PAGE, CalibrationRoutes
from edge.web.server import WebServer
from hw.camera import Camera, CameraLostError

STREAMS = ("reference", "secondary")
PICTURE_WIDTH = 640
POLL_S = 0.25
INK = (124, 199, 165)


def gather_live(config: Config, collected: BoardSession, console: Console) -> None:
    """Gather views until they are enough, the recording ends, or Ctrl-C. Raises TwinhdrError."""
    opened = open_rig(config)
    gathering = Gathering(opened, config, collected)
    with _page(config, gathering, console):
        try:
            gathering.run(lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True))
        except KeyboardInterrupt:
            console.print("stopped; solving with what there is", markup=False)


@contextlib.contextmanager
def _page(config: Config, gathering: Gathering, console: Console) -> Iterator[None]:
    if not config.web.enabled:
        yield
        return
    routes = CalibrationRoutes(gathering.guided.status)
    with WebServer(
        Health(), gathering.hub, host=config.web.host, port=config.web.port, more=(routes,)
    ) as server:
        console.print(f"hold the board before the cameras and follow {server.url}{PAGE}", markup=False)
        yield


class Gathering:
    """Two cameras, read in threads of their own; the newest moment is looked at in the caller's."""

    def __init__(self, opened: OpenRig, config: Config, collected: BoardSession) -> None:
        self._opened = opened
        info = opened.rig.reference.info
        size, other = (info.width, info.height), opened.rig.secondary.info
        if (other.width, other.height) != size:
            raise MaterialError(
                f"the reference films {size[0]}x{size[1]}, the secondary {other.width}x{other.height}; "
                f"give both "
                "cameras one size"
            )
        room = Darkroom(
            develop_settings(config, info, opened.transfer), develop_settings(config, other, opened.transfer)
        )
        self.guided = Guided(room, collected, size)
        self.hub = PreviewHub(STREAMS)
        self.stopping = threading.Event()
        self._buffer = MomentBuffer()
        self._moments: Ring[Moment] = Ring("moments", 1, lambda _: None)
        self._intake = Intake(self._stamped, lambda _cause, _camera, _seq, _count: None)
        self._fault: CameraLostError | None = None

    def run(self, tell: Callable[[str], None]) -> None:
        """Look until enough was seen or nothing more comes. Raises CameraError."""
        rig = self._opened.rig
        rig.reference.set_exposures([self._opened.reference_exposure])
        rig.secondary.set_exposures(self._opened.secondary_exposures)
        rig.reference.start()
        rig.secondary.start()
        threads = self._readers()
        rig.trigger.start()
        for thread in threads:
            thread.start()
        try:
            self._look(tell)
        finally:
            self.stopping.set()
            for stop in (rig.reference.stop, rig.secondary.stop, rig.trigger.stop):
                stop()
            self._moments.close()
            for thread in threads:
                thread.join(5.0)
        if self._fault is not None:
            raise self._fault

    def _look(self, tell: Callable[[str], None]) -> None:
        while not self.guided.done:
            try:
                moment = self._moments.get(POLL_S)
            except Closed:
                return
            if moment is None:
                continue
            shot, view, kept = self.guided.look(moment)
            pictures = {
                "reference": _picture(shot.reference, 1.0, view.reference),
                "secondary": _picture(shot.secondary, 1.0 / shot.ratio, view.secondary),
            }
            self.hub.publish(pictures, time.monotonic_ns())
            if kept:
                status = self.guided.status()
                error = "" if status["rms_px"] is None else f", error {status['rms_px']} px"
                tell(f"{status['views']} views{error}. {self.guided.advice.text}")

    def _readers(self) -> list[threading.Thread]:
        rig = self._opened.rig
        if self._opened.can_wait:
            return [threading.Thread(target=self._read_in_order, name="capture", daemon=True)]
        return [
            threading.Thread(
                target=self._read, args=(camera,), name=f"capture {camera.info.name}", daemon=True
            )
            for camera in (rig.reference, rig.secondary)
        ]

    def _read_in_order(self) -> None:
        rig = self._opened.rig
        with self._ending():
            read_in_order(rig.reference, rig.secondary, self._intake, self.stopping, lambda: None)

    def _read(self, camera: Camera) -> None:
        with self._ending():
            read_live(camera, self._intake, self.stopping, lambda: None)

    @contextlib.contextmanager
    def _ending(self) -> Iterator[None]:
        """A camera that ends or is lost ends the gathering: without both there is nothing to look at."""
        try:
            yield
        except CameraLostError as error:
            self._fault = error
        finally:
            self._moments.close()

    def _stamped(self, item: Stamped) -> None:
        for moment in self._buffer.add(item.frame, item.t_ns):
            if self._opened.can_wait:
                self._moments.put_waiting(moment)
            else:
                self._moments.put(moment)


def _picture(image: FloatImage, scale: float, found: Detection | None) -> bytes:
    """A JPEG with the corners that were found."""
    height, width = image.shape[:2]
    share = min(1.0, PICTURE_WIDTH / width)
    size = max(1, round(width * share)), max(1, round(height * share))
    shown = cv2.cvtColor(cv2.resize(grey_at(image, max(scale, 1.0)), size), cv2.COLOR_GRAY2BGR)
    for x, y in () if found is None else found.corners:
        cv2.circle(shown, (round(float(x) * share), round(float(y) * share)), 3, INK, 1, cv2.LINE_AA)
    done, jpeg = cv2.imencode(".jpg", shown, (cv2.IMWRITE_JPEG_QUALITY, 80))
    assert done, "OpenCV encodes any 8-bit picture as JPEG"
    return np.asarray(jpeg).tobytes()
