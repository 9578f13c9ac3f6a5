"""A recording filmed once runs through the line as often as anybody likes, the same every time."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from edge.encode.masters import MasterWriter
from edge.frames import CameraName, Exposure, Frame
from edge.session.recording import Session, SessionError, SessionHeader, SessionWriter
from hw.camera import CameraError, CameraInfo, Rig
from hw.replay import EndOfRecordingError, ReplayRig

CAMERAS: tuple[CameraName, ...] = ("reference", "secondary")
PERIOD_NS = {"reference": 20_000_000, "secondary": 40_000_000}
EXPOSURES = {"reference": (Exposure(8000.0),), "secondary": (Exposure(2000.0), Exposure(32000.0))}
ARRIVAL_NS = 5_000_000_000_000


def frame(camera: CameraName, seq: int) -> Frame:
    t_ns = seq * PERIOD_NS[camera]
    image = np.full((4, 6), seq, np.uint8)
    exposure = EXPOSURES[camera][seq % len(EXPOSURES[camera])]
    return Frame(camera, seq, t_ns * 10 + 3, ARRIVAL_NS + t_ns, exposure, image, "mono", 8)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "recording"
    cameras = {n: CameraInfo(n, "m", "1", 6, 4, "mono", 8, 0, 255, PERIOD_NS[n] / 1e3) for n in CAMERAS}
    writer = SessionWriter.create(path, SessionHeader("r", "", "", cameras, EXPOSURES), sync_s=None)  # type: ignore[arg-type]
    for camera, count in (("reference", 10), ("secondary", 5)):
        fps = 1e9 / PERIOD_NS[camera]
        masters = MasterWriter(
            path,
            camera,
            width=6,
            height=4,
            pixel_format="mono",
            bit_depth=8,
            fps=fps,
            origin_ns=0,  # type: ignore[arg-type]
        )
        for seq in range(count):
            made = frame(camera, seq)  # type: ignore[arg-type]
            t_ns = seq * PERIOD_NS[camera]
            writer.sidecar.frame(made, t_ns, masters.write(made, t_ns))
        masters.close()
    writer.sidecar.end()
    return path


class Clock:
    """Host time that moves only when told."""

    def __init__(self) -> None:
        self.ns = 77

    def __call__(self) -> int:
        return self.ns


def test_frames_come_as_recorded(recording: Path) -> None:
    """Stamps, exposures and pixels decide what is fused: all as filmed, then an end that is no fault."""
    rig: Rig = ReplayRig(recording, pace=None)
    assert rig.reference.info.frame_period_us == 20_000
    for camera in (rig.reference, rig.secondary):
        camera.set_exposures([Exposure(1.0)])
        camera.start()
    rig.trigger.start()
    for camera, count in ((rig.reference, 10), (rig.secondary, 5)):
        for seq in range(count):
            got, expected = camera.read(0.0), frame(camera.info.name, seq)
            assert got is not None
            assert (got.image == expected.image).all()
            for name in (
                "camera",
                "seq",
                "t_device_ns",
                "t_host_ns",
                "exposure",
                "pixel_format",
                "bit_depth",
            ):
                assert getattr(got, name) == getattr(expected, name)
        with pytest.raises(EndOfRecordingError, match="has ended"):
            camera.read(0.0)
        camera.stop()
        camera.stop()
        assert camera.read(0.0) is None
    rig.trigger.stop()


def test_nothing_comes_before_the_start(recording: Path) -> None:
    """A daemon waits for the edge; frames before it would be stamped before zero."""
    rig = ReplayRig(recording, pace=None)
    assert rig.reference.read(0.0) is None
    rig.trigger.start()
    assert rig.reference.read(0.0) is not None


@pytest.mark.parametrize("pace", [1.0, 0.25, 4.0])
def test_pace(recording: Path, pace: float) -> None:
    """Twice as slow must be twice as slow, on both cameras from one common zero."""
    clock = Clock()
    rig = ReplayRig(recording, pace=pace, now_ns=clock)
    assert rig.trigger.start() == 77
    for camera in (rig.reference, rig.secondary):
        first = camera.read(0.0)
        assert first is not None
        assert first.seq == 0
    due_ns = 77 + round(20_000_000 / pace)
    clock.ns = due_ns - 1_000
    assert rig.reference.read(0.0) is None
    clock.ns = due_ns
    second = rig.reference.read(0.0)
    assert second is not None
    assert second.seq == 1
    assert rig.secondary.read(0.0) is None


def test_stop_wakes_a_reader(recording: Path) -> None:
    """Ctrl-C must not wait for a frame that is an hour away."""
    rig = ReplayRig(recording, pace=1e-6)
    rig.trigger.start()
    rig.reference.read(0.0)
    got: list[Frame | None] = []
    reader = threading.Thread(target=lambda: got.append(rig.reference.read(600.0)))
    reader.start()
    rig.reference.stop()
    reader.join(10.0)
    assert got == [None]


def test_what_cannot_be_replayed_says_so(recording: Path, tmp_path: Path) -> None:
    """A session without masters, a folder without a session and a pace of nothing are told apart."""
    with pytest.raises(SessionError, match="name the folder of a recorded session"):
        ReplayRig(tmp_path / "none")
    with pytest.raises(ValueError, match="pace must be positive"):
        ReplayRig(recording, pace=0.0)
    (recording / "reference/000000.mkv").unlink()
    with pytest.raises(CameraError, match=r"no raw reference frame to replay: reference/000000\.mkv"):
        ReplayRig(Session.open(recording))


def test_a_silent_secondary(recording: Path) -> None:
    """A recording in which the second camera died must still give its video."""
    (recording / "secondary/000000.mkv").unlink()
    rig = ReplayRig(recording, pace=None)
    rig.trigger.start()
    assert rig.reference.read(0.0) is not None
    with pytest.raises(EndOfRecordingError):
        rig.secondary.read(0.0)
    assert "secondary/000000.mkv" in rig.session.problems[0]
