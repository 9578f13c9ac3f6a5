"""A calibration as pixels: where each pixel of the rectified picture lies in the picture of a camera.

The rectified picture is the reference's own, distortion and all, unless the calibration asks for a straight
one: the reference's frames become the video, and resampling each of them would cost sharpness and time for
straight lines that most films do without. The secondary is resampled in any case, once, from its own
distorted picture right into the reference's.
"""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.calibration.model import Calibration, Lens, Matrix, Mounting

FARTHEST_PX = (1 << 15) - 1
"""OpenCV's fixed-point maps end at 16 bits; what lies beyond is outside the picture anyway."""
GRID = 24
"""Points along each side from which the nearest homography is fitted."""

Map: TypeAlias = NDArray[np.float32]


def secondary_map(calibration: Calibration) -> Map:
    """(H, W, 2) float32: for each pixel of the rectified picture its place (x, y) in the secondary's."""
    pixels = _pixels(calibration)
    if calibration.mode == "homography":
        places = project(np.linalg.inv(np.asarray(calibration.homography)), pixels)
    else:
        places = through_lenses(calibration, pixels)
    return _as_map(places, calibration)


def reference_map(calibration: Calibration) -> Map | None:
    """As ``secondary_map`` for the reference's own picture; None where that is left alone."""
    lens = calibration.reference
    if not calibration.undistort_reference or lens is None:
        return None
    return _as_map(distorted(lens, _rays(calibration, _pixels(calibration))), calibration)


def through_lenses(calibration: Calibration, pixels: Matrix) -> Matrix:
    """(n, 2) pixels of the rectified picture to pixels of the secondary, by the lenses' whole model."""
    if calibration.secondary is None or calibration.mounting is None:
        raise ValueError("mode rectify needs both lenses and the mounting; parse_calibration checks that")
    rays = _rays(calibration, pixels)
    return distorted(calibration.secondary, seen_from(calibration.mounting, rays, calibration.plane_m))


def seen_from(mounting: Mounting, rays: Matrix, plane_m: float | None) -> Matrix:
    """(n, 2) normalised places of the reference to those of the secondary.

    For points on the plane ``plane_m`` before the reference and parallel to its image, or at infinity:
    x2 ~ (R + t n^T / d) x1 with n = (0, 0, 1) (Hartley and Zisserman, eq. 13.2, in our signs).
    """
    matrix = mounting.rotation()
    if plane_m is not None:
        matrix = matrix.copy()
        matrix[:, 2] += np.array(mounting.translation_m) / plane_m
    return project(matrix, rays)


def nearest_homography(calibration: Calibration) -> tuple[Matrix, float]:
    """(3, 3) secondary to reference pixels that comes nearest to the lenses' maps, and how near (rms px).

    Least squares over a grid of the reference picture; places outside the secondary's picture are left out.
    """
    x, y = np.meshgrid(
        np.linspace(0, calibration.width - 1, GRID), np.linspace(0, calibration.height - 1, GRID)
    )
    targets = np.column_stack((x.ravel(), y.ravel()))
    sources = through_lenses(calibration, targets)
    size = np.array((calibration.width, calibration.height))
    seen = ((sources > -0.1 * size) & (sources < 1.1 * size)).all(axis=1)
    if np.count_nonzero(seen) < GRID:
        raise ValueError("the two views have next to nothing in common")
    matrix, _ = cv2.findHomography(sources[seen], targets[seen], 0)
    off = project(matrix, sources[seen]) - targets[seen]
    return np.asarray(matrix, np.float64), float(np.sqrt((off**2).sum(axis=1).mean()))


def project(matrix: Matrix, points: Matrix) -> Matrix:
    """(n, 2) points through a (3, 3) projective map; what lies on or behind the horizon goes far away."""
    homogeneous = np.column_stack((points, np.ones(len(points)))) @ np.asarray(matrix).T
    depth = homogeneous[:, 2:]
    far = np.where(depth > 1e-9, homogeneous[:, :2] / np.maximum(depth, 1e-9), FARTHEST_PX)
    return np.asarray(far, np.float64)


def distorted(lens: Lens, rays: Matrix) -> Matrix:
    """(n, 2) normalised places to pixels."""
    points = np.column_stack((rays, np.ones(len(rays))))
    pixels, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), lens.matrix(), lens.coefficients())
    return np.asarray(pixels.reshape(-1, 2), np.float64)


def undistorted(lens: Lens, pixels: Matrix) -> Matrix:
    """(n, 2) pixels to normalised places: ``distorted`` undone, to a thousandth of a pixel."""
    if not any(lens.distortion):
        return (pixels - (lens.cx, lens.cy)) / (lens.fx, lens.fy)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 60, 1e-10)
    points = np.asarray(pixels, np.float64).reshape(-1, 1, 2)
    rays = cv2.undistortPointsIter(points, lens.matrix(), lens.coefficients(), None, None, criteria)
    return np.asarray(rays.reshape(-1, 2), np.float64)


def _rays(calibration: Calibration, pixels: Matrix) -> Matrix:
    """Normalised places in the reference of pixels of the rectified picture."""
    lens = calibration.reference
    if lens is None:
        raise ValueError("mode rectify needs the reference's lens; parse_calibration checks that")
    if calibration.undistort_reference:  # the straight picture keeps focal length and centre
        return (pixels - (lens.cx, lens.cy)) / (lens.fx, lens.fy)
    return undistorted(lens, pixels)


def _pixels(calibration: Calibration) -> Matrix:
    x, y = np.meshgrid(np.arange(calibration.width), np.arange(calibration.height))
    return np.column_stack((x.ravel(), y.ravel())).astype(np.float64)


def _as_map(places: Matrix, calibration: Calibration) -> Map:
    finite = np.nan_to_num(places, nan=FARTHEST_PX, posinf=FARTHEST_PX, neginf=-FARTHEST_PX)
    clipped = np.clip(finite, -FARTHEST_PX, FARTHEST_PX)
    return clipped.astype(np.float32).reshape(calibration.height, calibration.width, 2)
