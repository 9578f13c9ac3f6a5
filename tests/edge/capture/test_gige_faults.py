"""A recording outlives its cameras: killed, stopped, taken by another application, and given back.

The short form takes cameras away for three seconds; TWINHDR_LONG=1 also for twelve, and the reference alone.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from tests.edge.capture.gige_recorder import LONG, SENSOR, Recorder, Truth, captured, wrong_exposures
from tests.hw.gige.gige_net import (
    NEEDS_ARAVIS,
    NEEDS_BUFFER,
    GigeNet,
    SimulatedCamera,
    lacks_aravis,
    metric,
    network,
    small_socket_buffer,
)

BACK_S = 5.0
"""From the device's return to its next frames in the recording: the published figure."""

pytestmark = [
    pytest.mark.alone,
    pytest.mark.timeout(600 if LONG else 150),
    pytest.mark.skipif(lacks_aravis(), reason=NEEDS_ARAVIS),
    pytest.mark.skipif(small_socket_buffer(), reason=NEEDS_BUFFER),
]

Cameras = dict[str, SimulatedCamera]


@pytest.fixture
def net() -> Iterator[GigeNet]:
    with network() as entered:
        yield entered


class Trial:
    """One recording, and the cameras that are taken from it."""

    def __init__(self, net: GigeNet) -> None:
        self.net = net
        self.cameras: Cameras = {
            "reference": net.camera("reference", *SENSOR, "--clock-offset-s", "3", "--drift-ppm", "12"),
            "secondary": net.camera("secondary", *SENSOR, "--clock-offset-s", "90", "--drift-ppm", "-21"),
        }
        self.recorder = Recorder(net, "faults")
        self.recorder.filming("reference", "secondary", more=20)

    def killed(self, names: tuple[str, ...], seconds: float) -> None:
        for name in names:
            self.cameras[name].kill()
        self.while_away(names, seconds)
        for name in names:
            self.cameras[name].start()
        self.back(f"{' and '.join(names)} killed for {seconds:g} s")

    def stopped(self, name: str, seconds: float) -> None:
        self.cameras[name].signal(signal.SIGSTOP)
        self.while_away((name,), seconds)
        self.cameras[name].signal(signal.SIGCONT)
        self.back(f"{name} stopped for {seconds:g} s")

    def taken(self, name: str, seconds: float) -> None:
        """Another application gets hold of the camera in the moment of a power cycle."""
        other = self.net.hold(self.cameras[name].address, seconds + 3.0)  # it has it before READY is read
        assert other.stdout is not None
        self.cameras[name].kill()
        self.cameras[name].start()
        assert other.stdout.readline() == "HELD\n"
        self.while_away((name,), seconds)
        assert other.stdout.readline() == "RELEASED\n"
        self.back(f"{name} held by another application for {seconds:g} s")
        other.wait()

    def while_away(self, names: tuple[str, ...], seconds: float) -> None:
        """The other camera films on, and the page says which one is missing."""
        end_s = time.monotonic() + seconds
        others = tuple(name for name in self.cameras if name not in names)
        self.recorder.until(lambda: all(self.complaint(name) for name in names), 3.0, f"word of {names}")
        if others:
            self.recorder.filming(*others, timeout_s=2.0)
        time.sleep(max(0.0, end_s - time.monotonic()))  # the fault lasts as long as it lasts
        assert not set(names) & self.seen_filming(), "frames of a camera that is away"

    def back(self, what: str) -> None:
        """Both cameras film again in time."""
        seconds = self.recorder.filming("reference", "secondary", more=2, timeout_s=BACK_S)
        print(f"{what}: back after {seconds:.2f} s")
        self.recorder.filming("reference", "secondary", more=10)
        names = tuple(self.cameras)
        self.recorder.until(lambda: not any(map(self.complaint, names)), 3.0, "a quiet page")

    def complaint(self, name: str) -> bool:
        """Whether /api/status and /metrics name this camera as missing."""
        conditions = self.recorder.status().get("conditions", [])
        return any(row["name"] == f"{name} camera" and not row["ok"] for row in conditions)

    def seen_filming(self) -> set[str]:
        before = {name: self.recorder.count(name) for name in self.cameras}
        time.sleep(0.3)
        return {name for name, count in before.items() if self.recorder.count(name) > count}


def test_the_recording_outlives_its_cameras(net: GigeNet) -> None:
    """Else one loose cable ends a night's recording."""
    trial = Trial(net)
    recorder = trial.recorder
    try:
        trial.killed(("secondary",), 3.0)
        trial.killed(("reference", "secondary"), 3.0)
        trial.stopped("reference", 8.0)
        trial.taken("secondary", 3.0)
        if LONG:
            trial.killed(("reference",), 3.0)
            trial.killed(("secondary",), 12.0)
            trial.killed(("reference",), 12.0)
            trial.killed(("reference", "secondary"), 12.0)
            trial.stopped("secondary", 8.0)
            trial.taken("reference", 12.0)
        metrics = recorder.metrics()
        begin_s = time.monotonic()
        assert recorder.end() == 0, recorder.text()
        print(f"ended within {time.monotonic() - begin_s:.2f} s")
    finally:
        recorder.abandon()

    print(recorder.text())
    for name, least in (("reference", 2), ("secondary", 3)):
        assert metric(metrics, "twinhdr_camera_losses_total", camera=name) >= least
    assert recorder.lines("end")
    assert "Traceback" not in recorder.text()
    for name, camera in trial.cameras.items():
        lines = recorder.lines(name)
        assert [line["seq"] for line in lines] == sorted({line["seq"] for line in lines})
        assert [line["t_ns"] for line in lines] == sorted({line["t_ns"] for line in lines})
        assert wrong_exposures(lines, Truth(camera)) == []
        assert captured(metrics, name) == sum(
            count for key, count in recorder.drops(stage="capture").items() if key.startswith(name)
        )
    hdr = recorder.lines("hdr")
    stages = sum(row["count"] for row in recorder.lines("drop") if row["stage"] != "capture")
    assert len(hdr) >= len(recorder.lines("reference")) - stages
