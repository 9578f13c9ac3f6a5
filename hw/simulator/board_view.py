"""Two cameras of known geometry looking at a printed board: the truth that a calibration has to find again.

Everything is exact up to the sampling: each output pixel is the mean of ``SAMPLES`` x ``SAMPLES`` points of
its area, each point sent through lens and pose to the board, and the board is looked up at a resolution that
matches the distance between these points. Then come the lens' blur, falloff and the sensor's noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.frames import FloatImage
from hw.simulator.motion import Matrix

SAMPLES = 2
TEXTURE_PX = 60
"""Of one square of the board's picture at full size: whole texels for each module of its markers."""
BACKGROUND = 0.18


@dataclass(frozen=True, slots=True)
class Eye:
    """One camera: ``focal`` (fx, fy) and ``centre`` (cx, cy) px, ``distortion`` k1, k2, p1, p2, k3.

    A point X before the reference is at R X + t before this camera; ``rotation_deg`` is R as axis times
    angle. ``gain`` are factors on R, G, B, ``falloff`` is a, b of 1 + a r^2 + b r^4 with r = 1 in a corner,
    ``blur_px`` the sigma of its point spread.
    """

    focal: tuple[float, float]
    centre: tuple[float, float]
    distortion: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)
    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    translation_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    falloff: tuple[float, float] = (0.0, 0.0)
    blur_px: float = 0.7

    def matrix(self) -> Matrix:
        (fx, fy), (cx, cy) = self.focal, self.centre
        return np.array(((fx, 0.0, cx), (0.0, fy, cy), (0.0, 0.0, 1.0)))

    def rotation(self) -> Matrix:
        return np.asarray(cv2.Rodrigues(np.radians(self.rotation_deg))[0], np.float64)

    def rotated_half(self) -> Eye:
        """The same camera mounted upside down: half a turn about its own axis."""
        turn = np.diag((-1.0, -1.0, 1.0))
        vector = np.degrees(cv2.Rodrigues(turn @ self.rotation())[0].ravel())
        x, y, z = turn @ np.array(self.translation_m)
        a, b, c = vector
        return replace(self, rotation_deg=(float(a), float(b), float(c)), translation_m=(x, y, z))


class BoardCamera:
    """Renders a board as one ``Eye`` sees it, ``width`` x ``height``."""

    def __init__(self, eye: Eye, width: int, height: int) -> None:
        self.eye, self._size = eye, (width, height)
        self._rays = _sample_rays(eye, width, height)
        self._light = self._falloff()

    def see(
        self, texture: FloatImage, size_m: tuple[float, float], rotation: Matrix, position: Matrix
    ) -> FloatImage:
        """(H, W, 3) float32 light in [0, 1] of a board ``size_m`` that shows ``texture`` (h, w).

        ``rotation`` (3, 3) and ``position`` (3,) place the board's upper left corner before the *reference*.
        """
        width, height = self._size
        turn = self.eye.rotation()
        pose_r, pose_t = turn @ rotation, turn @ position + np.array(self.eye.translation_m)
        picture, scale = self._matching(texture, size_m, float(np.linalg.norm(pose_t)))
        # Board plane to normalised image is a homography; its inverse takes each ray to metres on the board.
        to_board = np.linalg.inv(np.column_stack((pose_r[:, 0], pose_r[:, 1], pose_t)))
        x, y, w = to_board @ self._rays
        map_x, map_y = ((v / w * scale - 0.5).astype(np.float32) for v in (x, y))
        shape = (height * SAMPLES, width * SAMPLES)
        fine = cv2.remap(
            picture,
            map_x.reshape(shape),
            map_y.reshape(shape),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=BACKGROUND,
        )
        grey = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
        if self.eye.blur_px > 0:
            grey = cv2.GaussianBlur(grey, (0, 0), self.eye.blur_px)
        coloured: FloatImage = (grey * self._light)[..., None] * np.array(self.eye.gain, np.float32)
        return coloured

    def _matching(
        self, texture: FloatImage, size_m: tuple[float, float], distance_m: float
    ) -> tuple[FloatImage, float]:
        """The texture with texels about as large as the distance of two samples, and texels per metre."""
        full = texture.shape[1] / size_m[0]
        wanted = self.eye.focal[0] * SAMPLES / distance_m
        if wanted >= full:
            return texture, full
        size = (
            max(2, round(texture.shape[1] * wanted / full)),
            max(2, round(texture.shape[0] * wanted / full)),
        )
        small: FloatImage = cv2.resize(texture, size, interpolation=cv2.INTER_AREA)
        return small, size[0] / size_m[0]

    def _falloff(self) -> FloatImage:
        width, height = self._size
        x, y = np.meshgrid(np.arange(width) - 0.5 * (width - 1), np.arange(height) - 0.5 * (height - 1))
        r2 = (x * x + y * y) / (0.25 * (width * width + height * height))
        a, b = self.eye.falloff
        return np.asarray(1.0 + r2 * (a + r2 * b), np.float32)


def pose(
    tilt_deg: tuple[float, float, float], middle_m: tuple[float, float, float], size_m: tuple[float, float]
) -> tuple[Matrix, Matrix]:
    """Rotation (3, 3) and place of the upper left corner (3,) of a board whose middle is at ``middle_m``."""
    x, y, z = (cv2.Rodrigues(np.radians(axis))[0] for axis in np.diag(tilt_deg))
    turn = np.asarray(z @ y @ x, np.float64)
    return turn, np.asarray(middle_m) - turn @ (0.5 * size_m[0], 0.5 * size_m[1], 0.0)


def noisy(light: FloatImage, full_well_e: float, rng: np.random.Generator) -> FloatImage:
    """Photon and read noise (2.5 electrons), clipped at 1.0: (H, W, 3) float32."""
    sigma = np.sqrt(light / np.float32(full_well_e) + np.float32((2.5 / full_well_e) ** 2))
    noise = rng.standard_normal(light.shape, np.float32)
    clipped: FloatImage = np.clip(light + sigma * noise, 0.0, 1.0)
    return clipped


def _sample_rays(eye: Eye, width: int, height: int) -> Matrix:
    """Homogeneous rays (3, n) of the samples, interpolated between pixels: rays bend far less than that."""
    x, y = np.meshgrid(np.arange(-1, width + 1), np.arange(-1, height + 1))
    known = _undistort(eye, np.column_stack((x.ravel(), y.ravel())).astype(np.float64))
    field = known[:2].T.reshape(height + 2, width + 2, 2)
    columns, rows = ((np.arange(n * SAMPLES) + 0.5) / SAMPLES + 0.5 for n in (width, height))
    left, top = (np.floor(places).astype(int) for places in (columns, rows))
    u, v = (columns - left)[None, :, None], (rows - top)[:, None, None]
    across = field[:, left] * (1 - u) + field[:, left + 1] * u
    samples = across[top] * (1 - v) + across[top + 1] * v
    return np.vstack((samples.reshape(-1, 2).T, np.ones(samples.shape[0] * samples.shape[1])))


def _undistort(eye: Eye, pixels: NDArray[np.float64]) -> Matrix:
    """Homogeneous rays (3, n) of pixels: Brown's polynomial inverted by fixed-point iteration."""
    k1, k2, p1, p2, k3 = eye.distortion
    target = (pixels - eye.centre) / eye.focal
    x, y = target.T.copy()
    for _ in range(25 if any(eye.distortion) else 0):
        r2 = x * x + y * y
        radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
        dx = 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x)
        dy = p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y
        x, y = (target[:, 0] - dx) / radial, (target[:, 1] - dy) / radial
    return np.vstack((x, y, np.ones_like(x)))
