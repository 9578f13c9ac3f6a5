"""Calibration with a board, against cameras whose geometry is known to the last digit."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge.calibration.board import Board, BoardError, Detection
from edge.calibration.maps import secondary_map, undistorted
from edge.calibration.measure import BoardSession, Measured, Wishes
from edge.calibration.model import IDENTITY, Calibration, Lens
from edge.calibration.report import markdown, overlay
from edge.calibration.solve import solve
from edge.calibration.views import SolveError, View
from hw.simulator.board_view import Eye
from tests.edge.calibration.calibration_scene import (
    CHARUCO,
    CHECKERBOARD,
    HEIGHT,
    REFERENCE,
    SECONDARY,
    WIDTH,
    detect,
    film,
    ideal,
    poses,
    true_places,
)

SIZE = (WIDTH, HEIGHT)


@pytest.fixture(scope="module")
def collected() -> BoardSession:
    session = BoardSession(CHARUCO)
    for shot in film(CHARUCO, poses(CHARUCO, 18)):
        session.add(shot)
    return session


@pytest.fixture(scope="module")
def measured(collected: BoardSession) -> Measured:
    return collected.solved(Wishes())


def off_px(made: Measured, eyes: tuple[Eye, Eye] = (REFERENCE, SECONDARY)) -> np.ndarray:
    """(H, W) px: how far from the truth the map is, everywhere in the picture."""
    places = secondary_map(made.calibration)
    x, y = np.meshgrid(np.arange(WIDTH, dtype=np.float64), np.arange(HEIGHT, dtype=np.float64))
    true = true_places(np.column_stack((x.ravel(), y.ravel())), eyes).reshape(HEIGHT, WIDTH, 2)
    inside = ((true > 0) & (true < SIZE)).all(axis=2)
    return np.where(inside, np.hypot(*np.moveaxis(places - true, -1, 0)), 0.0)


def test_the_geometry_of_the_rig_is_found(measured: Measured) -> None:
    """The bar: 0.15 px reprojection, 0.5 % of baseline and angles, 0.3 px registration, from 18 views."""
    made = measured.calibration
    assert made.mounting is not None
    quality = made.quality
    baseline = made.mounting.baseline_m / float(np.linalg.norm(SECONDARY.translation_m)) - 1.0
    angle = np.linalg.norm(made.mounting.rotation_deg) / np.linalg.norm(SECONDARY.rotation_deg) - 1.0
    astray = off_px(measured)
    rms = float(np.sqrt((astray**2).mean()))
    print(
        f"\nreprojection {quality['reprojection_rms_px']:.4f} px, baseline {100 * baseline:+.4f} %, "
        f"angle {100 * angle:+.4f} %, angles {made.mounting.rotation_deg}, "
        f"registration {rms:.4f} px rms, {astray.max():.4f} px at worst"
    )
    assert quality["reprojection_rms_px"] < 0.15
    assert abs(baseline) < 0.005
    assert abs(angle) < 0.005
    np.testing.assert_allclose(made.mounting.rotation_deg, SECONDARY.rotation_deg, atol=0.005 * 2.1)
    assert rms < 0.3
    assert astray.max() < 0.3


def test_lenses_come_out_as_they_are(measured: Measured) -> None:
    """Focal lengths and centres are what distances and straight lines are computed from."""
    for lens, eye in (
        (measured.calibration.reference, REFERENCE),
        (measured.calibration.secondary, SECONDARY),
    ):
        assert lens is not None
        np.testing.assert_allclose((lens.fx, lens.fy), eye.focal, rtol=1e-3)
        np.testing.assert_allclose((lens.cx, lens.cy), eye.centre, atol=1.0)


def test_the_light_of_both_cameras_is_matched(measured: Measured) -> None:
    """Else every fused colour would shift where the secondary takes over, most in the corners."""
    light = measured.calibration.photometry
    assert light is not None
    np.testing.assert_allclose(light.secondary_gain, 1.0 / np.array(SECONDARY.gain), rtol=0.01)
    r2 = np.linspace(0.0, 0.8, 9)
    for found, eye in ((light.reference_falloff, REFERENCE), (light.secondary_falloff, SECONDARY)):
        a, b, c = found
        true = 1.0 + r2 * (eye.falloff[0] + r2 * eye.falloff[1])
        np.testing.assert_allclose(1.0 + r2 * (a + r2 * (b + r2 * c)), true, atol=0.02)


def test_a_checkerboard_does_as_well() -> None:
    """Many people have one; it must give the same rig."""
    held = poses(CHECKERBOARD, 24)
    seen = detect(film(CHECKERBOARD, held[:2], seed=2), CHECKERBOARD)
    for found, true in zip(seen, ideal(CHECKERBOARD, held[:2], noise_px=0.0), strict=True):
        for one, other in ((found.reference, true.reference), (found.secondary, true.secondary)):
            assert one is not None
            assert other is not None
            assert np.sqrt(((one.corners - other.corners) ** 2).sum(axis=1).mean()) < 0.06
    solution = solve(ideal(CHECKERBOARD, held), CHECKERBOARD, SIZE)
    assert solution.rms_px < 0.15
    assert solution.mounting.baseline_m == pytest.approx(np.linalg.norm(SECONDARY.translation_m), rel=0.005)


def test_a_homography_says_what_it_costs(collected: BoardSession) -> None:
    """With different lenses one matrix cannot fit; a person choosing it has to see by how much."""
    flat = collected.solved(Wishes(mode="homography"))
    rms = float(np.sqrt((off_px(flat) ** 2).mean()))
    assert flat.calibration.quality["homography_fit_px"] == pytest.approx(rms, rel=0.3)


def test_a_plane_brings_near_things_together(collected: BoardSession) -> None:
    """For a rig over a table or a stage: what stands there coincides, before any flow."""
    near = collected.solved(Wishes(plane_m=0.5)).calibration
    eye = Lens(*REFERENCE.focal, *REFERENCE.centre, REFERENCE.distortion)
    ray = np.append(undistorted(eye, np.array(((700.0, 300.0),)))[0], 1.0)
    point = 0.5 * ray
    seen = SECONDARY.rotation() @ point + SECONDARY.translation_m
    true, _ = cv2.projectPoints(
        seen.reshape(1, 3), np.zeros(3), np.zeros(3), SECONDARY.matrix(), np.array(SECONDARY.distortion)
    )
    np.testing.assert_allclose(secondary_map(near)[300, 700], true.ravel(), atol=0.3)


def test_tangential_distortion_is_found_where_it_is() -> None:
    """A sensor that sits askew behind its lens; the solver starts out doubting it."""
    eyes = (
        replace(REFERENCE, distortion=(-0.12, 0.05, 0.0008, -0.0006, 0.0)),
        replace(SECONDARY, distortion=(-0.11, 0.04, -0.0005, 0.0007, 0.0)),
    )
    solution = solve(ideal(CHARUCO, poses(CHARUCO, 20), eyes), CHARUCO, SIZE)
    np.testing.assert_allclose(solution.reference.distortion[2:4], (0.0008, -0.0006), atol=2e-4)
    assert solve(ideal(CHARUCO, poses(CHARUCO, 20)), CHARUCO, SIZE).reference.distortion[2:4] == (0.0, 0.0)


def test_a_wide_lens_needs_its_third_term() -> None:
    """Without k3 the corners of a wide picture would be pixels off, and the error would say so."""
    eyes = tuple(replace(eye, distortion=(-0.30, 0.14, 0.0, 0.0, -0.06)) for eye in (REFERENCE, SECONDARY))
    views = ideal(CHARUCO, poses(CHARUCO, 24), (eyes[0], eyes[1]))
    wide = solve(views, CHARUCO, SIZE, wide=True)
    assert wide.rms_px < 0.04
    assert wide.reference.distortion[4] == pytest.approx(-0.06, abs=0.03)


def test_one_camera_upside_down_is_fine() -> None:
    """Two cameras back to back fit a narrow case; half a turn is geometry like any other."""
    eyes = REFERENCE, SECONDARY.rotated_half()
    solution = solve(ideal(CHARUCO, poses(CHARUCO, 14), eyes), CHARUCO, SIZE)
    assert solution.rms_px < 0.15
    np.testing.assert_allclose(solution.mounting.rotation(), eyes[1].rotation(), atol=3e-4)
    shot = film(CHARUCO, poses(CHARUCO, 1), eyes)[0]
    made = Calibration(
        WIDTH, HEIGHT, IDENTITY, "rectify", solution.reference, solution.secondary, solution.mounting
    )
    assert off_px(Measured(made, shot), eyes).max() < 0.3
    seen = detect([shot], CHARUCO)[0]
    assert len(seen.shared()[0]) > 30  # found, and with the right numbers
    _, mine, other = seen.shared()
    assert np.corrcoef(mine[:, 0], other[:, 0])[0, 1] < -0.9


def test_a_bad_view_is_named_and_left_out(collected: BoardSession) -> None:
    """One picture taken while the board moved must not cost the whole session, nor pass unseen."""
    bad = collected.views[3]
    assert bad.secondary is not None
    shifted = Detection(bad.secondary.ids, bad.secondary.corners + np.float32((4.0, 2.0)))
    views = [*collected.views[:3], View("moved", bad.reference, shifted), *collected.views[4:10]]
    solution = solve(views, CHARUCO, SIZE)
    assert list(solution.left_out) == ["moved"]
    assert "px off" in solution.left_out["moved"]
    assert solution.rms_px < 0.15


def test_too_few_views_say_what_to_add(collected: BoardSession) -> None:
    """A result from three views would look like a calibration."""
    with pytest.raises(SolveError, match=r"4 of 4 views .* 6 are needed"):
        solve(collected.views[:4], CHARUCO, SIZE)


def test_a_board_that_one_camera_sees_is_named(collected: BoardSession) -> None:
    """The user must look at the right camera."""
    views = [View(v.name, v.reference, None) for v in collected.views]
    with pytest.raises(SolveError, match="the secondary sees the board in 0 views"):
        solve(views, CHARUCO, SIZE)


def test_no_board_at_all_asks_for_its_description(collected: BoardSession) -> None:
    """The usual cause is a wrong count of squares."""
    with pytest.raises(SolveError, match="--squares"):
        solve([View(v.name, None, None) for v in collected.views], CHARUCO, SIZE)


def test_one_pose_is_refused_instead_of_answered() -> None:
    """Parallel boards leave focal length and distance free: the solver would return any of them."""
    held = [
        (r, p + np.array((0.01 * i, 0.005 * i, 0.012 * i))) for i, (r, p) in enumerate(poses(CHARUCO, 1) * 8)
    ]
    views = ideal(CHARUCO, held)
    with pytest.raises(SolveError, match="turned the same way"):
        solve(views, CHARUCO, SIZE)


def test_a_mirrored_board_is_told() -> None:
    """A flipped camera finds no marker; "no board" would send the user looking for light and focus."""
    shot = film(CHARUCO, poses(CHARUCO, 1), seed=5)[0]
    flipped = replace(shot, secondary=np.ascontiguousarray(shot.secondary[:, ::-1]))
    with pytest.raises(SolveError, match="the secondary sees the board mirrored"):
        solve(detect([flipped] * 6, CHARUCO), CHARUCO, SIZE)


def test_a_mirrored_checkerboard_is_told_too() -> None:
    """A plain board looks right in the mirror; only the other camera gives it away."""
    shots = film(CHECKERBOARD, poses(CHECKERBOARD, 8), seed=6)
    for axis in (np.s_[:, ::-1], np.s_[::-1]):
        flipped = [replace(shot, secondary=np.ascontiguousarray(shot.secondary[axis])) for shot in shots]
        with pytest.raises(SolveError, match="mirrored"):
            solve(detect(flipped, CHECKERBOARD), CHECKERBOARD, SIZE)


def test_wrong_squares_are_found_with_a_ruler(collected: BoardSession) -> None:
    """Pictures cannot tell a large board far away from a small one near; the cameras' distance can."""
    wrong = replace(CHARUCO, square_m=0.030)
    solution = solve(collected.views[:10], wrong, SIZE, baseline_m=0.0505)
    assert any(
        "squares are likely 22.9" in doubt or "squares are likely 23.0" in doubt for doubt in solution.doubts
    )
    assert solve(collected.views[:10], CHARUCO, SIZE, baseline_m=0.0505).doubts == ()


def test_a_stretched_print_is_doubted(collected: BoardSession) -> None:
    """Printers scale one direction; the lens would take the blame."""
    stretched = []
    for view in collected.views[:10]:
        seen = [found for found in (view.reference, view.secondary) if found is not None]
        stretched.append(
            View(view.name, *(Detection(f.ids, f.corners * np.float32((1.0, 1.03))) for f in seen))
        )
    solution = solve(stretched, CHARUCO, (WIDTH, round(HEIGHT * 1.03)))
    assert any("off square" in doubt for doubt in solution.doubts)


@pytest.mark.parametrize(
    ("kind", "columns", "rows", "square_m"),
    [
        ("checkerboard", 10, 8, 0.02),
        ("charuco", 3, 8, 0.02),
        ("charuco", 11, 8, 0.0),
        ("charuco", 30, 30, 0.01),
    ],
)
def test_boards_that_cannot_work_are_refused(kind: str, columns: int, rows: int, square_m: float) -> None:
    """Before anybody prints one."""
    with pytest.raises(BoardError):
        Board(kind, columns, rows, square_m)  # type: ignore[arg-type]


def test_the_report_has_numbers_and_a_picture(measured: Measured) -> None:
    """What a person decides by; after rectifying at the board's distance, red and cyan have to meet."""
    text = markdown(measured, "x.png")
    assert "# Calibration: good" in text
    assert "| reprojection error, rms | 0.0" in text
    picture = overlay(measured).astype(np.int16)
    half = picture.shape[1] // 2
    fringe = np.abs(picture[26:, :, 0] - picture[26:, :, 1])
    before, after = fringe[:, : half - 3].mean(), fringe[:, half + 3 :].mean()
    assert after < 0.6 * before
