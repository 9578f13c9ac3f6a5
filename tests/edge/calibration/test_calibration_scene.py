"""Calibration from recordings, with and without a board, as a person runs it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from typer.testing import CliRunner

from edge.calibration.drift import measure_drift
from edge.calibration.features import Instant
from edge.calibration.file import write_calibration
from edge.calibration.gather import Darkroom, instant_of, instants, moments
from edge.calibration.live import Gathering
from edge.calibration.measure import BoardSession, measure_scene
from edge.calibration.model import Calibration, as_rows
from edge.calibration.selfcal import SelfCalibrationError, displacement
from edge.capture.reader import Intake, read_in_order_until
from edge.capture.rig import OpenRig
from edge.cli import app
from edge.config.layers import load_config
from edge.config.schema import Config
from edge.daemon.run import run_daemon
from edge.develop.linear import DevelopSettings
from edge.frames import Exposure, Frame
from edge.health.health import Health
from edge.images.imageio import write_exr
from edge.register.rectify import identity, read_calibration
from edge.session.recording import Session
from edge.web.calibrate import PAGE, CalibrationRoutes
from edge.web.server import WebServer
from hw.simulator.board_rig import BoardRig
from hw.simulator.rig import SimulatedRig, true_homography
from hw.simulator.spec import SimulatorSpec
from tests.edge.calibration.calibration_scene import CHARUCO, record, small_scene

LONG = os.environ.get("TWINHDR_LONG") == "1"
SIZE = (960, 540) if LONG else (480, 270)
RECORDED = """\
version: 1
rig: {{width: 480, height: 270}}
simulator: {{scene: garden, pace: max}}
fuse: {{ladder: [reference]}}
hdr: {{enabled: false}}
web: {{enabled: false}}
masters: {{enabled: true}}
store: {{root: {root}, min_free_gb: 0, min_free_share: 0}}
"""


def filmed(scene: str, seconds: float = 0.5) -> tuple[SimulatorSpec, list[Instant]]:
    """Instants of a shipped scene with the simulator's own mounting error."""
    spec = SimulatorSpec(scene=scene, width=SIZE[0], height=SIZE[1])
    rig = SimulatedRig(spec, None)
    sensor = spec.reference.sensor
    room = Darkroom(DevelopSettings(sensor.black, sensor.white), DevelopSettings(sensor.black, sensor.white))
    stamped: list[tuple[Frame, int]] = []
    intake = Intake(lambda item: stamped.append((item.frame, item.t_ns)), lambda *_: None)
    for part in (rig.reference, rig.secondary, rig.trigger):
        part.start()
    read_in_order_until(rig.reference, rig.secondary, intake, lambda: len(stamped) >= 45 * seconds)
    for camera in (rig.reference, rig.secondary):
        camera.stop()
    stamped.sort(key=lambda item: item[1])
    return spec, [instant_of(moment, room) for moment in list(moments(stamped))[:6]]


@pytest.mark.parametrize("scene", ["workshop", "garden", "square"])
def test_a_scene_calibrates_its_cameras(scene: str) -> None:
    """The bar: under 1 px without any board; and a calibration that is off is seen to be."""
    spec, instants = filmed(scene)
    made = measure_scene(instants, SIZE)
    off = displacement(np.linalg.inv(true_homography(spec)) @ np.asarray(made.calibration.homography), SIZE)
    far = np.hypot(off[..., 0], off[..., 1])
    print(
        f"\n{scene}: {np.sqrt((far**2).mean()):.4f} px rms, {far.max():.4f} px at worst",
        made.calibration.quality,
    )
    assert far.max() < 1.0
    if scene != "garden" and not LONG:
        return
    good = measure_drift(instants[:4], made.calibration)
    assert (good.verdict, good.exit_code) == ("good", 0)
    knocked = np.array(((1.0, 0.0, 2.0), (0.0, 1.0, -1.5), (0.0, 0.0, 1.0)))
    moved = Calibration(*SIZE, as_rows(knocked @ np.asarray(made.calibration.homography)))
    lost = measure_drift(instants[:4], moved)
    print(good, lost)
    assert (lost.verdict, lost.exit_code) == ("lost", 1)
    assert lost.drift_px == pytest.approx(2.5, abs=0.2)


def test_an_empty_scene_is_refused() -> None:
    """A white wall gives a matrix too, if nobody asks how sure it is."""
    grey = np.full((270, 480, 3), 0.4, np.float32)
    with pytest.raises(SelfCalibrationError, match="film a scene with texture"):
        measure_scene([Instant("wall", grey, grey, 0.5, grey, 1.0)] * 4, (480, 270))


@pytest.fixture(scope="module")
def board_session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(BoardRig(small_scene()), tmp_path_factory.mktemp("board") / "session")


def test_from_a_recording_of_a_board_to_a_file(board_session: Path, tmp_path: Path) -> None:
    """What a person types: the file, its factory copy and the report must be there, and it must be right."""
    out = tmp_path / "rig.yaml"
    run = CliRunner().invoke(
        app,
        [
            "calibrate",
            "--session",
            str(board_session),
            "--square-mm",
            "23",
            "--views",
            "60",
            "--out",
            str(out),
        ],
    )
    assert run.exit_code == 0, run.output
    made = read_calibration(out)
    print(run.output, made.quality)
    assert made.quality["reprojection_rms_px"] < 0.15
    assert made.mounting is not None
    assert made.mounting.baseline_m == pytest.approx(0.0505, rel=0.01)
    assert {path.name for path in tmp_path.iterdir()} == {
        "rig.yaml",
        "rig.factory.yaml",
        "rig.report.json",
        "rig.report.md",
        "rig.report.png",
    }
    assert json.loads((tmp_path / "rig.report.json").read_text())["verdict"].startswith("good")
    assert CliRunner().invoke(app, ["calibrate", "--restore", "--out", str(out)]).exit_code == 0


def test_from_two_folders_of_pictures_to_a_file(board_session: Path, tmp_path: Path) -> None:
    """Whoever took single pictures with the cameras' own viewer has nothing else."""
    folders = {name: tmp_path / name for name in ("reference", "secondary")}
    for folder in folders.values():
        folder.mkdir()
    for number, instant in enumerate(instants(Session.open(board_session), 14)):
        for name, image in (("reference", instant.before), ("secondary", instant.secondary)):
            write_exr(folders[name] / f"{number:02d}.exr", image)
    out = tmp_path / "rig.yaml"
    sources = [f"--{name}={folder}" for name, folder in folders.items()]
    run = CliRunner().invoke(app, ["calibrate", *sources, "--square-mm", "23", "--out", str(out), "--json"])
    assert run.exit_code == 0, run.output
    made = read_calibration(out)
    assert made.quality["reprojection_rms_px"] < 0.2
    assert made.mounting is not None
    assert made.mounting.baseline_m == pytest.approx(0.0505, rel=0.02)


def test_a_scene_calibrates_and_checks_what_was_recorded(tmp_path: Path) -> None:
    """What is typed on the roof, where nobody has a board: calibrate, and a year later look if it holds."""
    config = tmp_path / "garden.yaml"
    config.write_text(RECORDED.format(root=tmp_path / "sessions"))
    session, out = tmp_path / "session", tmp_path / "rig.yaml"
    assert run_daemon(load_config(config), 1.2, session) == 0
    scene = ["calibrate", "--scene", "--session", str(session), "--views", "4", "--out", str(out)]
    made = CliRunner().invoke(app, scene)
    assert made.exit_code == 0, made.output
    check = ["calibrate", "--check", str(session), "--views", "4", "--calibration"]
    held = CliRunner().invoke(app, [*check, str(out)], env={"COLUMNS": "200"})
    assert held.exit_code == 0, held.output
    assert held.output.startswith("good: the views are 0.")

    knocked = read_calibration(out)
    matrix = np.array(((1.0, 0.0, 4.0), (0.0, 1.0, -3.0), (0.0, 0.0, 1.0))) @ np.asarray(knocked.homography)
    write_calibration(tmp_path / "knocked.yaml", replace(knocked, homography=as_rows(matrix)))
    lost = CliRunner().invoke(app, [*check, str(tmp_path / "knocked.yaml"), "--json"])
    assert lost.exit_code == 1, lost.output
    assert json.loads(lost.output)["drift_px"] == pytest.approx(5.0, abs=0.3)


def test_the_guide_leads_through_a_live_calibration(config_of: Callable[[str], Config]) -> None:
    """Board before live cameras: views are taken when it is still and new, and the page has their figures."""
    rig = BoardRig(small_scene(count=16, frames_per_pose=8))
    size = rig.reference.info.width, rig.reference.info.height
    opened = OpenRig(
        rig, "board", True, identity(*size), Exposure(8_000.0), (Exposure(4_000.0), Exposure(16_000.0))
    )
    collected, told = BoardSession(CHARUCO), list[str]()
    gathering = Gathering(opened, config_of(""), collected)
    assert gathering.guided.status()["advice"]["kind"] == "first"
    with WebServer(
        Health(), gathering.hub, port=0, more=(CalibrationRoutes(gathering.guided.status),)
    ) as server:
        gathering.run(told.append)
        status = json.loads(urlopen(f"{server.url}/api/calibration", timeout=5).read())
        page = urlopen(f"{server.url}{PAGE}", timeout=5).read()
        assert urlopen(f"{server.url}/preview/reference.jpg", timeout=5).read()[:2] == b"\xff\xd8"
    assert b"calibrate.js" in page
    assert len(told) == status["views"] == len(collected.views) >= 6
    assert status["rms_px"] < 0.2
    assert sum(map(sum, status["coverage"]["secondary"])) > 100
    assert "Move the board" in " ".join(told) or "Tilt" in " ".join(told)
