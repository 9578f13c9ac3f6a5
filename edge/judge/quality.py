"""How near a fused frame is to the truth.

Radiance is divided by ``full_scale`` (what saturates the low exposure, 4.0 at -2 EV) and clipped to [0, 1]:
the domain of Kalantari and Ramamoorthi 2017, "Deep High Dynamic Range Imaging of Dynamic Scenes", section 4,
whose mu-law T(x) = log(1 + mu x) / log(1 + mu), mu = 5000, gives PSNR-mu; without it, PSNR-L.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edge.frames import FloatImage

MU = 5000.0


def mu_law(x: FloatImage) -> FloatImage:
    """T(x) of [0, 1] images, in [0, 1]."""
    out: FloatImage = np.log1p(np.float32(MU) * x) / np.float32(math.log1p(MU))
    return out


def psnr(output: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Peak signal to noise ratio in dB of [0, 1] images, over all pixels and channels; inf where equal."""
    error = float(np.mean(np.square(output - truth, dtype=np.float64)))
    return math.inf if error == 0.0 else -10.0 * math.log10(error)


def psnr_linear(radiance: FloatImage, truth: FloatImage, full_scale: float) -> float:
    """PSNR-L in dB of (H, W, 3) radiance in reference units."""
    return psnr(_scaled(radiance, full_scale), _scaled(truth, full_scale))


def psnr_mu(radiance: FloatImage, truth: FloatImage, full_scale: float) -> float:
    """PSNR-mu in dB of (H, W, 3) radiance in reference units."""
    return psnr(mu_law(_scaled(radiance, full_scale)), mu_law(_scaled(truth, full_scale)))


def _scaled(radiance: FloatImage, full_scale: float) -> FloatImage:
    scaled: FloatImage = np.clip(radiance * np.float32(1.0 / full_scale), 0.0, 1.0)
    return scaled
