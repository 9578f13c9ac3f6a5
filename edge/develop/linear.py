"""Raw counts to linear RGB: black level, demosaic, white balance, colour matrix.

The result is what the fusion works on: (H, W, 3) float32 in [0, 1], Rec. 709 primaries, where 1.0 is what
saturates this frame's exposure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.develop.demosaic import Quality, demosaic, demosaic_fine, is_mosaic
from edge.frames import FloatImage, Image, PixelFormat

Transfer: TypeAlias = Literal["linear", "gamma22", "srgb"]

IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class DevelopSettings:
    """How one camera's raw counts become linear RGB.

    ``white_balance`` are gains on R, G, B, scaled so that the smallest is 1: a channel that saturates stays
    at 1.0 or above and is clipped there, so clipped areas stay white. ``colour_matrix`` maps white-balanced
    camera RGB to linear Rec. 709; its rows must sum to 1, or white would become coloured.
    ``transfer``: cameras count linearly, pictures from elsewhere may carry gamma 2.2 or the sRGB curve.
    ``demosaic`` applies to linear mosaics; see ``edge.develop.demosaic``.
    """

    black_level: int
    white_level: int
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    colour_matrix: tuple[tuple[float, float, float], ...] = IDENTITY
    transfer: Transfer = "linear"
    demosaic: Quality = "fast"

    def __post_init__(self) -> None:
        if not 0 <= self.black_level < self.white_level:
            raise ValueError(
                f"develop: black level {self.black_level} must be at least 0 and below "
                f"white level {self.white_level}; correct the camera's entry"
            )

    def matrix(self) -> NDArray[np.float64]:
        """(3, 3) matrix from camera RGB to white-balanced Rec. 709."""
        gains = np.asarray(self.white_balance, np.float64)
        scaled: NDArray[np.float64] = np.asarray(self.colour_matrix, np.float64) * (gains / gains.min())
        return scaled


def develop(image: Image, pixel_format: PixelFormat, settings: DevelopSettings) -> FloatImage:
    """Raw counts, (H, W) or (H, W, 3) uint8/uint16, to linear RGB (H, W, 3) float32 in [0, 1]."""
    if settings.demosaic == "fine" and settings.transfer == "linear" and is_mosaic(pixel_format):
        return _developed_finely(image, pixel_format, settings)
    rgb = demosaic(image, pixel_format)
    if settings.white_balance == (1.0, 1.0, 1.0) and settings.colour_matrix == IDENTITY:
        # One scale for all channels: a third of the cost of the matrix.
        linear = _decoded(rgb, settings)
    else:
        linear = cv2.transform(_decoded(rgb, settings), settings.matrix())
    np.clip(linear, 0.0, 1.0, out=linear)
    return linear


def _developed_finely(image: Image, pixel_format: PixelFormat, settings: DevelopSettings) -> FloatImage:
    """White balance comes first here: colours differ least where they are balanced."""
    red, green, blue = (float(g) / min(settings.white_balance) for g in settings.white_balance)
    linear = demosaic_fine(
        image, pixel_format, settings.black_level, settings.white_level, (red, green, blue)
    )
    if settings.colour_matrix != IDENTITY:
        linear = cv2.transform(linear, np.asarray(settings.colour_matrix, np.float64))
    np.clip(linear, 0.0, 1.0, out=linear)
    return linear


def _decoded(rgb: Image, settings: DevelopSettings) -> FloatImage:
    """Counts to [0, 1] up to noise below black, then through the inverse of their coding."""
    linear: FloatImage = np.subtract(rgb, np.float32(settings.black_level), dtype=np.float32)
    linear *= np.float32(1.0 / (settings.white_level - settings.black_level))
    if settings.transfer == "gamma22":
        linear = np.power(np.maximum(linear, 0.0), np.float32(2.2))
    elif settings.transfer == "srgb":
        # IEC 61966-2-1.
        high = np.power((np.maximum(linear, 0.0) + np.float32(0.055)) / np.float32(1.055), np.float32(2.4))
        linear = np.where(linear <= 0.04045, linear / np.float32(12.92), high)
    return linear
