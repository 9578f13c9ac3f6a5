"""From corners to lenses and mounting: Zhang's method for each camera, then both together.

Z. Zhang, "A flexible new technique for camera calibration" (PAMI 2000), as OpenCV has it: each camera alone,
then all lens and mounting parameters refined together over the corners that both cameras see. Views that do
not fit the others are left out by name. What the views cannot determine is refused, not guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.calibration.board import Board, Detection, Points
from edge.calibration.model import Lens, Matrix, Mounting
from edge.errors import EX_DATAERR, TwinhdrError

FEWEST_VIEWS = 6
SHARED_CORNERS = 8
LEAST_SPREAD_DEG = 12.0
"""Between the two most different orientations of the board: below it focal length and distance look alike."""
OUTLIER_FACTOR = 3.0
"""Of the median view's error: what is above it, and above OUTLIER_PX, does not belong."""
OUTLIER_PX = 0.25
UNRELATED_SHARE = 0.08
"""Of the picture's width: what one map over all views may leave, which is parallax and lens distortion."""
DOUBTFUL_SHARE = 0.01
"""Standard error of a focal length over its value that the views must not exceed."""
_CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 200, 1e-9)


class SolveError(TwinhdrError):
    """The views do not determine the cameras. The text says why and which views to add."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One instant: what each camera saw of the board (None: nothing)."""

    name: str
    reference: Detection | None
    secondary: Detection | None

    def shared(self) -> tuple[NDArray[np.int32], Points, Points]:
        """Corners that both saw: numbers (n,), places in the reference and in the secondary (n, 2)."""
        if self.reference is None or self.secondary is None:
            return np.empty(0, np.int32), np.empty((0, 2), np.float32), np.empty((0, 2), np.float32)
        ids, mine, other = np.intersect1d(self.reference.ids, self.secondary.ids, return_indices=True)
        return ids.astype(np.int32), self.reference.corners[mine], self.secondary.corners[other]


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
    _refuse_mirrored(views)
    left_out: dict[str, str] = {}
    pairs = [view for view in views if len(view.shared()[0]) >= SHARED_CORNERS]
    for view in views:
        if view not in pairs:
            left_out[view.name] = _why_not_shared(view)
    _refuse_few(pairs, views)
    spread_deg = _spread_deg(pairs, board, size)
    if spread_deg < LEAST_SPREAD_DEG:
        raise SolveError(
            f"all {len(pairs)} views show the board turned the same way (within {spread_deg:.0f} degrees), "
            f"from "
            "which focal length and distance cannot be told apart; add views with the board tilted by 20 "
            "to 40 "
            "degrees to the left, to the right, up and down"
        )
    flags = 0 if wide else cv2.CALIB_FIX_K3
    lenses = [_alone([_of(view, i) for view in pairs], board, size, flags) for i in (0, 1)]
    _refuse_unrelated(pairs, board, size)
    while True:
        solved = _together(pairs, board, size, lenses, flags)
        worst = _outlier(solved.view_rms_px)
        if worst is None or len(pairs) <= FEWEST_VIEWS:
            break
        left_out[worst] = (
            f"its corners are {solved.view_rms_px[worst]:.2f} px off what the other views say: "
            "a moving board, blur or a reflection"
        )
        pairs = [view for view in pairs if view.name != worst]
        lenses = [_alone([_of(view, i) for view in pairs], board, size, flags) for i in (0, 1)]
    focal_error = (lenses[0].focal_error, lenses[1].focal_error)
    for name, error in zip(("reference", "secondary"), focal_error, strict=True):
        if error > DOUBTFUL_SHARE:
            raise SolveError(
                f"the views leave the {name}'s focal length uncertain by {100 * error:.1f} %; add views "
                f"with the "
                "board tilted more, nearer, and into the corners of the picture"
            )
    doubts = tuple(_doubts(solved, baseline_m, board))
    return Solution(
        solved.reference,
        solved.secondary,
        solved.mounting,
        solved.rms_px,
        solved.view_rms_px,
        left_out,
        spread_deg,
        focal_error,
        doubts,
    )


def board_normal(points: Points, corners: Points, size: tuple[int, int]) -> Matrix:
    """(3,) the board's normal before a camera, taking its lens for one of 53 degrees: good for comparing."""
    width, height = size
    focal = float(max(size))
    camera = np.array(((focal, 0, 0.5 * (width - 1)), (0, focal, 0.5 * (height - 1)), (0, 0, 1)))
    _, turn, _ = cv2.solvePnP(points, corners, camera, None, flags=cv2.SOLVEPNP_IPPE)
    return np.asarray(cv2.Rodrigues(turn)[0][:, 2], np.float64)


@dataclass(frozen=True, slots=True)
class _Alone:
    matrix: Matrix
    coefficients: Matrix
    focal_error: float
    rms_px: float


def _of(view: View, camera: int) -> Detection:
    found = (view.reference, view.secondary)[camera]
    assert found is not None, "views without both were left out before"
    return found


def _alone(found: Sequence[Detection], board: Board, size: tuple[int, int], flags: int) -> _Alone:
    points = [board.points(one.ids) for one in found]
    corners = [one.corners for one in found]
    try:
        rms, matrix, coefficients, _, _, errors, _, _ = cv2.calibrateCameraExtended(
            points, corners, size, None, None, flags=flags, criteria=_CRITERIA
        )
    except cv2.error as error:
        raise SolveError(
            f"the views do not determine a lens ({error.err or error.func}); add views with the board tilted"
        ) from None
    return _Alone(matrix, coefficients.ravel()[:5], float(errors[0, 0] / abs(matrix[0, 0])), float(rms))


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


def _spread_deg(pairs: Sequence[View], board: Board, size: tuple[int, int]) -> float:
    normals = []
    for view in pairs:
        found = _of(view, 0)
        normals.append(board_normal(board.points(found.ids), found.corners, size))
    cosines = [abs(float(a @ b)) for a, b in combinations(normals, 2)]
    return float(np.degrees(np.arccos(min(1.0, min(cosines)))))


# what is refused


def _refuse_mirrored(views: Sequence[View]) -> None:
    for name in ("reference", "secondary"):
        found = [getattr(view, name) for view in views if getattr(view, name) is not None]
        mirrored = sum(one.mirrored for one in found)
        if mirrored and mirrored * 2 >= len(found):
            raise SolveError(
                f"the {name} sees the board mirrored in {mirrored} of {len(found)} views; turn off "
                f"ReverseX or "
                "ReverseY (horizontal or vertical flip) of that camera, or print the board again unmirrored"
            )


def _why_not_shared(view: View) -> str:
    unseen = [
        n for n in ("reference", "secondary") if getattr(view, n) is None or not len(getattr(view, n).ids)
    ]
    if len(unseen) == 2:
        return "no camera sees the board"
    if unseen:
        return f"the {unseen[0]} does not see the board"
    return f"fewer than {SHARED_CORNERS} corners are seen by both cameras"


def _refuse_few(pairs: Sequence[View], views: Sequence[View]) -> None:
    if len(pairs) >= FEWEST_VIEWS:
        return
    count = {
        name: sum(1 for v in views if getattr(v, name) is not None and len(getattr(v, name).ids))
        for name in ("reference", "secondary")
    }
    told = f"{len(pairs)} of {len(views)} views show the board to both cameras, and {FEWEST_VIEWS} are needed"
    blind = [name for name, seen in count.items() if seen < FEWEST_VIEWS]
    if len(blind) == 2:
        advice = "no camera sees it: check that --board and --squares describe the board that was printed"
        if max(count.values()) > 0:
            advice = "add views, 15 are good: near and far, in the corners, tilted to all sides"
    elif blind:
        seen = count["secondary" if blind[0] == "reference" else "reference"]
        advice = (
            f"the {blind[0]} sees the board in {count[blind[0]]} views, the other camera in {seen}; "
            "hold the board where both see it, and check that camera's focus and exposure"
        )
    else:
        advice = "hold the board where both cameras see it at once"
    raise SolveError(f"{told}; {advice}")


def _refuse_unrelated(pairs: Sequence[View], board: Board, size: tuple[int, int]) -> None:
    """A mirrored picture of a checkerboard looks right by itself; beside the other camera's it does not."""
    shared = [view.shared() for view in pairs]
    limit_px = UNRELATED_SHARE * size[0]
    as_it_is = _common_map_px([(mine, other) for _, mine, other in shared])
    if as_it_is < limit_px:
        return
    if board.kind == "checkerboard":
        for turned in (np.s_[:, ::-1], np.s_[::-1, :]):
            flipped = [
                (mine, _mirrored(other, board, size)[turned].reshape(-1, 2)) for _, mine, other in shared
            ]
            if _common_map_px(flipped) < min(limit_px, 0.5 * as_it_is):
                raise SolveError(
                    "the pictures of one camera are mirrored; turn off its ReverseX or ReverseY "
                    "(horizontal or "
                    "vertical flip)"
                )
    raise SolveError(
        f"what the two cameras saw does not belong together (one map leaves {as_it_is:.0f} px); check that "
        f"the "
        "pictures of each pair are of one instant, and that the board lay still"
    )


def _mirrored(corners: Points, board: Board, size: tuple[int, int]) -> Points:
    """Corners of the mirror image as a grid (rows, columns, 2)."""
    grid = corners.reshape(board.rows - 1, board.columns - 1, 2).copy()
    grid[..., 0] = size[0] - 1 - grid[..., 0]
    return np.asarray(grid, np.float32)


def _common_map_px(matches: Sequence[tuple[Points, Points]]) -> float:
    """What one homography over all views leaves (median px): parallax, unless corners are mixed up."""
    mine, other = (np.concatenate([match[i] for match in matches]) for i in (0, 1))
    matrix, _ = cv2.findHomography(other, mine, cv2.RHO, 0.05 * float(np.ptp(mine[:, 0])))
    if matrix is None:
        return float("inf")
    off = cv2.perspectiveTransform(other.reshape(-1, 1, 2), matrix).reshape(-1, 2) - mine
    return float(np.median(np.hypot(*off.T)))


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
