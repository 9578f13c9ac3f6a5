"""How good a fused frame or sequence is: every figure by name, from one module.

Domain. Images are (H, W, 3) float32, linear, RGB with Rec. 709 primaries, on the scale where 1.0 saturates
the *low* exposure, clipped to [0, 1] there: what no exposure of the bracket recorded is not judged. Radiance
in reference units gets there by ``to_low_scale``. Figures "-L" are of these values, figures "-mu" of their
mu-law T(x) = log(1 + mu x) / log(1 + mu), mu = 5000 (Kalantari and Ramamoorthi 2017, "Deep High Dynamic Range
Imaging of Dynamic Scenes", section 4), which gives shadows the weight that a tone-mapped picture gives them.
Both lie in [0, 1], so the data range of PSNR and SSIM is 1. NaN in an image makes its figure NaN. Images of
different sizes are an ``ImageError``.

| figure | best | function | module |
|---|---|---|---|
| PSNR-mu, PSNR-L | inf dB | ``psnr_mu``, ``psnr_linear`` | here |
| SSIM-mu, SSIM-L | 1 | ``ssim_mu``, ``ssim_linear`` | ``metrics_ssim`` |
| L_avg and its curve | truth's | ``l_avg``, ``luminances`` | ``metrics_video`` |
| LSD, largest step | 0 | ``lsd``, ``luminance_step`` | ``metrics_video`` |
| t-SSIM | truth's | ``t_ssim`` | ``metrics_video`` |
| ColorVideoVDP | 10 JOD | ``ColorVideoVdp`` (imported from its module: it needs torch) | ``metrics_vdp`` |
"""

from __future__ import annotations

import numpy as np

from edge.frames import FloatImage
from edge.judge.quality import mu_law, psnr
from export.judging.metrics_ssim import same_shape, ssim, ssim_linear, ssim_map, ssim_mu
from export.judging.metrics_video import (
    l_avg,
    lsd,
    luminance_step,
    luminances,
    mean_luminance,
    t_ssim,
    temporal_ssims,
)

__all__ = [
    "l_avg",
    "lsd",
    "luminance_step",
    "luminances",
    "mean_luminance",
    "mu_law",
    "psnr",
    "psnr_linear",
    "psnr_mu",
    "ssim",
    "ssim_linear",
    "ssim_map",
    "ssim_mu",
    "t_ssim",
    "temporal_ssims",
    "to_low_scale",
]


def to_low_scale(radiance: FloatImage, exposure_low: float) -> FloatImage:
    """Radiance in reference units -> [0, 1]; ``exposure_low``: light of low over reference, 0.25 at -2 EV."""
    scaled: FloatImage = np.clip(radiance * np.float32(exposure_low), 0.0, 1.0)
    return scaled


def psnr_mu(a: FloatImage, b: FloatImage) -> float:
    """PSNR-mu in dB: -10 log10 of the mean squared error of the mu-law images, all pixels and channels.

    Peak 1; inf where equal. Kalantari and Ramamoorthi 2017, section 4; the paper's PSNR-mu.
    """
    same_shape(a, b)
    return psnr(mu_law(a), mu_law(b))


def psnr_linear(a: FloatImage, b: FloatImage) -> float:
    """PSNR-L in dB: as ``psnr_mu``, of the linear images; highlights decide it. The paper's PSNR-L."""
    same_shape(a, b)
    return psnr(a, b)
