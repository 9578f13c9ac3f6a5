"""Views of the board by both cameras, and what makes them useless, told with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.calibration.board import Board, Detection, Points
from edge.calibration.model import Matrix
from edge.errors import EX_DATAERR, TwinhdrError

FEWEST_VIEWS = 6
SHARED_CORNERS = 8
LEAST_SPREAD_DEG = 12.0
"""Between the two most different orientations of the board: below it focal length and distance look alike."""
UNRELATED_SHARE = 0.08
"""Of the picture's width: what one map over all views may leave, which is parallax and lens distortion."""


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


def check_views(views: Sequence[View], board: Board, size: tuple[int, int]) -> tuple[list[View], float]:
    """The views that show the board to both cameras, and the spread of its orientations in degrees.

    Raises SolveError where they cannot be enough, however well they are solved.
    """
    _refuse_mirrored(views)
    pairs = [view for view in views if len(view.shared()[0]) >= SHARED_CORNERS]
    _refuse_few(pairs, views)
    spread = spread_deg(pairs, board, size)
    if spread < LEAST_SPREAD_DEG:
        raise SolveError(
            f"all {len(pairs)} views show the board turned the same way (within {spread:.0f} degrees), "
            f"from which "
            "focal length and distance cannot be told apart; add views with the board tilted by 20 to 40 "
            "degrees "
            "to the left, to the right, up and down"
        )
    _refuse_unrelated(pairs, board, size)
    return pairs, spread


def board_normal(points: Points, corners: Points, size: tuple[int, int]) -> Matrix:
    """(3,) the board's normal before a camera, taking its lens for one of 53 degrees: good for comparing."""
    width, height = size
    focal = float(max(size))
    camera = np.array(((focal, 0, 0.5 * (width - 1)), (0, focal, 0.5 * (height - 1)), (0, 0, 1)))
    _, turn, _ = cv2.solvePnP(points, corners, camera, None, flags=cv2.SOLVEPNP_IPPE)
    return np.asarray(cv2.Rodrigues(turn)[0][:, 2], np.float64)


def spread_deg(pairs: Sequence[View], board: Board, size: tuple[int, int]) -> float:
    """Between the two most different orientations of the board."""
    normals = []
    for view in pairs:
        found = view.reference
        assert found is not None, "pairs are seen by both"
        normals.append(board_normal(board.points(found.ids), found.corners, size))
    cosines = [abs(float(a @ b)) for a, b in combinations(normals, 2)]
    return float(np.degrees(np.arccos(min(1.0, min(cosines)))))


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


def why_not_shared(view: View) -> str:
    """Why a view is of no use for both cameras."""
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
