"""The match of both cameras' light, applied to developed pictures.

What is left of the black level comes off, falloff and colour are multiplied out. No factor is below 1, so
what saturates stays saturated; what the factors of a camera have in common counts as exposure instead.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge.calibration.model import Calibration, Photometry, Three
from edge.frames import FloatImage


class LightMatch:
    """Factors of one calibration. ``sensitivity``: see `Photometry`; falloff is part of it here.

    Costs about 2 ms of one core a 960x540 picture, nothing for a camera that needs no correction.
    """

    def __init__(self, calibration: Calibration) -> None:
        light = calibration.photometry or Photometry()
        size = calibration.width, calibration.height
        self._reference, mine = _factors(light.reference_falloff, (1.0, 1.0, 1.0), size)
        self._secondary, other = _factors(light.secondary_falloff, light.secondary_gain, size)
        self._black = light.reference_black, light.secondary_black
        self.sensitivity = mine / other

    def reference(self, image: FloatImage) -> FloatImage:
        """A reference picture (H, W, 3) float32 in [0, 1], evenly lit."""
        return _applied(image, self._black[0], self._reference)

    def secondary(self, image: FloatImage) -> FloatImage:
        """A secondary picture in the reference's colours, evenly lit, ``sensitivity`` times as bright."""
        return _applied(image, self._black[1], self._secondary)


def _factors(falloff: Three, gain: Three, size: tuple[int, int]) -> tuple[FloatImage | None, float]:
    """Factors (H, W, 3) float32, the smallest 1, and what they were divided by for that; None: all 1."""
    if not any(falloff) and len(set(gain)) == 1:
        return None, gain[0]
    x, y = (np.linspace(-1.0, 1.0, n) * (n - 1) / np.hypot(size[0] - 1, size[1] - 1) for n in size)
    r2 = x[None, :] ** 2 + y[:, None] ** 2
    a, b, c = falloff
    factors = (1.0 / (1.0 + r2 * (a + r2 * (b + r2 * c))))[..., None] * np.array(gain)
    least = float(factors.min())
    return (factors / least).astype(np.float32), least


def _applied(image: FloatImage, black: float, factors: FloatImage | None) -> FloatImage:
    if not black and factors is None:
        return image
    out = image
    if black:
        out = np.maximum((image - np.float32(black)) * np.float32(1.0 / (1.0 - black)), np.float32(0.0))
    if factors is not None:
        out = cv2.multiply(out, factors)
    clipped: FloatImage = np.minimum(out, np.float32(1.0))
    return clipped
