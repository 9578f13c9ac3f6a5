"""How differently two cameras count the same light: gain of each channel, black level, falloff.

Measured where both cameras see the same thing: on the white of the board in calibration views, or on the
registered frames of any recording. One model for both: a value v of a camera, brought to the reference's
exposure, is gain * light * falloff(r) + black.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.calibration.model import Photometry, Three
from edge.frames import FloatImage

BLOCK = 8
"""Means over blocks of so many pixels: what registration misses by a pixel averages out."""
DARKEST, BRIGHTEST = 0.03, 0.85
"""Linear values that count: below, the black level decides; above, clipping may hide in a block."""
FLAT = 0.15
"""The most a block's standard deviation may be, over its mean: an edge half a pixel off is no measurement."""
FEWEST_BLOCKS = 300
LARGEST_BLACK = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """Registered images (H, W, 3) float32 linear; ``ratio`` is the secondary's light over the reference's."""

    reference: FloatImage
    secondary: FloatImage
    ratio: float


def match_light(sights: Sequence[Sight]) -> tuple[Photometry, dict[str, float]] | None:
    """The secondary's gains and falloff relative to the reference, and both black levels as far as seen.

    From scenes only what differs between the cameras shows: the reference's own falloff is taken as none.
    None where the sights hold too little. Also returns what it rests on, as plain numbers.
    """
    blocks = [_blocks(sight) for sight in sights]
    mine, other, ratio, r2 = (
        (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        if blocks
        else (
            np.empty((0, 3)),
            np.empty((0, 3)),
            np.empty(0),
            np.empty(0),
        )
    )
    if len(mine) < FEWEST_BLOCKS:
        return None
    black_mine, black_other, falloff = 0.0, 0.0, (0.0, 0.0, 0.0)
    for _ in range(3):  # falloff bends the lines the black levels are read from, and the other way round
        even = 1.0 + r2 * (falloff[0] + r2 * (falloff[1] + r2 * falloff[2]))
        black_mine, black_other = _blacks(mine, (other - black_other) / even[:, None] + black_other, ratio)
        known, seen = mine - black_mine, (other - black_other) / ratio[:, None]
        good = (known > 0.5 * DARKEST).all(axis=1) & (seen > 0).all(axis=1)
        logs = np.log(known[good]) - np.log(seen[good])
        gains, falloff, spread = _gains_and_falloff(logs, r2[good])
    before = float(
        np.median(np.abs(np.log(mine[good]) - np.log(np.maximum(other[good] / ratio[good, None], 1e-6))))
    )
    told = {
        "blocks": float(good.sum()),
        "off_before_percent": 100.0 * before,
        "off_after_percent": 100.0 * spread,
    }
    return Photometry(gains, black_mine, black_other, (0.0, 0.0, 0.0), falloff), told


def falloff_of(
    values: Sequence[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]],
) -> Three:
    """Falloff (a, b, 0) of one camera from the white of a board that was moved about.

    Each view: places on the board (n, 2), radius squared in the picture (n,), grey (n,). Light on the board
    is taken as a plane over it, its own in each view; a falloff curves, so the two do not mix
    (log I = a_v + b_v x + c_v y + log falloff).
    """
    rows = sum(len(grey) for _, _, grey in values)
    if rows < 3 * len(values) + 10:
        return 0.0, 0.0, 0.0
    design = np.zeros((rows, 3 * len(values) + 2))
    target = np.empty(rows)
    at = 0
    for i, (place, r2, grey) in enumerate(values):
        part = slice(at, at + len(grey))
        centred = (place - place.mean(axis=0)) / max(float(np.ptp(place)), 1e-9)
        design[part, 3 * i : 3 * i + 3] = np.column_stack((np.ones(len(grey)), centred))
        design[part, -2], design[part, -1] = r2, r2 * r2
        target[part] = np.log(np.maximum(grey, 1e-6))
        at += len(grey)
    weight = np.ones(rows)
    for _ in range(4):
        solved, *_ = np.linalg.lstsq(design * weight[:, None], target * weight, rcond=None)
        off = np.abs(target - design @ solved)
        weight = np.sqrt(1.0 / np.maximum(1.0, off / (1.5 * max(float(np.median(off)), 1e-4))))
    return _as_polynomial(float(solved[-2]), float(solved[-1]))


def radius2(points: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Squared distance of pixels (n, 2) from the picture's centre, 1 in its corners."""
    middle = 0.5 * (np.array(size) - 1.0)
    return np.asarray(((points - middle) ** 2).sum(axis=-1) / (middle**2).sum())


def _as_polynomial(c1: float, c2: float) -> Three:
    """exp(c1 r^2 + c2 r^4) as 1 + a r^2 + b r^4 + c r^6, nearest over the picture."""
    r2 = np.linspace(0.0, 1.0, 65)
    wanted = np.exp(c1 * r2 + c2 * r2 * r2) - 1.0
    (a, b, c), *_ = np.linalg.lstsq(np.column_stack((r2, r2**2, r2**3)), wanted, rcond=None)
    return float(a), float(b), float(c)


def _blocks(sight: Sight) -> tuple[NDArray[np.float64], ...]:
    """Means (n, 3) of reference and secondary, ratio (n,), r^2 (n,), of blocks that both expose well."""
    height, width = sight.reference.shape[:2]
    size = width // BLOCK, height // BLOCK
    means, even = [], np.ones((size[1], size[0]), bool)
    for image in (sight.reference, sight.secondary):
        mean = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        square = cv2.resize(image * image, size, interpolation=cv2.INTER_AREA)
        spread = np.sqrt(np.maximum(square - mean * mean, 0.0))
        even &= (spread < FLAT * mean + 0.01).all(axis=2)
        even &= (mean > DARKEST * 0.3).all(axis=2) & (mean < BRIGHTEST).all(axis=2)
        means.append(mean.astype(np.float64))
    expected = means[0] * sight.ratio
    even &= (np.abs(np.log(np.maximum(means[1], 1e-6) / np.maximum(expected, 1e-6))) < 0.7).all(axis=2)
    x, y = np.meshgrid((np.arange(size[0]) + 0.5) * BLOCK - 0.5, (np.arange(size[1]) + 0.5) * BLOCK - 0.5)
    r2 = radius2(np.dstack((x, y)), (width, height))
    return means[0][even], means[1][even], np.full(int(even.sum()), sight.ratio), r2[even]


def _blacks(
    mine: NDArray[np.float64], other: NDArray[np.float64], ratio: NDArray[np.float64]
) -> tuple[float, float]:
    """What each camera counts without light.

    Green of the secondary over green of the reference lies on one line for each exposure,
    other = gain ratio (mine - black_mine) + black_other: two exposures give both blacks. With one, only
    their difference would show, so nothing is taken off.
    """
    lines = []
    for one in np.unique(ratio.round(4)):
        of = np.abs(ratio - one) < 1e-3 * one + 1e-4
        if np.count_nonzero(of) >= FEWEST_BLOCKS:
            slope, intercept = _line(mine[of, 1], other[of, 1])
            lines.append((slope, intercept))
    if len(lines) < 2:
        return 0.0, 0.0
    slopes, intercepts = (np.array(column) for column in zip(*lines, strict=True))
    if slopes.max() < 1.5 * slopes.min():
        return 0.0, 0.0
    # intercept = black_other - slope * black_mine
    design = np.column_stack((-slopes, np.ones(len(slopes))))
    (black_mine, black_other), *_ = np.linalg.lstsq(design, intercepts, rcond=None)
    if max(abs(black_mine), abs(black_other)) > LARGEST_BLACK:
        return 0.0, 0.0  # no black level is so far off: something else is being seen
    return float(black_mine), float(black_other)


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Slope and intercept, robust: re-weighted by distance over the noise that grows with light."""
    design = np.column_stack((x, np.ones_like(x)))
    weight: NDArray[Any] = 1.0 / np.sqrt(np.maximum(y, 0.01))
    solved = np.zeros(2)
    for _ in range(10):
        solved, *_ = np.linalg.lstsq(design * weight[:, None], y * weight, rcond=None)
        off = np.abs(y - design @ solved) / np.sqrt(np.maximum(y, 0.01))
        limit = 1.5 * max(float(np.median(off)), 1e-5)
        weight = np.sqrt(1.0 / np.maximum(y, 0.01) / np.maximum(1.0, (off / limit) ** 2))
    return float(solved[0]), float(solved[1])


def _gains_and_falloff(logs: NDArray[np.float64], r2: NDArray[np.float64]) -> tuple[Three, Three, float]:
    """log(reference / secondary) of each channel = log gain - log falloff(r); also the median left over."""
    rows = len(logs)
    design = np.zeros((3 * rows, 5))
    for channel in range(3):
        part = slice(channel * rows, (channel + 1) * rows)
        design[part, channel] = 1.0
        design[part, 3], design[part, 4] = -r2, -r2 * r2
    target = logs.T.ravel()
    weight = np.ones(3 * rows)
    solved = np.zeros(5)
    for _ in range(10):
        solved, *_ = np.linalg.lstsq(design * weight[:, None], target * weight, rcond=None)
        off = np.abs(target - design @ solved)
        weight = np.sqrt(1.0 / np.maximum(1.0, (off / (1.5 * max(float(np.median(off)), 1e-4))) ** 2))
    red, green, blue = (float(gain) for gain in np.exp(solved[:3]))
    left = float(np.median(np.abs(target - design @ solved)))
    return (red, green, blue), _as_polynomial(float(solved[3]), float(solved[4])), left
