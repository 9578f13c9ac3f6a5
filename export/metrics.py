"""How good a fused frame or sequence is. numpy only; definitions and sources beside each.

All images are (H, W, 3) linear, on the scale where 1.0 saturates the *low* exposure and clipped to [0, 1]
there: what no exposure of the bracket recorded is not judged. Radiance in reference units gets there by
``to_low_scale``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.frames import FloatImage
from edge.quality import mu_law, psnr

__all__ = ["lsd", "mean_luminance", "mu_law", "psnr", "psnr_linear", "psnr_mu", "to_low_scale"]

LUMINANCE = np.array((0.2126, 0.7152, 0.0722))
"""Rec. 709 / BT.709-6, table 3."""


def to_low_scale(radiance: FloatImage, exposure_low: float) -> FloatImage:
    """Radiance in reference units -> [0, 1]; ``exposure_low``: light of low over reference, 0.25 at -2 EV."""
    scaled: FloatImage = np.clip(radiance * np.float32(exposure_low), 0.0, 1.0)
    return scaled


def psnr_mu(a: FloatImage, b: FloatImage) -> float:
    """PSNR of the mu-law images: the paper's PSNR-mu."""
    return psnr(mu_law(a), mu_law(b))


def psnr_linear(a: FloatImage, b: FloatImage) -> float:
    """PSNR of the linear images: the paper's PSNR-L."""
    return psnr(a, b)


def mean_luminance(image: FloatImage) -> float:
    """Mean mu-law luminance of one frame, in [0, 1] of full scale."""
    return float(np.mean(mu_law(image) @ LUMINANCE.astype(np.float32)))


def lsd(luminances: Sequence[float], truth: Sequence[float] | None = None) -> float:
    """Luminance standard deviation: flicker of a sequence, in parts of full scale of the mu-law domain.

    ``luminances`` are ``mean_luminance`` per frame, time order. The deviation (over n) is that of the
    sequence itself, the paper's measure for a steady scene; with ``truth`` that of the *difference* to the
    truth's mean luminances, so that what the scene itself does is not counted.
    """
    values: NDArray[np.float64] = np.asarray(luminances, np.float64)
    if truth is not None:
        values = values - np.asarray(truth, np.float64)
    if values.size == 0:
        raise ValueError("lsd of no frames: give at least one mean luminance")
    return float(np.std(values))
