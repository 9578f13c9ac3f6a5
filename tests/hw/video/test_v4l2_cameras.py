"""Two webcams on a PC, as far as a machine without any can have them.

``virtual_v4l2.c`` answers open() and ioctl() as the kernel's UVC driver does, compiled against the kernel's
header; OpenCV, the structures of ``hw.v4l2`` and the recorder are the real ones.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.config.schema import Config
from edge.frames import Rung
from edge.session.recording import Session
from hw.simulator.library import scene_world

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).parent
SETTINGS = """\
rig:
  source: video
  bit_depth: 8
  reference: {fps: 60}
  secondary: {fps: 60, low_ev: -2, high_ev: 1}
video:
  reference: {uri: "v4l2:///dev/video90"}
  secondary: {uri: /dev/video91}
  backend: opencv
"""

pytestmark = pytest.mark.skipif(
    shutil.which("gcc") is None or not Path("/usr/include/linux/videodev2.h").exists(),
    reason="needs gcc and linux/videodev2.h (apt install gcc libc6-dev linux-libc-dev)",
)

ConfigOf = Callable[..., Config]
Film = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("virtual") / "virtual_v4l2.so"
    command = ["gcc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", path, HERE / "virtual_v4l2.c"]
    subprocess.run([*command, "-ldl", "-lm", "-lpthread"], check=True)
    return path


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.raw"
    scene_world("workshop", 192, 128, seed=3).render(0.0).astype(np.float32).tofile(path)
    return path


@pytest.fixture
def preload(library: Path, scene: Path) -> dict[str, str]:
    return {
        **os.environ,
        "LD_PRELOAD": str(library),
        "VIRTUAL_V4L2_SCENE": str(scene),
        "PYTHONPATH": str(ROOT),
        "OPENCV_LOG_LEVEL": "ERROR",
    }


@pytest.fixture
def film(config_of: ConfigOf, preload: dict[str, str], scene: Path, tmp_path: Path) -> Film:
    """Film ``frames`` frames with the secondary webcam; what came."""

    def run(frames: int, **virtual: object) -> dict[str, Any]:
        config_of(SETTINGS)
        environment = preload | {f"VIRTUAL_V4L2_{k.upper()}": str(v) for k, v in virtual.items()}
        command = [sys.executable, HERE / "virtual_webcams.py", tmp_path / "small.yaml", scene, str(frames)]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert ended.returncode == 0, ended.stderr
        report: dict[str, Any] = json.loads(ended.stdout)
        return report

    return run


def test_controls_are_read_and_set_by_name(preload: dict[str, str]) -> None:
    """An exposure that is not set, or written to the wrong field, is a scene of wrong brightness."""
    program = """
from pathlib import Path
from hw.v4l2 import V4l2Device, V4l2Error
with V4l2Device(Path("/dev/video90")) as camera:
    assert (camera.driver, camera.card, camera.captures) == ("uvcvideo", "Virtual Webcam", True)
    assert "privacy" not in camera.controls, "read-only"
    exposure = camera.controls["exposure_time_absolute"]
    assert (exposure.minimum, exposure.maximum, exposure.step, exposure.default) == (3, 2047, 1, 250)
    try:
        camera.set("exposure_time_absolute", 80)
        raise AssertionError("it is automatic")
    except V4l2Error as error:
        assert "cannot set exposure_time_absolute=80 (3 to 2047)" in str(error), error
    camera.set("auto_exposure", 1)
    camera.set("exposure_time_absolute", 80)
    assert camera.get("exposure_time_absolute") == 80
    for value in (-5, 2**40):
        camera.set("pixel_rate_stored", value)
        assert camera.get("pixel_rate_stored") == value
    wrong = (("exposure_time_absolute", 9999, "v4l2-ctl --list-ctrls"), ("zoom", 1, "no control zoom"))
    for name, value, why in wrong:
        try:
            camera.set(name, value)
            raise AssertionError(name)
        except V4l2Error as error:
            assert why in str(error), error
"""
    ended = subprocess.run([sys.executable, "-c", program], env=preload, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("latency", [1, 2, 3])
def test_exposures_alternate_and_each_frame_says_which(film: Film, latency: int) -> None:
    """Whoever counts frames instead is wrong with every camera of another latency."""
    report = film(60, latency=latency)
    assert report["worst_ev"] < 0.2
    assert report["status"].get("unknown_exposure", 0) <= 4
    assert set(report["exposures_us"]) == {"2000", "16000"}
    assert min(report["exposures_us"].values()) >= 20
    assert report["serial"] == "Virtual Webcam at usb-virtual-1"


def test_a_camera_that_skips_settings_and_mixes_frames_is_never_believed(film: Film) -> None:
    """One frame of the wrong exposure flashes through the HDR video; a missing one is not seen."""
    report = film(90, skip=7, mix=5)
    assert report["worst_ev"] < 0.2
    assert 1 <= report["status"]["unknown_exposure"] <= 30


def test_a_webcam_that_is_plugged_in_again_films_on(film: Film) -> None:
    """A loose plug would end the pairs of a whole night."""
    report = film(60, unplug="40,2")
    assert report["worst_ev"] < 0.2
    assert set(report["exposures_us"]) == {"2000", "16000"}, "its settings are set again"
    assert report["longest_gap_ms"] > 1_000
    gaps = [b - a for a, b in zip(report["seq"], report["seq"][1:], strict=False)]
    assert max(gaps) == pytest.approx(report["longest_gap_ms"] * 60 / 1e3, rel=0.2), (
        "missing frames are counted"
    )


def test_two_webcams_record_an_hdr_session(
    config_of: ConfigOf, preload: dict[str, str], tmp_path: Path
) -> None:
    """The whole way from two webcams to HDR video, with the command that a user types."""
    config_of(SETTINGS.replace("fps: 60", "fps: 30"))
    session = tmp_path / "session"
    command = ["run", "--config", tmp_path / "small.yaml", "--duration", "3", "--session", session]
    ended = subprocess.run(
        [sys.executable, "-m", "edge.cli", *map(str, command)], env=preload, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    recorded = Session.open(session)
    assert recorded.header.transfer == "srgb"
    assert not recorded.header.cameras["reference"].device_stamps
    fused = list(recorded.hdr_records())
    taken = [record.exposure_us for record in recorded.frame_records("secondary")]
    assert min(taken.count(2_000.0), taken.count(16_000.0)) > 20
    # how many are fused depends on what else this machine does; that they can be does not
    assert len(fused) > 30
    assert any(record.rung is Rung.MERGE for record in fused)
