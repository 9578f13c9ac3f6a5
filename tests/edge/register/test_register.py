"""The secondary view seen from the reference camera: a pixel off is a double edge on everything."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.frames import FloatImage
from edge.register.rectify import (
    Calibration,
    CalibrationError,
    Rectifier,
    identity,
    load_calibration,
    parse_calibration,
)
from hw.simulator.rig import true_homography
from hw.simulator.spec import SimulatorSpec

SIDE = 64


def calibration(rows: Any, width: int = SIDE, height: int = SIDE) -> Calibration:
    return parse_calibration({"version": 1, "width": width, "height": height, "homography": rows}, "test")


def picture(height: int = SIDE, width: int = SIDE) -> FloatImage:
    noise = np.random.default_rng(1).random((height, width, 3), np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 4.0)


def test_the_same_view_is_left_alone() -> None:
    """Resampling for nothing would blur every pair."""
    image = picture()
    assert Rectifier(identity(SIDE, SIDE)).rectify(image) is image


@pytest.mark.parametrize("shift", [(3, 0), (0, -5), (7, 2)])
def test_the_homography_maps_secondary_to_reference_pixels(shift: tuple[int, int]) -> None:
    """The other way round would double the misalignment instead of removing it."""
    image = picture()
    out = Rectifier(calibration([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1]])).rectify(image)
    want = np.roll(image, shift[::-1], (0, 1))
    inner = slice(8, -8)
    np.testing.assert_allclose(out[inner, inner], want[inner, inner], atol=1e-6)


def test_a_badly_mounted_pair_is_straightened_to_a_twentieth_of_a_pixel() -> None:
    """Roll, shift, scale and disparity of the simulated rig, undone by what a calibration would find."""
    spec = SimulatorSpec(width=320, height=180)
    matrix = true_homography(spec)
    y, x = np.mgrid[0:180, 0:320].astype(np.float64)
    w = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
    seen = [(matrix[row, 0] * x + matrix[row, 1] * y + matrix[row, 2]) / w for row in (0, 1)]
    # Each secondary pixel carries the reference coordinates of what it sees.
    image = np.dstack([seen[0], seen[1], np.zeros_like(x)]).astype(np.float32)
    out = Rectifier(calibration(matrix.tolist(), 320, 180)).rectify(image)
    inner = (slice(12, -12), slice(12, -12))
    assert np.abs(out[..., 0] - x)[inner].max() < 0.05
    assert np.abs(out[..., 1] - y)[inner].max() < 0.05


def test_outside_its_view_the_edge_goes_on() -> None:
    """Black there would read as a shadow that the reference does not have."""
    out = Rectifier(calibration([[1, 0, 20], [0, 1, 0], [0, 0, 1]])).rectify(
        np.full((SIDE, SIDE, 3), 0.7, np.float32)
    )
    np.testing.assert_allclose(out, 0.7, rtol=1e-6)


def test_another_size_is_refused() -> None:
    """Pixels of another size are other pixels."""
    with pytest.raises(ValueError, match="calibration is for"):
        Rectifier(identity(SIDE, SIDE)).rectify(picture(32, SIDE))


def test_a_file_gives_back_what_was_measured(tmp_path: Path) -> None:
    """Calibrate once, film for years."""
    made = calibration([[1.01, 0.002, -3.5], [-0.001, 0.99, 2.25], [1e-5, -2e-5, 1]])
    (tmp_path / "c.json").write_text(json.dumps(made.to_dict()))
    assert load_calibration(tmp_path / "c.json", SIDE, SIDE) == made
    assert not made.is_identity
    assert identity(4, 4).is_identity


def test_the_scale_of_a_homography_means_nothing() -> None:
    """Solvers return any multiple; all of them are the same map."""
    rows = np.array([[1.01, 0.002, -3.5], [-0.001, 0.99, 2.25], [1e-5, -2e-5, 1]])
    for scale in (1e-4, -3.0, 1e5):
        np.testing.assert_allclose(calibration((rows * scale).tolist()).homography, rows, rtol=1e-9)


GOOD = {"version": 1, "width": SIDE, "height": SIDE, "homography": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}
BAD: dict[str, Any] = {
    "not an object": [1, 2],
    "another version": {**GOOD, "version": 3},
    "no version": {k: v for k, v in GOOD.items() if k != "version"},
    "no width": {k: v for k, v in GOOD.items() if k != "width"},
    "negative width": {**GOOD, "width": -1},
    "a true height": {**GOOD, "height": True},
    "a quoted height": {**GOOD, "height": "540"},
    "no homography": {k: v for k, v in GOOD.items() if k != "homography"},
    "two rows": {**GOOD, "homography": [[1, 0, 0], [0, 1, 0]]},
    "ragged rows": {**GOOD, "homography": [[1, 0, 0], [0, 1], [0, 0, 1]]},
    "words": {**GOOD, "homography": [["a", 0, 0], [0, 1, 0], [0, 0, 1]]},
    "singular": {**GOOD, "homography": [[1, 0, 0], [1, 0, 0], [0, 0, 1]]},
    "last number 0": {**GOOD, "homography": [[1, 0, 0], [0, 1, 0], [0, 1, 0]]},
    "not finite": {**GOOD, "homography": [[float("nan"), 0, 0], [0, 1, 0], [0, 0, 1]]},
    "huge": {**GOOD, "homography": [[1e308, 0, 0], [0, 1e308, 0], [0, 0, 1e-308]]},
    "horizon in the picture": {**GOOD, "homography": [[1, 0, 0], [0, 1, 0], [-0.05, 0, 1]]},
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_calibration_is_one_line_with_the_file(tmp_path: Path, fault: str) -> None:
    """It is edited and copied by hand; the error must say what to do, and come before the recording."""
    path = tmp_path / "c.json"
    path.write_text(json.dumps(BAD[fault]))
    with pytest.raises(CalibrationError) as caught:
        load_calibration(path, SIDE, SIDE)
    assert re.match(rf"{re.escape(str(path))}(:1)?: ", str(caught.value))
    assert "\n" not in str(caught.value)
    assert "calibrate again" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_an_unreadable_file_is_one_line_with_the_file(tmp_path: Path, content: bytes) -> None:
    """A torn copy is a configuration error, not a crash."""
    path = tmp_path / "c.json"
    path.write_bytes(content)
    for bad in (path, tmp_path / "missing.json", tmp_path):
        with pytest.raises(CalibrationError, match="cannot be read") as caught:
            load_calibration(bad, SIDE, SIDE)
        assert str(caught.value).startswith(f"{bad}: ")


def test_a_calibration_of_another_size_is_refused(tmp_path: Path) -> None:
    """Scaled pixels would look almost right."""
    (tmp_path / "c.json").write_text(json.dumps(GOOD))
    with pytest.raises(CalibrationError, match="64x64, but the cameras deliver 960x540"):
        load_calibration(tmp_path / "c.json", 960, 540)


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(list(GOOD)), inner, max_size=4)
        ),
        max_leaves=12,
    ),
    st.lists(st.lists(st.floats(-5, 5), min_size=3, max_size=3), min_size=3, max_size=3),
)
def test_nothing_parsed_can_break_the_rectifier(junk: Any, rows: list[list[float]]) -> None:
    """What passes the check must be usable for every pixel."""
    with pytest.raises(CalibrationError):
        parse_calibration(junk, "x")
    try:
        made = calibration(rows)
    except CalibrationError:
        return
    out = Rectifier(made).rectify(picture())
    assert np.isfinite(out).all()


def test_it_keeps_up_with_video() -> None:
    """CPU time of one 960x540 frame on one core: 3 to 5 ms on a busy machine, asserted with room."""
    rectifier = Rectifier(calibration(true_homography(SimulatorSpec()).tolist(), 960, 540))
    image, threads = picture(540, 960), cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        costs = []
        for _ in range(12):
            begin = time.thread_time()
            rectifier.rectify(image)
            costs.append(time.thread_time() - begin)
    finally:
        cv2.setNumThreads(threads)
    assert min(costs) < 0.012
