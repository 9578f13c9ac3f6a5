"""The calibration file: edited by hand, copied between rigs, read by every recording."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edge.calibration.file import (
    CalibrationError,
    NoFactoryError,
    factory_path,
    read_calibration,
    restore,
    write_calibration,
)
from edge.calibration.model import IDENTITY, Calibration, Lens, Mounting, Photometry
from edge.calibration.photometry import Sight, match_light
from edge.cli import app
from edge.register.rectify import Rectifier

WHOLE = Calibration(
    96,
    64,
    ((1.0, 0.0, 2.5), (0.0, 1.0, -1.25), (0.0, 0.0, 1.0)),
    "rectify",
    Lens(90.0, 91.0, 47.0, 31.0, (-0.1, 0.02, 0.0, 1e-05, 0.0)),
    Lens(92.0, 91.5, 48.0, 32.0),
    Mounting((0.1, -0.2, 0.3), (-0.05, 0.001, 0.0)),
    4.0,
    True,
    Photometry((1.1, 1.0, 0.9), 0.0, 0.001, (-0.2, 0.0, 0.0), (-0.1, 0.0, 0.0)),
    {"kind": "charuco", "columns": 11},
    {"reprojection_rms_px": 0.05, "left_out": {"a": "b"}},
    {"utc": "2026-01-01T00:00:00+00:00"},
)


def test_every_value_comes_back(tmp_path: Path) -> None:
    """Calibrate once, film for years."""
    write_calibration(tmp_path / "rig.yaml", WHOLE)
    assert read_calibration(tmp_path / "rig.yaml") == WHOLE


def test_the_factory_copy_is_never_lost_by_calibrating_again(tmp_path: Path) -> None:
    """A bad calibration in the field must not cost the good one from the bench."""
    path, worse = tmp_path / "calibration.yaml", replace(WHOLE, plane_m=9.0)
    assert write_calibration(path, WHOLE) == (path, tmp_path / "calibration.factory.yaml")
    assert write_calibration(path, worse) == (path,)
    assert read_calibration(factory_path(path)) == WHOLE
    assert restore(path) == WHOLE
    assert read_calibration(path) == WHOLE
    write_calibration(path, worse, factory=True)
    assert read_calibration(factory_path(path)) == worse


def test_without_a_factory_copy_nothing_is_touched(tmp_path: Path) -> None:
    """--restore on the wrong file must say so."""
    with pytest.raises(NoFactoryError, match="no factory calibration"):
        restore(tmp_path / "rig.yaml")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("fx: 90.0", "fx: many", "reference.fx"),
        ("fx: 90.0", "fx: 0.001", "reference.fx"),
        ("mode: rectify", "mode: bent", "mode"),
        ("plane_m: 4.0", "plane_m: -4.0", "plane_m"),
        ("plane_m: 4.0", "plain_m: 4.0", "plain_m"),
        ("secondary_gain: [1.1", "secondary_gain: [99.0", "photometry.secondary_gain"),
        ("secondary_black: 0.001", "secondary_black: .5", "photometry.secondary_black"),
    ],
)
def test_a_fault_is_told_with_its_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    """It is edited by hand; "not valid" would cost an hour."""
    path = tmp_path / "rig.yaml"
    write_calibration(path, WHOLE)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    line = next(i for i, row in enumerate(path.read_text().splitlines(), 1) if new.split(":")[0] in row)
    with pytest.raises(CalibrationError) as caught:
        read_calibration(path)
    assert str(caught.value).startswith(f"{path}:{line}: {told}")
    assert "\n" not in str(caught.value)


def test_lenses_are_needed_to_rectify(tmp_path: Path) -> None:
    """A file with half its sections deleted must not become a crash in the first frame."""
    write_calibration(tmp_path / "rig.yaml", replace(WHOLE, secondary=None))
    with pytest.raises(CalibrationError, match="rectify needs reference, secondary and mounting"):
        read_calibration(tmp_path / "rig.yaml")


def test_light_is_matched_and_white_stays_white() -> None:
    """A factor below 1 would turn clipped highlights grey; the common part belongs to the exposure."""
    light = Photometry((1.2, 1.0, 0.8), 0.0, 0.0, (0.0, 0.0, 0.0), (-0.4, 0.0, 0.0))
    rectifier = Rectifier(Calibration(96, 64, IDENTITY, photometry=light))
    r = np.hypot(*np.meshgrid(np.arange(96) - 47.5, np.arange(64) - 31.5)) / np.hypot(47.5, 31.5)
    true = np.float32(0.3)
    seen = np.float32(true * (1.0 - 0.4 * r * r))[..., None] / np.array((1.2, 1.0, 0.8), np.float32)
    out = rectifier.rectify(seen.astype(np.float32))
    np.testing.assert_allclose(out, true * rectifier.sensitivity, rtol=1e-3)
    assert (rectifier.rectify(np.ones((64, 96, 3), np.float32)) == 1.0).all()


def test_light_is_measured_on_registered_frames() -> None:
    """Colours, falloff and black of a recording without any board."""
    rng = np.random.default_rng(4)
    sights = []
    r2 = sum(axis**2 for axis in np.meshgrid(np.arange(480) - 239.5, np.arange(320) - 159.5))
    r2 = r2 / (239.5**2 + 159.5**2)
    for ratio in (0.5, 2.0, 0.5, 2.0):
        light = cv2.GaussianBlur(rng.random((320, 480, 3), np.float32), (0, 0), 12.0)
        light = np.clip(0.35 + 3.0 * (light - 0.5), 0.02, 1.0)
        other = light * ratio * (1 - 0.3 * r2)[..., None] / np.array((1.15, 1.0, 0.9)) + 0.004
        sights.append(Sight(np.float32(np.minimum(light, 1)), np.float32(np.minimum(other, 1)), ratio))
    found = match_light(sights)
    assert found is not None
    photometry, told = found
    np.testing.assert_allclose(photometry.secondary_gain, (1.15, 1.0, 0.9), rtol=0.01)
    assert photometry.secondary_black == pytest.approx(0.004, abs=0.0015)
    assert 1 + sum(photometry.secondary_falloff) == pytest.approx(0.7, abs=0.03)
    assert told["off_after_percent"] < 1.0 < told["off_before_percent"]


def test_boards_are_printed_at_true_size(tmp_path: Path) -> None:
    """A board scaled by the printer makes every distance wrong by that much."""
    for name in ("board.pdf", "board.png"):
        run = CliRunner().invoke(
            app, ["calibrate", "board", "--out", str(tmp_path / name), "--square-mm", "20"]
        )
        assert run.exit_code == 0, run.output
    pdf = (tmp_path / "board.pdf").read_bytes()
    box = pdf.split(b"/MediaBox [0 0 ")[1].split(b"]")[0].split()
    assert [float(side) / 72 * 25.4 for side in box] == pytest.approx([240.0, 180.0], abs=0.01)
    png = (tmp_path / "board.png").read_bytes()
    at = png.index(b"pHYs") + 4
    assert int.from_bytes(png[at : at + 4], "big") == 5000  # 100 px in 20 mm


@pytest.mark.parametrize(
    "arguments",
    [[], ["--scene"], ["--live", "--restore"], ["--reference", "x"], ["--session", "x", "--mode", "y"]],
)
def test_unclear_requests_are_refused(arguments: list[str]) -> None:
    """Before anything is read or filmed."""
    run = CliRunner().invoke(app, ["calibrate", *arguments])
    assert run.exit_code == 2
    assert "Traceback" not in run.output
