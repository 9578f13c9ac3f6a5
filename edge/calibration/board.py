"""The printed board: what it is, and finding its corners in a picture to a few hundredths of a pixel.

A ChArUco board's corners have numbers, so it may be partly hidden or out of the picture, and no orientation
is mistaken. A plain checkerboard has to be seen whole; one side must count an odd and the other an even
number of inner corners, or it looks the same upside down.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import EX_CONFIG, TwinhdrError
from edge.frames import FloatImage

Kind: TypeAlias = Literal["charuco", "checkerboard"]
Points: TypeAlias = NDArray[np.float32]

DICTIONARY = cv2.aruco.DICT_4X4_100
DICTIONARY_NAME = "DICT_4X4_100"
MARKER_SHARE = 0.6
"""Side of a ChArUco marker over that of a square. The usual 0.75 leaves so little white that the marker's
edges get into the window a corner is refined in: that cost 0.4 px where this costs 0.03."""
FEWEST_CORNERS = 8
"""Of a ChArUco board in one picture: fewer, and their plane is badly known."""
MOST_SHARE = 0.9
"""Of a board's corners: with fewer found, it is worth looking again."""
REFINE_SHARE = {"charuco": 0.5 * (1.0 - MARKER_SHARE), "checkerboard": 0.35}
"""Half the window in which a corner is refined, over the distance of its neighbour: nothing else is in it."""


class BoardError(TwinhdrError):
    """No such board can be used."""

    exit_code = EX_CONFIG


@dataclass(frozen=True, slots=True)
class Board:
    """``columns`` x ``rows`` squares (not inner corners) of ``square_m`` metres."""

    kind: Kind = "charuco"
    columns: int = 11
    rows: int = 8
    square_m: float = 0.023

    def __post_init__(self) -> None:
        if not (4 <= self.columns <= 40 and 4 <= self.rows <= 40):
            raise BoardError(f"a board of {self.columns}x{self.rows} squares: from 4x4 to 40x40 will do")
        if not 1e-3 <= self.square_m <= 1.0:
            raise BoardError(
                f"squares of {self.square_m * 1e3:g} mm: from 1 to 1000; measure one with a ruler"
            )
        if self.kind == "checkerboard" and (self.columns + self.rows) % 2 == 0:
            raise BoardError(
                f"a checkerboard of {self.columns}x{self.rows} squares looks the same upside down; use one "
                f"with an odd and an even count, such as {self.columns}x{self.rows - 1}, or a ChArUco board"
            )
        if self.kind == "charuco" and self.columns * self.rows // 2 > 100:
            raise BoardError(
                f"{self.columns}x{self.rows} squares need more than 100 markers; use fewer squares"
            )

    @property
    def corners(self) -> int:
        """Inner corners, numbered row by row from 0."""
        return (self.columns - 1) * (self.rows - 1)

    def points(self, ids: NDArray[np.int32] | None = None) -> Points:
        """(n, 3) metres on the board, of the corners ``ids`` or of all: x right, y down, z 0."""
        every = np.arange(self.corners) if ids is None else np.asarray(ids).ravel()
        row, column = np.divmod(every, self.columns - 1)
        flat = np.column_stack((column + 1, row + 1, np.zeros(len(every))))
        return (flat * self.square_m).astype(np.float32)

    @property
    def size_m(self) -> tuple[float, float]:
        """Width and height."""
        return self.columns * self.square_m, self.rows * self.square_m

    def to_dict(self) -> dict[str, Any]:
        """For the calibration file."""
        plain: dict[str, Any] = {
            "kind": self.kind,
            "columns": self.columns,
            "rows": self.rows,
            "square_m": self.square_m,
        }
        return {**plain, "dictionary": DICTIONARY_NAME} if self.kind == "charuco" else plain


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """Corners found in one picture: their numbers (n,) and places (n, 2) in pixels.

    ``mirrored``: the board was found only in the mirror image of the picture, which is of no use.
    """

    ids: NDArray[np.int32]
    corners: Points
    mirrored: bool = False


NOTHING = Detection(np.empty(0, np.int32), np.empty((0, 2), np.float32))


def aruco_board(board: Board) -> Any:
    """OpenCV's object for a ChArUco board."""
    dictionary = cv2.aruco.getPredefinedDictionary(DICTIONARY)
    size = (board.columns, board.rows)
    return cv2.aruco.CharucoBoard(size, board.square_m, board.square_m * MARKER_SHARE, dictionary)


def find_board(linear: FloatImage, board: Board) -> Detection | None:
    """Look for ``board`` in (H, W) linear light in [0, 1]; None where it is not to be seen.

    A board in the mirror image only is returned as such.
    """
    coded = (np.sqrt(np.clip(linear, 0.0, 1.0)) * 255.0 + 0.5).astype(np.uint8)
    found = _found(coded, board)
    if found is not None:
        return _refined(linear, found, board)
    if board.kind == "charuco" and _found(np.ascontiguousarray(coded[:, ::-1]), board) is not None:
        return Detection(NOTHING.ids, NOTHING.corners, mirrored=True)
    return None


def _found(coded: NDArray[np.uint8], board: Board) -> Detection | None:
    return _charuco(coded, board) if board.kind == "charuco" else _checkerboard(coded, board)


@lru_cache(maxsize=4)
def _detector(board: Board) -> Any:
    parameters = cv2.aruco.CharucoParameters()
    parameters.tryRefineMarkers = True  # looks again where the board says a marker must be
    return cv2.aruco.CharucoDetector(aruco_board(board), parameters)


def _charuco(coded: NDArray[np.uint8], board: Board) -> Detection | None:
    found = _charuco_at(coded, board)
    if found is not None and len(found.ids) >= MOST_SHARE * board.corners:
        return found
    # Small markers, far away or tilted, decode better enlarged.
    larger = cv2.resize(coded, None, fx=2.0, fy=2.0, interpolation=cv2.INTER_CUBIC)
    again = _charuco_at(np.asarray(larger, np.uint8), board)
    if again is None or (found is not None and len(found.ids) >= len(again.ids)):
        return found
    return Detection(again.ids, 0.5 * again.corners - np.float32(0.25))


def _charuco_at(coded: NDArray[np.uint8], board: Board) -> Detection | None:
    corners, ids, _, _ = _detector(board).detectBoard(coded)
    if ids is None or len(ids) < FEWEST_CORNERS:
        return None
    order = np.argsort(ids.ravel())
    kept = ids.ravel()[order]
    if len(set(kept % (board.columns - 1))) < 2 or len(set(kept // (board.columns - 1))) < 2:
        return None  # one line of corners is no plane
    return Detection(kept.astype(np.int32), corners.reshape(-1, 2)[order].astype(np.float32))


def _checkerboard(coded: NDArray[np.uint8], board: Board) -> Detection | None:
    size = (board.columns - 1, board.rows - 1)
    seen, corners = cv2.findChessboardCornersSB(coded, size, flags=cv2.CALIB_CB_NORMALIZE_IMAGE)
    if not seen:
        return None
    points = corners.reshape(-1, 2).astype(np.float32)
    if not _upright(coded, points, board):
        points = points[::-1]
    return Detection(np.arange(board.corners, dtype=np.int32), np.ascontiguousarray(points))


def _upright(coded: NDArray[np.uint8], corners: Points, board: Board) -> bool:
    """Whether corner 0 is the one beside the dark corner square; half a turn swaps the colours."""
    across = board.columns - 1
    grid = corners.reshape(board.rows - 1, across, 2)
    middles = 0.25 * (grid[:-1, :-1] + grid[1:, :-1] + grid[:-1, 1:] + grid[1:, 1:])
    values = cv2.remap(coded, middles.astype(np.float32), np.empty(0, np.float32), cv2.INTER_LINEAR)
    row, column = np.indices(values.shape[:2])
    dark = (row + column) % 2 == 0  # the square right and below of corner 0 has the corner square's colour
    return bool(values[dark].mean() < values[~dark].mean())


def _refined(linear: FloatImage, found: Detection, board: Board) -> Detection:
    """Where the gradients of *linear* light around each corner point: coded light shifts blurred edges.

    Numbered corners that run away, or whose surroundings the picture's edge cuts off, are dropped.
    """
    half = int(np.clip(REFINE_SHARE[board.kind] * _spacing(found.corners, board, found.ids) - 1.0, 2, 16))
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 60, 1e-4)
    start = np.ascontiguousarray(found.corners.reshape(-1, 1, 2).copy())
    moved = np.asarray(cv2.cornerSubPix(linear, start, (half, half), (-1, -1), criteria), np.float32)
    moved = moved.reshape(-1, 2)
    astray = np.hypot(*(moved - found.corners).T) > half
    if board.kind == "checkerboard":  # its corners were found to a tenth of a pixel, and all are needed
        moved[astray] = found.corners[astray]
        return Detection(found.ids, moved)
    margin = half + 2
    limits = linear.shape[1] - 1 - margin, linear.shape[0] - 1 - margin
    kept = ~astray & (moved >= margin).all(axis=1) & (moved <= limits).all(axis=1)
    return Detection(found.ids[kept], moved[kept])


def _spacing(corners: Points, board: Board, ids: NDArray[np.int32]) -> float:
    """Pixels between neighbours, a low one: squares far away or tilted are smaller."""
    place = {int(number): corner for number, corner in zip(ids, corners, strict=True)}
    across = board.columns - 1
    steps = [
        float(np.hypot(*(place[i + step] - corner)))
        for i, corner in place.items()
        for step in (1, across)
        if i + step in place and (step != 1 or (i + 1) % across)
    ]
    return float(np.percentile(steps, 10)) if steps else 0.0
