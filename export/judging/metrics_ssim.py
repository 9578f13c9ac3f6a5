"""SSIM, the structural similarity of Wang, Bovik, Sheikh and Simoncelli 2004.

"Image Quality Assessment: From Error Visibility to Structural Similarity", IEEE Transactions on Image
Processing 13(4), equation 13 with the authors' settings: Gaussian window of 11 x 11 pixels and sigma 1.5,
K1 = 0.01, K2 = 0.03, population (co)variances, data range 1. What the HDR literature leaves open:

- Colour: the mean of SSIM over R, G and B, as scikit-image's ``channel_axis`` and with it the Python
  evaluations of the field do. (MATLAB's ``ssim`` takes an RGB array for a volume and filters *across* its
  channels too.)
- Border: pixels whose window leaves the image, 5 on each side, are not counted, as in the authors' code;
  every way to invent the pixels beyond gives another figure.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError
from edge.frames import FloatImage
from edge.judge.quality import mu_law

WINDOW = 11
SIGMA = 1.5
C1 = 0.01**2
C2 = 0.03**2


def same_shape(a: FloatImage, b: FloatImage) -> None:
    """Raises ``ImageError`` where two images cannot be compared pixel by pixel."""
    if a.shape != b.shape:
        raise ImageError(f"images of different shapes, {a.shape} and {b.shape}: bring them to one size first")


def ssim_map(a: FloatImage, b: FloatImage) -> NDArray[np.float32]:
    """SSIM per pixel and channel: (H - 10, W - 10[, C]) float32 in [-1, 1] of (H, W[, C]) images in [0, 1].

    float32 costs less than 1e-6 in the mean and halves the time. The variances are needed as a sum only, so
    four blurs do. Raises ``ImageError`` where the shapes differ or the images are smaller than the window.
    """
    same_shape(a, b)
    if min(a.shape[:2]) < WINDOW:
        raise ImageError(f"SSIM needs images of at least {WINDOW} x {WINDOW} pixels, got {a.shape}")
    mean_a, mean_b = _windowed(a), _windowed(b)
    product = mean_a * mean_b
    squares = mean_a * mean_a + mean_b * mean_b
    covariance = _windowed(a * b) - product
    variances = _windowed(a * a + b * b) - squares
    similarity: NDArray[np.float32] = (2.0 * product + np.float32(C1)) * (2.0 * covariance + np.float32(C2))
    similarity /= (squares + np.float32(C1)) * (variances + np.float32(C2))
    return similarity


def ssim(a: FloatImage, b: FloatImage) -> float:
    """Mean of ``ssim_map``: 1 where the images are equal, symmetric in ``a`` and ``b``."""
    return float(np.mean(ssim_map(a, b), dtype=np.float64))


def ssim_mu(a: FloatImage, b: FloatImage) -> float:
    """SSIM-mu: SSIM of the mu-law images; in and out as ``ssim``."""
    return ssim(mu_law(a), mu_law(b))


def ssim_linear(a: FloatImage, b: FloatImage) -> float:
    """SSIM-L: SSIM of the linear images. K1 and K2 hide what is darker than about 0.03 of full scale."""
    return ssim(a, b)


def _windowed(x: FloatImage) -> NDArray[np.float32]:
    margin = WINDOW // 2
    blurred = cv2.GaussianBlur(np.asarray(x, np.float32), (WINDOW, WINDOW), SIGMA)
    inner: NDArray[np.float32] = blurred[margin:-margin, margin:-margin]
    return inner
