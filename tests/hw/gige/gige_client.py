"""What the tests let the GigE client do inside of the cameras' network; prints one line of JSON at the end.

usage: gige_client.py formats|edge|held|dead|cameras|doctor ARGUMENTS
"""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from edge.commands.cameras import print_cameras
from edge.config.layers import load_config
from edge.doctor.cameras import check_gige
from edge.errors import TwinhdrError
from edge.frames import CameraName, Exposure, Frame
from hw.gige import gvcp
from hw.gige.camera import GigeCamera
from hw.gige.discovery import Selector
from hw.gige.plan import CameraPlan
from hw.gige.rig import EdgeStart, GigeRig

REFERENCE, SECONDARY = "127.0.0.2", "127.0.0.3"
CYCLE = [Exposure(2000.0), Exposure(32000.0)]


def plan(name: CameraName, **more: Any) -> CameraPlan:
    ip, fps = (REFERENCE, 30.0) if name == "reference" else (SECONDARY, 15.0)
    fixed: dict[str, Any] = {"width": 320, "height": 240, "bit_depth": 12, "fps": fps, "black_level": 64}
    return CameraPlan(name, Selector(ip=ip), **(fixed | more))


def read(camera: GigeCamera, seconds: float, frames: list[Frame]) -> None:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        frame = camera.read(0.1)
        if frame is not None:
            frames.append(frame)


def row(frame: Frame) -> dict[str, Any]:
    return {
        "seq": frame.seq,
        "status": frame.status.value,
        "exposure_us": frame.exposure.exposure_us,
        "epoch": frame.epoch,
        "t_device_ns": frame.t_device_ns,
        "mean": float(frame.image.mean()) if frame.image.size else None,
        "shape": list(frame.image.shape),
    }


def formats(*names: str) -> Any:
    """The first frame in each pixel format."""
    out = {}
    for name in names:
        depth = int("".join(filter(str.isdigit, name)))
        camera = GigeCamera(plan("reference", pixel_format=name, bit_depth=depth), [Exposure(8000.0)], 5.0)
        camera.start()
        frame = camera.read(2.0)
        camera.stop()
        assert frame is not None, name
        out[name] = row(frame) | {"dtype": str(frame.image.dtype), "format": camera.info.pixel_format}
    return out


class Lines:
    """Both cameras' inputs; the simulated ones listen on datagram sockets."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        self._paths = paths

    def start(self) -> int:
        now_ns = time.monotonic_ns()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            for path in self._paths:
                link.sendto(f"Line0 {now_ns}".encode(), path)
        return now_ns

    def stop(self) -> None: ...


class Action:
    def start(self) -> int:
        now_ns = time.monotonic_ns()
        assert gvcp.act([REFERENCE, SECONDARY]) == []
        return now_ns

    def stop(self) -> None: ...


def edge(source: str, seconds: str, *paths: str) -> Any:
    """Arm both, see that nothing comes, give the edge, film."""
    reference = GigeCamera(plan("reference", source=source), [Exposure(8000.0)], 5.0)
    secondary = GigeCamera(plan("secondary", source=source), CYCLE, 5.0)
    cameras = (reference, secondary)
    rig = GigeRig(*cameras, EdgeStart(Action() if source == "Action1" else Lines(paths), cameras))
    for camera in cameras:
        camera.start()
    early = [camera.read(0.3) is not None for camera in cameras]
    edge_ns = rig.trigger.start()
    frames: tuple[list[Frame], list[Frame]] = ([], [])
    film = zip(cameras, frames, strict=True)
    threads = [threading.Thread(target=read, args=(c, float(seconds), f)) for c, f in film]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for camera in cameras:
        camera.stop()
    return {"early": early, "edge_ns": edge_ns, "frames": [[row(f) for f in its] for its in frames]}


def held(seconds: str) -> Any:
    """Open a camera that another application has."""
    try:
        GigeCamera(plan("reference"), [Exposure(8000.0)], float(seconds))
    except TwinhdrError as error:
        return {"error": str(error), "code": error.exit_code}
    return {"error": None}


def dead(process: str) -> Any:
    """The camera dies; then stop."""
    camera = GigeCamera(plan("reference"), [Exposure(8000.0)], 5.0)
    camera.start()
    frames: list[Frame] = []
    read(camera, 0.5, frames)
    os.kill(int(process), signal.SIGKILL)
    begin_s = time.monotonic()
    while camera.state(time.monotonic_ns()).ok and time.monotonic() < begin_s + 5:
        camera.read(0.05)
    seen_s, begin_s = time.monotonic() - begin_s, time.monotonic()
    state = camera.state(time.monotonic_ns())
    camera.stop()
    stopped_s = time.monotonic() - begin_s
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(20)
    left = [t.name for t in threading.enumerate() if t is not threading.current_thread()]
    return {
        "frames": len(frames), "seen_s": seen_s, "stopped_s": stopped_s, "left": left, "text": state.text,
        "losses": state.losses,
    }  # fmt: skip


def cameras() -> Any:
    """What ``twinhdr cameras`` prints."""
    told = io.StringIO()
    code = print_cameras(Console(file=told, width=160))
    return {"code": code, "told": told.getvalue()}


def doctor(file: str) -> Any:
    """What ``twinhdr doctor`` finds out about the cameras of a configuration."""
    config = load_config(Path(file))
    return {found.name: [found.state, found.found] for found in check_gige(config)}


if __name__ == "__main__":
    scenarios = {
        "formats": formats, "edge": edge, "held": held, "dead": dead, "cameras": cameras, "doctor": doctor
    }  # fmt: skip
    print(json.dumps(scenarios[sys.argv[1]](*sys.argv[2:])))
