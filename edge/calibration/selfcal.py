"""Calibration without a board: the map between the views that most scene details agree on.

Three models, simplest first: a similarity (mounting error as shift, roll and scale), a rotation with its own
focal length (cameras that look in slightly different directions), a homography. A model with more freedom is
taken only where it predicts details it was not fitted to clearly better, because what the details do not
hold, the corners of the picture above all, wanders with every spare degree of freedom.

All of it is right for one distance, that of most of the scene: nearer things keep their parallax.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.calibration.features import Matches, Points
from edge.calibration.maps import project
from edge.calibration.model import Matrix
from edge.errors import EX_DATAERR, TwinhdrError

FEWEST_MATCHES = 80
CELLS = 4
FEWEST_CELLS = 8
"""Of the CELLS x CELLS of the picture that hold an agreeing detail."""
AGREE_PX = 1.5
"""How far a detail may lie from the first, rough map and still count."""
CLEARLY = 0.97
"""What a freer model must bring the held-out error to, times that of the simpler one."""
LEAST_AGREEING = 0.25
MOST_FITTED = 3000
_STEPS: Final = 12


class SelfCalibrationError(TwinhdrError):
    """The scene does not tell how the views fit together. The text says why and what to film instead."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """Secondary to reference pixels, (3, 3), and what it rests on.

    ``residual_px`` is the median distance of the details that agree, which is mostly the noise of finding
    them; ``uncertain_px`` the rms over the picture between the maps of two halves of the material, halved:
    how far the map itself may be off.
    """

    matrix: Matrix
    model: str
    matches: int
    agreeing: int
    residual_px: float
    uncertain_px: float


Model = Callable[[NDArray[np.float64], tuple[int, int], float], Matrix]


def _similarity(p: NDArray[np.float64], size: tuple[int, int], _: float) -> Matrix:
    cx, cy = 0.5 * (size[0] - 1), 0.5 * (size[1] - 1)
    c, s = np.exp(p[3]) * np.cos(p[2]), np.exp(p[3]) * np.sin(p[2])
    x, y = size[0] * p[0], size[0] * p[1]
    return np.array(((c, -s, cx + x - c * cx + s * cy), (s, c, cy + y - s * cx - c * cy), (0.0, 0.0, 1.0)))


def _rotation(p: NDArray[np.float64], size: tuple[int, int], focal_px: float) -> Matrix:
    """K R K2^-1 with K2 = K but for its focal length, both with the picture's centre."""
    cx, cy = 0.5 * (size[0] - 1), 0.5 * (size[1] - 1)
    mine = np.array(((focal_px, 0.0, cx), (0.0, focal_px, cy), (0.0, 0.0, 1.0)))
    other = np.array(
        ((focal_px * np.exp(-p[3]), 0.0, cx), (0.0, focal_px * np.exp(-p[3]), cy), (0.0, 0.0, 1.0))
    )
    turn = np.asarray(cv2.Rodrigues(np.array((-p[1], p[0], p[2])))[0], np.float64)
    return np.asarray(mine @ turn @ np.linalg.inv(other), np.float64)


def _homography(p: NDArray[np.float64], size: tuple[int, int], focal_px: float) -> Matrix:
    """A similarity and four more: stretch, shear and the two of perspective."""
    cx, cy, half = 0.5 * (size[0] - 1), 0.5 * (size[1] - 1), 0.5 * size[0]
    to_unit = np.array(((1 / half, 0, -cx / half), (0, 1 / half, -cy / half), (0, 0, 1.0)))
    bend = np.array(((1 + p[4], p[5], 0), (p[5], 1 - p[4], 0), (p[6], p[7], 1.0)))
    return np.asarray(
        _similarity(p[:4], size, focal_px) @ np.linalg.inv(to_unit) @ bend @ to_unit, np.float64
    )


MODELS: Final[dict[str, tuple[Model, int]]] = {
    "similarity": (_similarity, 4),
    "rotation": (_rotation, 4),
    "homography": (_homography, 8),
}


def fit_views(
    found: Sequence[Matches], size: tuple[int, int], *, model: str = "auto", focal_px: float | None = None
) -> Fit:
    """The map between the views from the matches of several instants, pictures of ``size`` (width, height).

    ``focal_px`` is the reference's focal length for the rotation; None: the picture's width, a 53 degree
    lens. Raises SelfCalibrationError.
    """
    focal = focal_px or float(size[0])
    number = np.concatenate([np.full(len(m), i) for i, m in enumerate(found)] or [np.empty(0)])
    mine = np.concatenate([m.reference for m in found] or [np.empty((0, 2))])
    other = np.concatenate([m.secondary for m in found] or [np.empty((0, 2))])
    keep = _agreeing(mine, other, size)
    number, kept_mine, kept_other = number[keep], mine[keep], other[keep]
    halves = number % 4 < 2  # pairs of neighbours, so that low and high exposures are in both
    if not halves.any() or halves.all():
        halves = np.arange(len(number)) % 2 == 0
    candidates = list(MODELS) if model == "auto" else [model]
    best, best_error = "", np.inf
    for name in candidates:
        error = _held_out(name, kept_mine, kept_other, halves, size, focal)
        if error < CLEARLY * best_error or not best:
            best, best_error = name, error
    matrix = _fitted(best, kept_mine, kept_other, size, focal)
    off = np.hypot(*(project(matrix, kept_other) - kept_mine).T)
    one, two = (_fitted(best, kept_mine[h], kept_other[h], size, focal) for h in (halves, ~halves))
    apart = displacement(np.linalg.inv(two) @ one, size)
    return Fit(
        matrix / matrix[2, 2],
        best,
        len(mine),
        int(keep.sum()),
        float(np.median(off)),
        0.5 * float(np.sqrt((apart**2).sum(axis=-1).mean())),
    )


def displacement(matrix: Matrix, size: tuple[int, int], steps: int = 13) -> NDArray[np.float64]:
    """How far ``matrix`` moves each point of a grid over the picture: (steps, steps, 2) px."""
    x, y = np.meshgrid(np.linspace(0, size[0] - 1, steps), np.linspace(0, size[1] - 1, steps))
    points = np.column_stack((x.ravel(), y.ravel()))
    return (project(matrix / matrix[2, 2], points) - points).reshape(steps, steps, 2)


def _agreeing(mine: Points, other: Points, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which matches follow the map that most of them follow. Raises SelfCalibrationError."""
    if len(mine) < FEWEST_MATCHES:
        raise SelfCalibrationError(
            f"only {len(mine)} details are found in both views, and {FEWEST_MATCHES} are needed; film a "
            f"scene "
            "with texture and light, some metres away, and check the focus of both cameras"
        )
    _, inliers = cv2.findHomography(other, mine, cv2.USAC_MAGSAC, AGREE_PX, maxIters=5000, confidence=0.999)
    keep = np.zeros(len(mine), bool) if inliers is None else inliers.ravel().astype(bool)
    count = int(keep.sum())
    if count < max(FEWEST_MATCHES, LEAST_AGREEING * len(mine)):
        raise SelfCalibrationError(
            f"of {len(mine)} details found in both views only {count} follow one map: the scene is all "
            f"near and "
            "deep, or the frames do not belong together; film something far away (10 m and more)"
        )
    cells = (mine[keep] / size * CELLS).astype(int).clip(0, CELLS - 1)
    covered = len(set(map(tuple, cells.tolist())))
    if covered < FEWEST_CELLS:
        raise SelfCalibrationError(
            f"the details that agree lie in {covered} of {CELLS * CELLS} parts of the picture, "
            f"{FEWEST_CELLS} are "
            "needed; film a scene with texture all over, or pan slowly"
        )
    return keep


def _held_out(
    model: str, mine: Points, other: Points, halves: NDArray[np.bool_], size: tuple[int, int], focal: float
) -> float:
    """Mean distance of the details of each half from the map of the other half."""
    errors = []
    for half in (halves, ~halves):
        matrix = _fitted(model, mine[half], other[half], size, focal)
        errors.append(np.hypot(*(project(matrix, other[~half]) - mine[~half]).T).mean())
    return float(np.mean(errors))


def _fitted(model: str, mine: Points, other: Points, size: tuple[int, int], focal: float) -> Matrix:
    """Gauss-Newton with Tukey's weights, begun at the turn between the views and nothing else."""
    make, count = MODELS[model]
    step = 1e-6
    if len(mine) > MOST_FITTED:
        chosen = np.linspace(0, len(mine) - 1, MOST_FITTED).astype(int)
        mine, other = mine[chosen], other[chosen]
    parameters = np.zeros(count)
    parameters[2] = _turn(mine, other)

    def residual(p: NDArray[np.float64]) -> NDArray[np.float64]:
        return (project(make(p, size, focal), other) - mine).ravel()

    for _ in range(_STEPS):
        now = residual(parameters)
        distance = np.repeat(np.hypot(now[::2], now[1::2]), 2)
        scale = 4.685 * 1.4826 * max(float(np.median(distance)), 0.05)  # 95 % efficiency under normal noise
        root = np.where(distance < scale, 1.0 - (distance / scale) ** 2, 0.0)
        slopes = np.empty((len(now), len(parameters)))
        for i in range(len(parameters)):
            moved = parameters.copy()
            moved[i] += step
            slopes[:, i] = (residual(moved) - now) / step
        change, *_ = np.linalg.lstsq(slopes * root[:, None], -now * root, rcond=None)
        parameters = parameters + change
        if float(np.abs(change).max()) < 1e-9:
            break
    return make(parameters, size, focal)


def _turn(mine: Points, other: Points) -> float:
    """Angle of the rotation that best carries ``other`` onto ``mine`` (Kabsch), radians."""
    a, b = mine - mine.mean(axis=0), other - other.mean(axis=0)
    return float(np.arctan2((b[:, 0] * a[:, 1] - b[:, 1] * a[:, 0]).sum(), (a * b).sum()))
