"""Sampling a texture through moving projective maps. Matrices are 3x3 and map output to texture pixels."""

from __future__ import annotations

import math

import cv2
import numpy as np

from edge.frames import FloatImage
from hw.simulator.motion import Matrix

MAX_SAMPLES = 24
"""Instants averaged over one exposure at most; beyond 24 px of motion the blur steps a little over 1 px."""


def corners(width: int, height: int) -> Matrix:
    """Homogeneous corners of a picture: (3, 4)."""
    return np.array(((0, width, width, 0), (0, 0, height, height), (1, 1, 1, 1)), np.float64)


def project(matrix: Matrix, points: Matrix) -> Matrix:
    """Homogeneous ``points`` (3, n) through ``matrix``: (2, n)."""
    x, y, w = matrix @ points
    return np.array((x / w, y / w))


def invert(matrix: Matrix) -> Matrix:
    return np.asarray(np.linalg.inv(matrix), np.float64)


def travel(start: Matrix, end: Matrix, points: Matrix) -> float:
    """How far the farthest of ``points`` (3, n) goes from ``start`` to ``end``, in pixels."""
    moved = project(end, points) - project(start, points)
    return math.sqrt(float((moved * moved).sum(axis=0).max()))


def between(start: Matrix, end: Matrix, motion_px: float) -> list[Matrix]:
    """Maps at the midpoints of equal slices of the way from ``start`` to ``end``, at most 1 px apart.

    Motion within one exposure is taken as even: bending of the path by 200 px/s^2 over 16 ms is 0.006 px.
    """
    n = 1 if motion_px < 0.5 else min(MAX_SAMPLES, math.ceil(motion_px) + 1)
    step = end - start
    return [start + step * ((i + 0.5) / n) for i in range(n)]


def bounding_box(points: Matrix, width: int, height: int) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of ``points`` (2, n) within a picture, one pixel wider; None outside it."""
    left, top = (int(v) for v in np.floor(points.min(axis=1)) - 1)
    right, bottom = (int(v) for v in np.ceil(points.max(axis=1)) + 2)
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    return None if left >= right or top >= bottom else (left, top, right, bottom)


def average(texture: FloatImage, matrices: list[Matrix], width: int, height: int, border: int) -> FloatImage:
    """Mean of ``texture`` sampled bilinearly through each of ``matrices``: (height, width, C) float32."""
    total = _sample(texture, matrices[0], width, height, border)
    if len(matrices) == 1:
        return total
    scratch: FloatImage = np.empty_like(total)
    for matrix in matrices[1:]:
        cv2.add(total, _sample(texture, matrix, width, height, border, scratch), dst=total)
    total *= np.float32(1.0 / len(matrices))
    return total


def _sample(
    texture: FloatImage, matrix: Matrix, width: int, height: int, border: int, out: FloatImage | None = None
) -> FloatImage:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (width, height)
    affine = matrix[2, 0] == 0.0 and matrix[2, 1] == 0.0
    warped: FloatImage = (
        cv2.warpAffine(texture, matrix[:2], size, dst=out, flags=flags, borderMode=border)
        if affine
        else cv2.warpPerspective(texture, matrix, size, dst=out, flags=flags, borderMode=border)
    )
    return warped
