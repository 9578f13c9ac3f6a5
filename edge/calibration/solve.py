"""From corners to lenses and mounting: Zhang's method for each camera, then both together.

Z. Zhang, "A flexible new technique for camera calibration" (PAMI 2000), as OpenCV has it: each camera alone,
then all lens and mounting parameters refined together over the corners that both cameras see. Views that do
not fit the others are left out by name. What the views cannot determine is refused, not guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from edge.calibration.board import Board, Detection, Points
from edge.calibration.model import Lens, Matrix, Mounting
from edge.calibration.views import FEWEST_VIEWS, SolveError, View, check_views, why_not_shared

OUTLIER_FACTOR = 3.0
"""Of the median view's error: what is above it, and above OUTLIER_PX, does not belong."""
OUTLIER_PX = 0.25
DOUBTFUL_SHARE = 0.01
"""Standard error of a focal length over its value that the views must not exceed."""
NEEDED_GAIN = 60.0
"""Far beyond chance, which gives 4 +- 3: corners' errors are not quite independent."""
STRAY_PX, STRAY_FACTOR = 0.25, 5.0
"""A corner farther off than either, the second times the median corner, is no corner."""
_CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 80, 1e-8)


@dataclass(frozen=True, slots=True)
class Solution:
    """Lenses, mounting, and how well they explain the corners.

    ``rms_px`` over all corners of both cameras; ``view_rms_px`` by view; ``left_out`` names and reasons;
    ``focal_error`` the standard error of fx over fx of each camera; ``doubts`` for a person to read.
    """

    reference: Lens
    secondary: Lens
    mounting: Mounting
    rms_px: float
    view_rms_px: dict[str, float]
    left_out: dict[str, str] = field(default_factory=dict)
    spread_deg: float = 0.0
    focal_error: tuple[float, float] = (0.0, 0.0)
    doubts: tuple[str, ...] = ()


def solve(
    views: Sequence[View],
    board: Board,
    size: tuple[int, int],
    *,
    wide: bool = False,
    baseline_m: float | None = None,
) -> Solution:
    """Calibrate both cameras, pictures of ``size`` (width, height).

    ``wide`` also estimates k3, for lenses beyond about 90 degrees. ``baseline_m`` is the distance between
    the cameras as measured with a ruler, to be compared. Raises SolveError.
    """
    pairs, spread = check_views(views, board, size)
    left_out = {view.name: why_not_shared(view) for view in views if view not in pairs}
    freest = 0 if wide else cv2.CALIB_FIX_K3
    pairs = _trimmed(pairs, board, size, freest)
    while True:
        solved = _fit(pairs, board, size, freest)
        worst = _outlier(solved.view_rms_px)
        if worst is None or len(pairs) <= FEWEST_VIEWS:
            break
        left_out[worst] = (
            f"its corners are {solved.view_rms_px[worst]:.2f} px off what the other views say: "
            "a moving board, blur or a reflection"
        )
        pairs = [view for view in pairs if view.name != worst]
    solved = _without_tangents(solved, pairs, board, size, freest)
    for name, error in zip(("reference", "secondary"), solved.focal_error, strict=True):
        if error > DOUBTFUL_SHARE:
            raise SolveError(
                f"the views leave the {name}'s focal length uncertain by {100 * error:.1f} %; add views with "
                "the board tilted more, nearer, and into the corners of the picture"
            )
    doubts = tuple(_doubts(solved, baseline_m, board))
    return replace(solved, left_out=left_out, spread_deg=spread, doubts=doubts)


def _fit(pairs: Sequence[View], board: Board, size: tuple[int, int], flags: int) -> Solution:
    lenses = [_alone([_of(view, i) for view in pairs], board, size, flags) for i in (0, 1)]
    return _together(pairs, board, size, lenses, flags)


def _trimmed(pairs: Sequence[View], board: Board, size: tuple[int, int], flags: int) -> list[View]:
    """The views without single corners that no pose of the board explains: a reflection, a finger."""
    cleaned: list[list[Detection]] = []
    for camera in (0, 1):
        found = [_of(view, camera) for view in pairs]
        alone = _alone(found, board, size, flags)
        off = [np.hypot(*(one.corners - _projected(board, one, alone, i)).T) for i, one in enumerate(found)]
        limit = max(STRAY_PX, STRAY_FACTOR * float(np.median(np.concatenate(off))))
        cleaned.append(
            [
                # A view that is bad as a whole is left out by name, later.
                one
                if (far > limit).mean() > 0.2
                else Detection(one.ids[far <= limit], one.corners[far <= limit])
                for one, far in zip(found, off, strict=True)
            ]
        )
    return [View(view.name, *both) for view, *both in zip(pairs, *cleaned, strict=True)]


def _projected(board: Board, found: Detection, alone: _Alone, view: int) -> Points:
    turn, shift = alone.poses[view]
    corners, _ = cv2.projectPoints(board.points(found.ids), turn, shift, alone.matrix, alone.coefficients)
    return np.asarray(corners.reshape(-1, 2), np.float32)


def _without_tangents(
    free: Solution, pairs: Sequence[View], board: Board, size: tuple[int, int], flags: int
) -> Solution:
    """``free``, or the solution without tangential distortion where the corners do not ask for it.

    Tangential distortion, the principal point and the direction of view look nearly alike: left free without
    need, the angles between the cameras come out two to three times as uncertain.
    """
    plain = _fit(pairs, board, size, flags | cv2.CALIB_ZERO_TANGENT_DIST)
    values = 4 * sum(len(view.shared()[0]) for view in pairs)
    gain = values * (plain.rms_px**2 / free.rms_px**2 - 1.0)  # about chi-squared, 4 degrees of freedom
    return free if gain > NEEDED_GAIN else plain


@dataclass(frozen=True, slots=True)
class _Alone:
    matrix: Matrix
    coefficients: Matrix
    focal_error: float
    poses: list[tuple[Matrix, Matrix]]


def _of(view: View, camera: int) -> Detection:
    found = (view.reference, view.secondary)[camera]
    assert found is not None, "views without both were left out before"
    return found


def _alone(found: Sequence[Detection], board: Board, size: tuple[int, int], flags: int) -> _Alone:
    points = [board.points(one.ids) for one in found]
    corners = [one.corners for one in found]
    try:
        _, matrix, coefficients, turns, shifts, errors, _, _ = cv2.calibrateCameraExtended(
            points, corners, size, None, None, flags=flags, criteria=_CRITERIA
        )
    except cv2.error as error:
        raise SolveError(
            f"the views do not determine a lens ({error.err or error.func}); add views with the board tilted"
        ) from None
    uncertain = float(errors[0, 0] / abs(matrix[0, 0]))
    return _Alone(matrix, coefficients.ravel()[:5], uncertain, list(zip(turns, shifts, strict=True)))


def _together(
    pairs: Sequence[View], board: Board, size: tuple[int, int], lenses: Sequence[_Alone], flags: int
) -> Solution:
    shared = [view.shared() for view in pairs]
    rms, k1, d1, k2, d2, turn, shift, *_, per_view = cv2.stereoCalibrateExtended(
        [board.points(ids) for ids, _, _ in shared],
        [mine for _, mine, _ in shared],
        [other for _, _, other in shared],
        lenses[0].matrix.copy(),
        lenses[0].coefficients.copy(),
        lenses[1].matrix.copy(),
        lenses[1].coefficients.copy(),
        size,
        np.eye(3),
        np.zeros((3, 1)),
        flags=flags | cv2.CALIB_USE_INTRINSIC_GUESS,
        criteria=_CRITERIA,
    )
    errors = np.sqrt((per_view**2).mean(axis=1))
    return Solution(
        _lens(k1, d1),
        _lens(k2, d2),
        Mounting.of(turn, shift),
        float(rms),
        {view.name: float(error) for view, error in zip(pairs, errors, strict=True)},
        focal_error=(lenses[0].focal_error, lenses[1].focal_error),
    )


def _lens(matrix: Matrix, coefficients: Matrix) -> Lens:
    k1, k2, p1, p2, k3 = (float(value) for value in coefficients.ravel()[:5])
    return Lens(
        float(matrix[0, 0]),
        float(matrix[1, 1]),
        float(matrix[0, 2]),
        float(matrix[1, 2]),
        (k1, k2, p1, p2, k3),
    )


def _outlier(errors: dict[str, float]) -> str | None:
    limit = max(OUTLIER_PX, OUTLIER_FACTOR * float(np.median(list(errors.values()))))
    worst = max(errors, key=errors.__getitem__)
    return worst if errors[worst] > limit else None


def _doubts(solved: Solution, baseline_m: float | None, board: Board) -> list[str]:
    doubts = []
    measured = solved.mounting.baseline_m
    if baseline_m is not None and abs(measured / baseline_m - 1.0) > 0.02:
        square = board.square_m * baseline_m / measured
        doubts.append(
            f"the cameras come out {measured * 1e3:.1f} mm apart, and the ruler says "
            f"{baseline_m * 1e3:.1f}: the "
            f"squares are likely {square * 1e3:.2f} mm, not {board.square_m * 1e3:g}; measure them again. "
            "Only distances in metres are wrong by this, the pictures fit all the same"
        )
    for name, lens in (("reference", solved.reference), ("secondary", solved.secondary)):
        if abs(lens.fx / lens.fy - 1.0) > 0.01:
            doubts.append(
                f"the {name}'s pixels come out {100 * (lens.fx / lens.fy - 1):+.1f} % off square: the "
                f"board was "
                "stretched in print (measure ten squares across and ten down), or the picture was"
            )
    if solved.rms_px > 0.5:
        doubts.append(
            f"the corners are off by {solved.rms_px:.2f} px, where 0.2 is usual: the board is not flat, or "
            f"moved"
        )
    return doubts
