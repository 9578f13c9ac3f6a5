"""Which view of the board is missing: what makes the difference between a calibration and a number.

A lens is known where corners were seen, so the picture is to be covered, its corners too; focal length and
distance come apart only over different tilts; two views alike say one thing twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.calibration.board import Board, Points
from edge.calibration.views import SHARED_CORNERS, View, board_normal

COLUMNS, ROWS = 8, 6
"""Cells of the coverage map."""
ENOUGH_COVERAGE = 0.7
ENOUGH_VIEWS = 12
TILT_DEG = 15.0
NEAR_SHARE, FAR_SHARE = 0.30, 0.15
"""Of the picture's area that the corners span."""
NEW_SHARE = 0.06
"""Of the picture's width: corners must have moved so far from every view taken, or have turned."""
NEW_TILT_DEG = 10.0
PLACES: Final = {
    (0, 0): "the upper left",
    (1, 0): "the top",
    (2, 0): "the upper right",
    (0, 1): "the left",
    (1, 1): "the middle",
    (2, 1): "the right",
    (0, 2): "the lower left",
    (1, 2): "the bottom",
    (2, 2): "the lower right",
}


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do next. ``kind`` is for programs; ``place`` a cell of 3 x 3 (column, row) to highlight."""

    kind: str
    text: str
    place: tuple[int, int] | None = None

    @property
    def done(self) -> bool:
        """Whether the views will do."""
        return self.kind == "done"


def coverage(corners: Sequence[Points], size: tuple[int, int]) -> NDArray[np.int32]:
    """Corners seen in each cell of the picture: (ROWS, COLUMNS)."""
    counts = np.zeros((ROWS, COLUMNS), np.int32)
    for points in corners:
        cells = (np.asarray(points) / size * (COLUMNS, ROWS)).astype(int)
        np.add.at(counts, (cells[:, 1].clip(0, ROWS - 1), cells[:, 0].clip(0, COLUMNS - 1)), 1)
    return counts


def coverage_share(corners: Sequence[Points], size: tuple[int, int]) -> float:
    """Cells with corners over all cells."""
    return float((coverage(corners, size) > 0).mean())


def is_new(view: View, taken: Sequence[View], board: Board, size: tuple[int, int]) -> bool:
    """Whether ``view`` says something that no view in ``taken`` does."""
    ids, mine, _ = view.shared()
    if len(ids) < SHARED_CORNERS:
        return False
    normal = board_normal(board.points(ids), mine, size)
    for old in taken:
        old_ids, old_mine, _ = old.shared()
        common, i, j = np.intersect1d(ids, old_ids, return_indices=True)
        if len(common) < 4:
            continue
        moved = float(np.median(np.hypot(*(mine[i] - old_mine[j]).T)))
        turned = _angle_deg(normal, board_normal(board.points(old_ids), old_mine, size))
        if moved < NEW_SHARE * size[0] and turned < NEW_TILT_DEG:
            return False
    return True


def advise(taken: Sequence[View], board: Board, size: tuple[int, int]) -> Advice:
    """The next view to take, the most urgent lack first; ``done`` when nothing is missing."""
    pairs = [view for view in taken if len(view.shared()[0]) >= SHARED_CORNERS]
    if not pairs:
        return Advice(
            "first", "Hold the board so that both cameras see all of it, and keep it still.", (1, 1)
        )
    seen = [[view.shared()[1] for view in pairs], [view.shared()[2] for view in pairs]]
    gap = _gap(seen, size)
    tilt = _missing_tilt(pairs, board, size)
    if tilt is not None and (gap is None or len(pairs) % 2):
        return tilt
    if gap is not None:
        return Advice("cover", f"Move the board to {PLACES[gap]} of the picture, right to its edge.", gap)
    spans = [_span(view.shared()[1], size) for view in pairs]
    if max(spans) < NEAR_SHARE:
        return Advice("near", "Come nearer: the board should fill most of the picture.", (1, 1))
    if min(spans) > FAR_SHARE:
        return Advice("far", "Go back, until the board fills a third of the picture's width.", (1, 1))
    if len(pairs) < ENOUGH_VIEWS:
        left = ENOUGH_VIEWS - len(pairs)
        return Advice("more", f"{left} more views, tilted and turned as you like, each one different.")
    return Advice("done", f"{len(pairs)} views are enough.")


def _gap(seen: Sequence[Sequence[Points]], size: tuple[int, int]) -> tuple[int, int] | None:
    """The emptiest of 3 x 3 parts of the picture, in whichever camera it is empty; None: all are covered."""
    worst, most = None, 0.0
    for corners in seen:
        counts = coverage(corners, size)
        if (counts > 0).mean() >= ENOUGH_COVERAGE:
            continue
        for row in range(3):
            for column in range(3):
                part = counts[row * 2 : row * 2 + 2, column * 8 // 3 : (column + 1) * 8 // 3]
                empty = float((part == 0).mean())
                if empty > most:
                    worst, most = (column, row), empty
    return worst


def _missing_tilt(pairs: Sequence[View], board: Board, size: tuple[int, int]) -> Advice | None:
    normals = [board_normal(board.points(v.shared()[0]), v.shared()[1], size) for v in pairs]
    facing = [normal if normal[2] > 0 else -normal for normal in normals]
    tilts = np.degrees([(np.arctan2(n[0], n[2]), np.arctan2(n[1], n[2])) for n in facing])
    wanted = (
        (tilts[:, 0] > TILT_DEG, "left", "Tilt the board: turn its left edge away from the cameras."),
        (tilts[:, 0] < -TILT_DEG, "right", "Tilt the board: turn its right edge away from the cameras."),
        (tilts[:, 1] > TILT_DEG, "up", "Tilt the board: lean its upper edge away from the cameras."),
        (tilts[:, 1] < -TILT_DEG, "down", "Tilt the board: lean its lower edge away from the cameras."),
    )
    for there, name, text in wanted:
        if not there.any():
            return Advice(f"tilt_{name}", text)
    return None


def _span(points: Points, size: tuple[int, int]) -> float:
    low, high = np.percentile(points, (2, 98), axis=0)
    return float(np.prod((high - low) / size))


def _angle_deg(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(np.degrees(np.arccos(min(1.0, abs(float(a @ b))))))
