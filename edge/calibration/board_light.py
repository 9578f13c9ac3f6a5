"""The light match from views of the board: its white is the same paper for both cameras at the same time."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.calibration.board import Board, Detection
from edge.calibration.model import Photometry, Three
from edge.calibration.photometry import BRIGHTEST, DARKEST, falloff_of, radius2
from edge.frames import FloatImage

WHITE_AT = {
    "checkerboard": ((0.5, 0.5), (0.35, 0.35), (0.65, 0.35), (0.35, 0.65), (0.65, 0.65)),
    "charuco": ((0.5, 0.1), (0.1, 0.5), (0.9, 0.5), (0.5, 0.9)),
}
"""Within a white square, in squares: clear of the marker that a ChArUco board has there."""
FEWEST = 60

Samples = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""Places on the board (n, 2) in squares, squared radius in the picture (n,), linear RGB (n, 3)."""


def white_samples(image: FloatImage, found: Detection, board: Board) -> dict[tuple[int, int], Samples]:
    """Light of the white squares whose four corners were found, by (row, column) of the square."""
    across = board.columns - 1
    place = {int(number): corner for number, corner in zip(found.ids, found.corners, strict=True)}
    size = image.shape[1], image.shape[0]
    soft = cv2.blur(image, (3, 3))
    inside = np.array(WHITE_AT[board.kind])
    samples = {}
    for number in place:
        row, column = divmod(number, across)
        around = [number, number + 1, number + across, number + across + 1]
        if (row + column) % 2 == 0 or column + 1 >= across or any(n not in place for n in around):
            continue
        a, b, c, d = (place[n].astype(np.float64) for n in around)
        u, v = inside[:, :1], inside[:, 1:]
        spots = (1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * c + u * d)
        values = cv2.remap(
            soft, spots.astype(np.float32)[None], np.empty(0, np.float32), cv2.INTER_LINEAR
        ).reshape(-1, 3)
        samples[row, column] = (
            np.add(inside, (column, row)),
            radius2(spots, size),
            values.astype(np.float64),
        )
    return samples


def board_light(
    views: Sequence[tuple[dict[tuple[int, int], Samples], dict[tuple[int, int], Samples], float]],
) -> tuple[Photometry, dict[str, float]] | None:
    """Gains and both falloffs from samples of (reference, secondary, exposure ratio) of several views.

    None where too little of the white is well exposed in both.
    """
    falloffs = [_falloff([view[0] for view in views]), _falloff([view[1] for view in views])]
    logs, raw = [], []
    for mine, other, ratio in views:
        for square in mine.keys() & other.keys():
            (_, r2_mine, known), (_, r2_other, seen) = mine[square], other[square]
            usable = _exposed(known) & _exposed(seen)
            even = [
                np.log(values) - np.log(_at(falloff, r2))[:, None]
                for values, falloff, r2 in (
                    (known[usable], falloffs[0], r2_mine[usable]),
                    (seen[usable] / ratio, falloffs[1], r2_other[usable]),
                )
            ]
            logs.append(even[0] - even[1])
            raw.append(np.log(known[usable]) - np.log(seen[usable] / ratio))
    joined = np.concatenate(logs) if logs else np.empty((0, 3))
    if len(joined) < FEWEST:
        return None
    middle = np.median(joined, axis=0)
    red, green, blue = (float(gain) for gain in np.exp(middle))
    told = {
        "samples": float(len(joined)),
        "off_before_percent": 100.0 * float(np.median(np.abs(np.concatenate(raw)))),
        "off_after_percent": 100.0 * float(np.median(np.abs(joined - middle))),
    }
    return Photometry((red, green, blue), 0.0, 0.0, falloffs[0], falloffs[1]), told


def _falloff(views: Sequence[dict[tuple[int, int], Samples]]) -> Three:
    values = []
    for samples in views:
        if not samples:
            continue
        place, r2, light = (np.concatenate(parts) for parts in zip(*samples.values(), strict=True))
        usable = _exposed(light)
        if np.count_nonzero(usable) >= 12:
            values.append((place[usable], r2[usable], light[usable].mean(axis=1)))
    return falloff_of(values)


def _exposed(light: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray((light > DARKEST).all(axis=1) & (light < BRIGHTEST).all(axis=1))


def _at(falloff: Three, r2: NDArray[np.float64]) -> NDArray[np.float64]:
    a, b, c = falloff
    return np.asarray(1.0 + r2 * (a + r2 * (b + r2 * c)))
