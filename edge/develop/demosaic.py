"""From one colour a pixel to three.

``fast`` is OpenCV's edge-aware interpolation on linear counts. ``fine`` follows Hamilton and Adams (US patent
5629734, 1997): green along the smoother direction with the Laplacian of the other colour, red and blue by
their difference to green. Both directions are weighted by their gradients instead of switched, and all of it
happens on cube roots of the balanced counts: differences of colour are smooth there, as they are to the eye
and to the mu-law, and noise is even. On 16 real HDR images (PSNR-mu of what the reference does not clip):

===============================  ==========  ===========
noise                            fast        fine
===============================  ==========  ===========
none                             39.9 dB     46.6 dB
0.3 % of the root of the value   39.4 dB     44.7 dB
1 %                              37.4 dB     39.9 dB
===============================  ==========  ===========
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.frames import FloatImage, Image, PixelFormat

Quality: TypeAlias = Literal["fine", "fast"]

_FAST: dict[PixelFormat, int] = {
    "bayer_rggb": cv2.COLOR_BayerRGGB2RGB_EA,
    "bayer_bggr": cv2.COLOR_BayerBGGR2RGB_EA,
    "bayer_grbg": cv2.COLOR_BayerGRBG2RGB_EA,
    "bayer_gbrg": cv2.COLOR_BayerGBRG2RGB_EA,
}
_RED_AT: dict[PixelFormat, tuple[int, int]] = {
    "bayer_rggb": (0, 0),
    "bayer_bggr": (1, 1),
    "bayer_grbg": (0, 1),
    "bayer_gbrg": (1, 0),
}
"""Row and column of the first red pixel; blue lies diagonally from it."""

_LINE = np.array([[-0.25, 0.5, 0.5, 0.5, -0.25]], np.float32)
_SLOPE = np.array([[0.0, 1.0, 0.0, -1.0, 0.0]], np.float32)
_CURVE = np.array([[-1.0, 0.0, 2.0, 0.0, -1.0]], np.float32)
_SPREAD = np.array([[0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 0.25]], np.float32)
_EVEN = np.float32(1e-6)
"""Below a squared gradient of this both directions count alike."""


def demosaic(image: Image, pixel_format: PixelFormat) -> Image:
    """(H, W) mosaic or mono to (H, W, 3) RGB of the same dtype (uint8 or uint16), ``fast``."""
    if pixel_format == "rgb":
        return image
    code = cv2.COLOR_GRAY2RGB if pixel_format == "mono" else _FAST[pixel_format]
    rgb: Image = cv2.cvtColor(image, code)
    return rgb


def is_mosaic(pixel_format: PixelFormat) -> bool:
    """Whether there is anything to interpolate."""
    return pixel_format in _RED_AT


def demosaic_fine(
    image: Image,
    pixel_format: PixelFormat,
    black_level: int,
    white_level: int,
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> FloatImage:
    """(H, W) counts of a mosaic to linear, white-balanced (H, W, 3) float32; 1.0 is white times gain.

    Not clipped: below black there is noise, and above 1.0 what a gain lifted there. Raises KeyError for a
    format that is no mosaic.
    """
    top, left = _RED_AT[pixel_format]
    red = slice(top, None, 2), slice(left, None, 2)
    blue = slice(1 - top, None, 2), slice(1 - left, None, 2)
    roots = _roots(image, black_level, white_level, gains, (red, blue))
    green = _green(roots, (red, blue))
    difference = roots - green
    out = np.empty((*image.shape, 3), np.float32)
    out[..., 1] = green
    for channel, sites in ((0, red), (2, blue)):
        alone = np.zeros_like(difference)
        alone[sites] = difference[sites]
        spread = cv2.filter2D(alone, -1, _SPREAD, borderType=cv2.BORDER_REFLECT_101)
        np.add(spread, green, out=out[..., channel])
    cubed: FloatImage = cv2.multiply(cv2.multiply(out, out), out)
    return cubed


Sites: TypeAlias = tuple[slice, slice]


def _roots(
    image: Image, black: int, white: int, gains: tuple[float, float, float], sites: tuple[Sites, Sites]
) -> FloatImage:
    """Cube roots of the balanced counts, (H, W) float32, odd around black; through a table per colour."""
    counts = np.arange(np.iinfo(image.dtype).max + 1, dtype=np.float32)
    counts = counts[: max(white, int(image.max(initial=0))) + 1]
    table = np.cbrt((counts - np.float32(black)) / np.float32(white - black)).astype(np.float32)
    scales = np.cbrt(np.asarray(gains, np.float64)).astype(np.float32)
    roots: FloatImage = np.take(table, image)
    if gains != (1.0, 1.0, 1.0):
        reds, blues = roots[sites[0]] * (scales[0] / scales[1]), roots[sites[1]] * (scales[2] / scales[1])
        roots[sites[0]], roots[sites[1]] = reds, blues
        roots *= scales[1]
    return roots


def _green(roots: FloatImage, others: tuple[Sites, Sites]) -> FloatImage:
    """Green everywhere, from the (H, W) mosaic; ``others`` are the red and the blue sites."""

    def along(kernel: NDArray[np.float32]) -> FloatImage:
        line: FloatImage = cv2.filter2D(roots, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
        return line

    def gradient(slope: NDArray[np.float32], curve: NDArray[np.float32]) -> FloatImage:
        total = np.abs(along(slope))
        total += np.abs(along(curve))
        smooth = cv2.blur(total, (3, 3))
        squared: FloatImage = np.square(smooth, out=smooth)
        return squared

    rough_h, rough_v = gradient(_SLOPE, _CURVE), gradient(_SLOPE.T, _CURVE.T)
    across, down = along(_LINE), along(_LINE.T)
    rough_h += _EVEN
    rough_v += _EVEN
    green: FloatImage = roots.copy()
    for sites in others:
        h, v = rough_h[sites], rough_v[sites]
        green[sites] = (v * across[sites] + h * down[sites]) / (h + v)
    return green
