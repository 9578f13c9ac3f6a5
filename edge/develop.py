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

from edge.frames import FloatImage, Image, PixelFormat

_DEMOSAIC: dict[PixelFormat, int] = {
    "bayer_rggb": cv2.COLOR_BayerRGGB2RGB_EA,
    "bayer_bggr": cv2.COLOR_BayerBGGR2RGB_EA,
    "bayer_grbg": cv2.COLOR_BayerGRBG2RGB_EA,
    "bayer_gbrg": cv2.COLOR_BayerGBRG2RGB_EA,
}

Transfer: TypeAlias = Literal["linear", "gamma22", "srgb"]

IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class DevelopSettings:
    """How one camera's raw counts become linear RGB.

    ``white_balance`` are gains on R, G, B, scaled so that the smallest is 1: a channel that saturates stays
    at 1.0 or above and is clipped there, so clipped areas stay white. ``colour_matrix`` maps white-balanced
    camera RGB to linear Rec. 709; its rows must sum to 1, or white would become coloured.
    ``transfer``: cameras count linearly, pictures from elsewhere may carry gamma 2.2 or the sRGB curve.
    """

    black_level: int
    white_level: int
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    colour_matrix: tuple[tuple[float, float, float], ...] = IDENTITY
    transfer: Transfer = "linear"

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


def demosaic(image: Image, pixel_format: PixelFormat) -> Image:
    """(H, W) mosaic or mono to (H, W, 3) RGB of the same dtype (uint8 or uint16).

    Edge-aware: OpenCV's gradient-directed green costs no more than its bilinear kernel and measured 0.2 to
    0.8 dB better in PSNR-mu on four real HDR images.
    """
    if pixel_format == "rgb":
        return image
    if pixel_format == "mono":
        rgb: Image = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    else:
        rgb = cv2.cvtColor(image, _DEMOSAIC[pixel_format])
    return rgb


def develop(image: Image, pixel_format: PixelFormat, settings: DevelopSettings) -> FloatImage:
    """Raw counts, (H, W) or (H, W, 3) uint8/uint16, to linear RGB (H, W, 3) float32 in [0, 1]."""
    rgb = demosaic(image, pixel_format)
    if settings.white_balance == (1.0, 1.0, 1.0) and settings.colour_matrix == IDENTITY:
        # One scale for all channels: a third of the cost of the matrix.
        linear = _decoded(rgb, settings)
    else:
        linear = cv2.transform(_decoded(rgb, settings), settings.matrix())
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
