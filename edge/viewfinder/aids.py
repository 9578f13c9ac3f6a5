"""Figures and marks read off one linear picture, for a person who sets up a camera. Pure."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.frames import FloatImage

CLIPPED: Final = 0.97
"""Share of full scale above which a pixel has no highlight detail."""
BINS: Final = 40
BIN_EV: Final = 0.25
"""The histogram covers ``BINS * BIN_EV`` stops below full scale."""
MARKS_WIDTH: Final = 480
MARKS_QUALITY: Final = 70
FOCUS_WIDTH: Final = 960
FOCUS_HEIGHT: Final = 540
"""Focus is judged on so many pixels in the middle, at full resolution."""


def largest_channel(radiance: FloatImage, step: int = 1) -> NDArray[np.float32]:
    """(H, W, 3) -> (H / step, W / step): the largest channel of every ``step``-th pixel."""
    red, green, blue = cv2.split(np.ascontiguousarray(radiance[::step, ::step], np.float32))
    largest: NDArray[np.float32] = cv2.max(cv2.max(red, green), blue)
    return largest


def histogram(largest: NDArray[np.float32], ceiling: float = 1.0) -> list[float]:
    """Shares of pixels by stops below ``ceiling``, darkest first; what clips is in the last of `BINS`.

    The first bin has all that is darker than the axis.
    """
    stops = np.log2(np.maximum(largest / np.float32(ceiling), 1e-6))
    bins = np.clip(np.floor(stops / BIN_EV).astype(np.int64) + BINS, 0, BINS - 1)
    counts = np.bincount(bins.ravel(), minlength=BINS)
    shares: list[float] = (counts / largest.size).tolist()
    return shares


def clipped_marks(radiance: FloatImage, ceiling: float = 1.0) -> bytes:
    """A grey JPEG, white where pixels are clipped at ``ceiling``, at most `MARKS_WIDTH` wide.

    A clipped pixel survives the reduction: small lamps are what one looks for.
    """
    top = float(np.nextafter(np.float32(CLIPPED * ceiling), np.float32(0)))
    below = cv2.inRange(np.ascontiguousarray(radiance, np.float32), (-np.inf,) * 3, (top,) * 3)
    height, width = below.shape[:2]
    step = -(-width // MARKS_WIDTH)
    if step > 1:
        below = cv2.erode(below, np.ones((step, step), np.uint8))[step // 2 :: step, step // 2 :: step]
    ok, data = cv2.imencode(".jpg", cv2.bitwise_not(below), [cv2.IMWRITE_JPEG_QUALITY, MARKS_QUALITY])
    assert ok, f"a grey picture of {width}x{height} becomes a JPEG"
    return bytes(data)


def sharpness(radiance: FloatImage) -> float:
    """How much fine detail the middle of a picture has, in percent of its brightness; grows towards focus.

    Root mean square of the Sobel gradient over the mean (Tenengrad; Krotkov, Focusing, IJCV 1, 1988), on the
    square root of light, so that neither brightness nor exposure changes it much. Compares the same view with
    itself only: another scene has another best value.
    """
    height, width = radiance.shape[:2]
    top, left = max(0, (height - FOCUS_HEIGHT) // 2), max(0, (width - FOCUS_WIDTH) // 2)
    middle = radiance[top : top + FOCUS_HEIGHT, left : left + FOCUS_WIDTH, 1]
    seen = np.sqrt(np.clip(np.ascontiguousarray(middle, np.float32), 0.0, 1.0))
    across, down = cv2.Sobel(seen, cv2.CV_32F, 1, 0), cv2.Sobel(seen, cv2.CV_32F, 0, 1)
    gradient = float(np.sqrt(np.mean(across * across + down * down))) / 8.0
    return 100.0 * gradient / max(float(seen.mean()), 1e-3)
