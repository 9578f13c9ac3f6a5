"""The rung below the networks: a radiance merge that trusts the reference.

The reference frame decides what is where. Where it clips, the low frame replaces it; where it is dark, the
high frame steadies it; and both only where they agree with the reference, so that what moved between the
exposures leaves no ghost (it keeps the reference's clipped or noisy value). Radiance is in reference units.

``merge_unaligned`` is the classical merge without that mask, kept for comparison.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from edge.frames import FloatImage

CLIP_START, CLIP_END = 0.85, 0.97
"""Ramp of trust near saturation, on the largest channel; ends below 1.0 because the demosaic rings there."""
LOW_TOLERANCE = (0.06, 0.15)
HIGH_TOLERANCE = (0.012, 0.15)
"""Disagreement that still passes: a constant for noise plus a share of the value for photometric mismatch."""


@dataclass(frozen=True, slots=True)
class MergePair:
    """What the merge needs from one low/high pair, computed once per pair.

    ``low`` and ``high`` are radiance (H, W, 3); the halves are (H/2, W/2, 3); ``high_weight`` is the share of
    the high frame where it agrees, (H/2, W/2), falling to 0 where it clips.
    """

    low: FloatImage
    high: FloatImage
    low_half: FloatImage
    high_half: FloatImage
    high_weight: FloatImage


def prepare_pair(low: FloatImage, high: FloatImage, light: tuple[float, float, float]) -> MergePair:
    """From linear (H, W, 3) float32 images in [0, 1] and the light of (low, reference, high)."""
    low_gain, high_gain = light[1] / light[0], light[1] / light[2]
    low_radiance, high_radiance = low * np.float32(low_gain), high * np.float32(high_gain)
    high_half = _half(high_radiance)
    unclipped = 1.0 - _ramp(_largest(high_half) / high_gain, CLIP_START, CLIP_END)
    # Averaging two measurements of one radiance, each weighted with the light it is made of.
    share = light[2] / (light[1] + light[2])
    return MergePair(
        low_radiance, high_radiance, _half(low_radiance), high_half, unclipped * np.float32(share)
    )


def merge(pair: MergePair, reference: FloatImage) -> FloatImage:
    """Radiance (H, W, 3) float32 of the reference view from its linear image (H, W, 3) in [0, 1]."""
    height, width = reference.shape[:2]
    half = _half(reference)
    largest = _largest(reference)
    low_mask = _agreement(np.minimum(pair.low_half, 1.0), half, *LOW_TOLERANCE)
    high_mask = _agreement(pair.high_half, half, *HIGH_TOLERANCE) * pair.high_weight
    low_weight = cv2.resize(low_mask, (width, height), interpolation=cv2.INTER_LINEAR)
    low_weight *= _ramp(largest, CLIP_START, CLIP_END)
    high_weight = cv2.resize(high_mask, (width, height), interpolation=cv2.INTER_LINEAR)
    rest = 1.0 - high_weight
    steadied = cv2.blendLinear(reference, pair.high, rest, high_weight)
    out: FloatImage = cv2.blendLinear(steadied, pair.low, 1.0 - low_weight, low_weight)
    return out


def merge_unaligned(
    low: FloatImage, reference: FloatImage, high: FloatImage, light: tuple[float, float, float]
) -> FloatImage:
    """The weighted average of Debevec and Malik 1997 (eq. 6) on linear images, without regard to motion.

    Each exposure weighs its light times a hat that ends below clipping, where noise would otherwise vote; the
    low exposure keeps its weight at the top of the range and the high one at the bottom, where nothing else
    is left. Same arguments and result as the other rungs.
    """
    total = np.zeros(reference.shape, np.float32)
    weights = np.full(reference.shape, 1e-6, np.float32)
    for place, (image, gain) in enumerate(zip((low, reference, high), light, strict=True)):
        rising = np.float32(0.5) if place == 2 else image
        falling = np.float32(0.5) if place == 0 else np.maximum(CLIP_END - image, 0.0)
        hat = np.minimum(rising, falling) * np.float32(gain)
        total += hat * image * np.float32(light[1] / gain)
        weights += hat
    merged: FloatImage = total / weights
    return merged


def _half(image: FloatImage) -> FloatImage:
    height, width = image.shape[:2]
    size = (max(1, width // 2), max(1, height // 2))
    half: FloatImage = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return half


def _largest(image: FloatImage) -> FloatImage:
    red, green, blue = cv2.split(image)
    largest: FloatImage = cv2.max(cv2.max(red, green), blue)
    return largest


def _ramp(x: FloatImage, start: float, end: float) -> FloatImage:
    """0 below ``start``, 1 above ``end``, straight between."""
    out: FloatImage = x * np.float32(1.0 / (end - start))
    out -= np.float32(start / (end - start))
    np.clip(out, 0.0, 1.0, out=out)
    return out


def _agreement(other: FloatImage, reference: FloatImage, floor: float, share: float) -> FloatImage:
    """(H, W) in [0, 1]: 1 where the largest channel difference is within tolerance, 0 at twice that."""
    difference = _largest(cv2.absdiff(other, reference))
    tolerance = _largest(reference)
    tolerance *= np.float32(share)
    tolerance += np.float32(floor)
    difference /= tolerance
    agreement: Any = np.clip(2.0 - difference, 0.0, 1.0)
    # A pixel is as doubtful as its neighbourhood: the edge of a moving thing is part of it.
    return _soften(agreement)


def _soften(mask: FloatImage) -> FloatImage:
    eroded = cv2.erode(mask, np.ones((3, 3), np.uint8))
    softened: FloatImage = cv2.blur(eroded, (5, 5))
    return softened
