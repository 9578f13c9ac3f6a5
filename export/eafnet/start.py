"""Where the answer starts from: what the exposures say without a network, and the logit of it.

Source: ours; the paper's network paints everything from nothing (``skip`` "none").
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from export.eafnet.prealign import Prealigned

SKIP_MIN = 2.0**-17
"""What is darker cannot leave the network darker: 0.0044 in the mu-law domain. At 2^-14 it was 0.031, which
pulled deep shadows to grey (StillLife 1 to 4 dB)."""
SKIP_MAX = 1.0 - 2.0**-10

HIGH_RAMP = (0.93, 0.99)
"""Gamma-domain brightness at which the high exposure stops being trusted; 0.85 to 0.98 linear."""
NOISE_BLOCK = 16
"""Half-size pixels; the least noisy of a block says how noisy the camera is."""
NOISE_FLOOR = 1e-7
DARK = 0.002
"""Added to a level, as read noise and quantisation are to photons: the noise of black is not zero."""
NEAREST = 1e-5
TOLERANCE = 2.5
"""Standard deviations of noise that a mean over 6x6 pixels may differ by and still be the same thing. With it
the start has 42.5 / 37.8 dB (PSNR-mu / PSNR-L) on 16 noisy mosaics and 54.1 / 48.3 on 16 clean photographs;
the blend alone 41.3 / 37.8 and 54.8 / 48.5; a merge with fixed tolerances 42.1 / 37.7 and 49.6 / 47.4."""


def logit(x: Tensor) -> Tensor:
    """Inverse of the sigmoid for x in [SKIP_MIN, SKIP_MAX]; values outside are clamped."""
    x = x.clamp(SKIP_MIN, SKIP_MAX)
    return torch.log(x) - torch.log(1.0 - x)


def clipping_weight(gamma: Tensor, ramp: tuple[float, float]) -> Tensor:
    """How far each channel clips, in [0, 1]: a smoothstep of the gamma-domain value through ``ramp``."""
    start, end = ramp
    x = ((gamma - start) / (end - start)).clamp(0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def blend(reference: Prealigned, low: Prealigned, ramp: tuple[float, float]) -> Tensor:
    """The reference, and the low exposure in the channels that clip.

    A clipped channel is at least as bright as where it clips, whatever the low exposure says of it: without
    that floor an unaligned blend is worse than the reference alone.
    """
    return _with_low(reference.radiance, reference, low, ramp)


def steady_blend(
    reference: Prealigned, low: Prealigned, high: Prealigned, ramp: tuple[float, float], times: Tensor
) -> Tensor:
    """``blend`` with the high exposure averaged in where it shows the same thing, which takes off the noise.

    The same thing is what differs by no more than noise would; how much noise that is, the picture says
    itself. ``times`` (3, N, 1, 1, 1) are relative to the low exposure.
    """
    unit, ratio = times[1], times[2] / times[1]
    seen = reference.radiance * unit
    difference = high.radiance * unit - seen
    usable = 1.0 - clipping_weight(high.gamma.amax(dim=1, keepdim=True), HIGH_RAMP)
    share = ratio / (1.0 + ratio)  # of two measurements of one radiance, each weighted with its light
    agreed = _agreement(seen, difference, usable)
    steadied = seen + agreed * usable * share * difference
    return _with_low(steadied / unit, reference, low, ramp)


def _with_low(radiance: Tensor, reference: Prealigned, low: Prealigned, ramp: tuple[float, float]) -> Tensor:
    w = clipping_weight(reference.gamma, ramp)
    return (1.0 - w) * radiance + w * torch.maximum(low.radiance, reference.radiance)


def _agreement(seen: Tensor, difference: Tensor, usable: Tensor) -> Tensor:
    """(N, 1, H, W) in [0, 1]: 1 where the exposures differ by less than their noise, 0 at twice that.

    Decided at half size, where there is less noise and a quarter of the work.
    """
    half = functional.avg_pool2d(difference, 2)
    level = _mean(functional.avg_pool2d(seen, 2), 3) + DARK
    spread = (_mean(half * half, 5) - _mean(half, 5).square()).clamp(min=0.0) * 4.0
    relative = (spread / level).mean(dim=1, keepdim=True)
    unusable = 1.0 - functional.avg_pool2d(usable, 2)
    quietest = -functional.max_pool2d(-(relative + unusable * 1e3), NOISE_BLOCK, ceil_mode=True)
    # The harmonic mean: where the picture has detail or moves, the quietest place is still not quiet.
    noise = 1.0 / (1.0 / (quietest + NOISE_FLOOR)).mean(dim=(2, 3), keepdim=True)
    tolerance = (noise * level).sqrt() * (TOLERANCE / 6.0) + NEAREST
    excess = (_mean(half, 3).abs() / tolerance).amax(dim=1, keepdim=True)
    agreed = (2.0 - excess).clamp(0.0, 1.0)
    agreed = torch.minimum(_mean(agreed, 3), agreed)
    return functional.pixel_shuffle(torch.cat([agreed] * 4, dim=1), 2)


def _mean(x: Tensor, size: int) -> Tensor:
    """Mean over ``size`` x ``size`` pixels; at the edge over those there are."""
    return functional.avg_pool2d(x, size, stride=1, padding=size // 2, count_include_pad=False)
