"""From configuration to cameras, and what the line must know of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.capture.rig import RigError, open_rig
from edge.config.schema import Config
from edge.frames import Exposure
from edge.fuse.assembly import develop_settings
from edge.register.rectify import CalibrationError
from edge.session.recording import Session
from hw.simulator.spec import SimulatorSpec

ConfigOf = Callable[..., Config]


def test_a_simulation_knows_its_geometry_and_exposures(config_of: ConfigOf) -> None:
    """Without a calibration file the simulated views must still line up."""
    opened = open_rig(config_of())
    assert opened.can_wait
    assert not opened.calibration.is_identity
    assert (opened.calibration.width, opened.calibration.height) == (192, 128)
    assert opened.reference_exposure == Exposure(8_000.0)
    assert [e.ev_from(opened.reference_exposure) for e in opened.secondary_exposures] == pytest.approx(
        [-2, 2]
    )
    assert opened.full_scale == pytest.approx(4.0)
    assert opened.simulator is not None
    assert SimulatorSpec.from_dict(opened.simulator).width == 192


def test_gain_counts_towards_full_scale(config_of: ConfigOf) -> None:
    """The brightest measurable light follows from time and gain of the darkest exposure."""
    opened = open_rig(config_of("rig: {reference: {gain_db: 12}, secondary: {low_ev: -3, gain_db: 6}}\n"))
    assert opened.full_scale == pytest.approx(8.0)
    assert opened.secondary_exposures[0].gain_db == 6


@pytest.mark.parametrize(("pace", "waits"), [("auto", True), ("max", True), ("1", False), ("0.5", False)])
def test_only_a_source_with_its_own_pace_is_live(config_of: ConfigOf, pace: str, waits: bool) -> None:
    """A live source drops what cannot be taken; a simulation that drops frames proves nothing."""
    assert open_rig(config_of(f"simulator: {{pace: {pace}}}\n")).can_wait is waits


def test_a_calibration_file_is_used_instead(config_of: ConfigOf, tmp_path: Path) -> None:
    """What was measured counts more than what the source believes."""
    rows = [[1.0, 0.0, 2.5], [0.0, 1.0, -1.0], [0.0, 0.0, 1.0]]
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps({"version": 1, "width": 192, "height": 128, "homography": rows}))
    opened = open_rig(config_of(f"calibration: {{file: {path}}}\n"))
    np.testing.assert_array_equal(opened.calibration.homography, rows)
    path.write_text(json.dumps({"version": 1, "width": 960, "height": 540, "homography": rows}))
    with pytest.raises(CalibrationError, match="960x540"):
        open_rig(config_of(f"calibration: {{file: {path}}}\n"))


def test_a_recording_is_opened_as_it_was_made(config_of: ConfigOf, recording: Path) -> None:
    """Its geometry, exposures and world come from its header, not from today's configuration."""
    header = Session.open(recording).header
    opened = open_rig(
        config_of(
            f"rig: {{source: replay, reference: {{exposure_us: 1000}}}}\nreplay: {{session: {recording}}}\n"
        )
    )
    assert opened.can_wait
    assert opened.reference_exposure == header.exposures["reference"][0] == Exposure(8_000.0)
    assert opened.full_scale == pytest.approx(4.0)
    assert opened.calibration.to_dict() == header.calibration
    assert opened.simulator == header.simulator
    assert opened.rig.reference.info.serial == header.cameras["reference"].serial


def test_a_replay_without_a_recording_is_refused(config_of: ConfigOf) -> None:
    """The loader refuses it too; whoever builds a configuration by hand gets the same answer."""
    config = config_of()
    rig = config.rig.model_copy(update={"source": "replay"})
    with pytest.raises(RigError, match=r"replay\.session"):
        open_rig(config.model_copy(update={"rig": rig}))


def test_frames_are_developed_as_configured(config_of: ConfigOf) -> None:
    """A key without a wire would be white balance that does nothing."""
    matrix = "[[1.2, -0.1, -0.1], [-0.1, 1.2, -0.1], [-0.1, -0.1, 1.2]]"
    config = config_of(f"develop: {{white_balance: [2.0, 1.0, 1.5], colour_matrix: {matrix}}}\n")
    opened = open_rig(config)
    made = develop_settings(config, opened.rig.reference.info)
    assert (made.black_level, made.white_level) == (64, 4095)
    assert made.white_balance == (2.0, 1.0, 1.5)
    assert made.colour_matrix[0] == (1.2, -0.1, -0.1)
    assert opened.as_source().transfer == "linear"
    assert set(opened.as_source().cameras) == {"reference", "secondary"}
