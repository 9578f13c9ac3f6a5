"""The rung below the networks: a radiance merge that trusts the reference.

The reference frame decides what is where. Where it clips, the low frame replaces it; where it is dark, the
high frame steadies it; and both only where they agree with the reference, so that what moved between the
exposures leaves no ghost (it keeps the reference's clipped or noisy value). Radiance is in reference units.

``merge_unaligned`` is the classical merge without that mask, kept for comparison.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge.frames import FloatImage

CLIP_START, CLIP_END = 0.85, 0.97
"""Ramp of trust near saturation, on the largest channel; ends below 1.0 because the demosaic rings there."""
LOW_TOLERANCE = (0.06, 0.15)
HIGH_TOLERANCE = (0.012, 0.15)
"""Disagreement that still passes: a constant for noise plus a share of the value for photometric mismatch."""
_NEIGHBOURS = np.ones((3, 3), np.uint8)
_SQUARE = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class MergePair:
    """What the merge needs from one low/high pair, computed once per pair.

    ``low`` and ``high`` are radiance (H, W, 3), the sampled ones every second pixel of every second row.
    ``high_weight`` is the share of the high frame where it agrees, sampled alike, 0 where it clips.
    """

    low: FloatImage
    high: FloatImage
    low_sampled: FloatImage
    high_sampled: FloatImage
    high_weight: FloatImage


def prepare_pair(low: FloatImage, high: FloatImage, light: tuple[float, float, float]) -> MergePair:
    """From linear (H, W, 3) float32 images in [0, 1] and the light of (low, reference, high)."""
    low_radiance, high_radiance = (
        low * np.float32(light[1] / light[0]),
        high * np.float32(light[1] / light[2]),
    )
    unclipped = 1.0 - _ramp(_largest(_sampled(high)), CLIP_START, CLIP_END)
    # Averaging two measurements of one radiance, each weighted with the light it is made of.
    share = np.float32(light[2] / (light[1] + light[2]))
    # Above its clipping the reference can only say "at least 1".
    low_sampled = np.minimum(_sampled(low_radiance), np.float32(1.0))
    return MergePair(low_radiance, high_radiance, low_sampled, _sampled(high_radiance), unclipped * share)


def merge(pair: MergePair, reference: FloatImage) -> FloatImage:
    """Radiance (H, W, 3) float32 of the reference view from its linear image (H, W, 3) in [0, 1].

    What to trust is decided on every second pixel and spread by one: it changes slowly over the image, and
    the decision costs a quarter.
    """
    sampled = _sampled(reference)
    largest = _largest(sampled)
    clipped = cv2.dilate(_ramp(largest, CLIP_START, CLIP_END), _NEIGHBOURS)
    low_weight = _agreement(pair.low_sampled, sampled, largest, LOW_TOLERANCE) * clipped
    high_weight = _agreement(pair.high_sampled, sampled, largest, HIGH_TOLERANCE) * pair.high_weight
    size = (reference.shape[1], reference.shape[0])
    steadied = _blended(reference, pair.high, cv2.resize(high_weight, size))
    return _blended(steadied, pair.low, cv2.resize(low_weight, size))


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


def _sampled(image: FloatImage) -> FloatImage:
    return np.ascontiguousarray(image[::2, ::2])


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


def _agreement(
    other: FloatImage, reference: FloatImage, largest: FloatImage, tolerance: tuple[float, float]
) -> FloatImage:
    """(H, W) in [0, 1]: 1 where the largest channel difference is within tolerance, 0 at twice that."""
    floor, share = tolerance
    difference = _largest(cv2.absdiff(other, reference))
    difference /= largest * np.float32(share) + np.float32(floor)
    agreement: FloatImage = np.clip(np.float32(2.0) - difference, 0.0, 1.0)
    # A pixel is as doubtful as its neighbourhood: the edge of a moving thing is part of it.
    softened: FloatImage = cv2.blur(cv2.erode(agreement, _NEIGHBOURS), (5, 5))
    return softened


def _blended(image: FloatImage, other: FloatImage, weight: FloatImage) -> FloatImage:
    """``image`` moved towards ``other`` by ``weight`` (H, W) in [0, 1]."""
    out: FloatImage = cv2.subtract(other, image)
    out *= cv2.merge((weight, weight, weight))
    out += image
    return out
