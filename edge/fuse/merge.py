"""The rung below the networks: a radiance merge that trusts the reference.

The reference frame decides what is where. Where it clips, the low frame replaces it; where it is dark, the
high frame steadies it; and both only where they agree with the reference, so that what moved between the
exposures leaves no ghost (it keeps the reference's clipped or noisy value). Radiance is in reference units.

``merge_unaligned`` is the classical merge without that mask, kept for comparison.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np

from edge.frames import FloatImage

Light: TypeAlias = tuple[float, float, float]
"""Of (low, reference, high), in any unit: exposure time times gain."""

CLIP_START, CLIP_END = 0.85, 0.97
"""Ramp of trust near saturation, on the largest channel; ends below 1.0 because the demosaic rings there."""
CLIP_SLACK = 0.1
"""How far below a clipped reference the low frame may lie: its noise, and the photometric mismatch."""
LOW_TOLERANCE = (0.1, 0.3)
HIGH_TOLERANCE = (0.008, 0.1)
"""Disagreement that still passes: a constant for noise and a share of the value. Chosen on the shipped scenes
at 0 and 24 dB of gain: the low frame is worth a little mismatch, the high one is not."""


@dataclass(frozen=True, slots=True)
class MergePair:
    """What the merge needs from one low/high pair, computed once per pair.

    ``low`` and ``high`` are radiance (H, W, 3), the halves (H/2, W/2, 3), the low one cut at 1.0 like the
    reference it is compared with. ``high_weight`` is the share of the high frame where it agrees, (H, W),
    falling to 0 where it clips.
    """

    low: FloatImage
    high: FloatImage
    low_half: FloatImage
    high_half: FloatImage
    high_weight: FloatImage


class Merger:
    """Keeps its work buffers, since fresh pages would cost as much as the work: one thread per instance."""

    def __init__(self) -> None:
        self._work = _Work(0, 0)

    def prepare_pair(self, low: FloatImage, high: FloatImage, light: Light) -> MergePair:
        """From linear (H, W, 3) float32 images in [0, 1] and the light of (low, reference, high).

        The pair is good until the next call.
        """
        work = self._sized(low)
        np.multiply(low, np.float32(light[1] / light[0]), out=work.pair.low)
        np.multiply(high, np.float32(light[1] / light[2]), out=work.pair.high)
        np.minimum(_half(work.pair.low, work.pair.low_half), 1.0, out=work.pair.low_half)
        _half(work.pair.high, work.pair.high_half)
        clipped = _ramp(_largest(high, work.planes))
        # Averaging two measurements of one radiance, each weighted with the light it is made of.
        share = np.float32(light[2] / (light[1] + light[2]))
        np.multiply(clipped, -share, out=work.pair.high_weight)
        np.add(work.pair.high_weight, share, out=work.pair.high_weight)
        return work.pair

    def merge(self, pair: MergePair, reference: FloatImage) -> FloatImage:
        """Radiance (H, W, 3) float32 of the reference view from its linear image (H, W, 3) in [0, 1].

        Whether the exposures agree is decided at half size, where there is less noise and a quarter of the
        work; what is clipped is seen pixel by pixel, or the low frame would leave ghosts around highlights.
        """
        work = self._sized(reference)
        half = _half(reference, work.half)
        np.copyto(work.level, _largest(half, work.half_planes))
        weight = work.agreement(pair.high_half, HIGH_TOLERANCE)
        weight *= pair.high_weight
        np.subtract(np.float32(1.0), weight, out=work.rest)
        out: FloatImage = cv2.blendLinear(reference, pair.high, work.rest, weight)
        clipped = _largest(reference, work.planes)
        rows = _rows_above(clipped, CLIP_START)
        if rows is not None:
            weight = work.agreement(pair.low_half, LOW_TOLERANCE)[rows]
            weight *= _ramp(clipped[rows])
            rest = np.subtract(np.float32(1.0), weight, out=work.rest[rows])
            # Where the reference clips, the light was no less, whatever the low frame saw a moment ago.
            low = np.multiply(reference[rows], np.float32(1.0 - CLIP_SLACK), out=work.low[rows])
            cv2.max(pair.low[rows], low, dst=low)
            cv2.blendLinear(out[rows], low, rest, weight, dst=out[rows])
        return out

    def _sized(self, image: FloatImage) -> _Work:
        height, width = image.shape[:2]
        if self._work.planes.shape[1:] != (height, width):
            self._work = _Work(height, width)
        return self._work


class _Work:
    """Buffers for one image size."""

    def __init__(self, height: int, width: int) -> None:
        rows, columns = max(1, height // 2), max(1, width // 2)
        self.half = np.empty((rows, columns, 3), np.float32)
        self.difference = np.empty((rows, columns, 3), np.float32)
        self.half_planes = np.empty((3, rows, columns), np.float32)
        self.level, self.tolerance, self.softened = np.empty((3, rows, columns), np.float32)
        self.planes = np.empty((3, height, width), np.float32)
        self.weight, self.rest = np.empty((2, height, width), np.float32)
        self.low = np.empty((height, width, 3), np.float32)
        low, high = np.empty((2, height, width, 3), np.float32)
        low_half, high_half = np.empty((2, rows, columns, 3), np.float32)
        self.pair = MergePair(low, high, low_half, high_half, np.empty((height, width), np.float32))

    def agreement(self, other: FloatImage, limits: tuple[float, float]) -> FloatImage:
        """(H, W) in [0, 1]: 1 where the largest channel differs less than tolerated, 0 at twice that."""
        floor, share = limits
        cv2.absdiff(other, self.half, dst=self.difference)
        excess = _largest(self.difference, self.half_planes)
        np.multiply(self.level, np.float32(share), out=self.tolerance)
        self.tolerance += np.float32(floor)
        excess /= self.tolerance
        agreed = np.subtract(np.float32(2.0), excess, out=excess)
        np.clip(agreed, 0.0, 1.0, out=agreed)
        # A pixel is as doubtful as its neighbourhood, and never less doubtful than it is itself.
        cv2.blur(agreed, (5, 5), dst=self.softened)
        np.minimum(self.softened, agreed, out=self.softened)
        # Nearest: a pixel in doubt must not borrow trust from the one beside it.
        size = self.weight.shape[1], self.weight.shape[0]
        cv2.resize(self.softened, size, dst=self.weight, interpolation=cv2.INTER_NEAREST)
        return self.weight


def prepare_pair(low: FloatImage, high: FloatImage, light: Light) -> MergePair:
    """``Merger.prepare_pair`` for once."""
    return Merger().prepare_pair(low, high, light)


def merge(pair: MergePair, reference: FloatImage) -> FloatImage:
    """``Merger.merge`` for once."""
    return Merger().merge(pair, reference)


def merge_unaligned(low: FloatImage, reference: FloatImage, high: FloatImage, light: Light) -> FloatImage:
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


def _half(image: FloatImage, out: FloatImage | None = None) -> FloatImage:
    """Means of two by two pixels: bilinear sampling in their middle, which is faster than by area."""
    half: FloatImage = cv2.resize(image, (max(1, image.shape[1] // 2), max(1, image.shape[0] // 2)), dst=out)
    return half


def _largest(image: FloatImage, planes: FloatImage) -> FloatImage:
    """Largest channel, (H, W), in the first of ``planes``, (3, H, W)."""
    red, green, blue = planes
    cv2.split(image, (red, green, blue))
    cv2.max(red, green, dst=red)
    largest: FloatImage = cv2.max(red, blue, dst=red)
    return largest


def _rows_above(plane: FloatImage, level: float) -> slice | None:
    """From the first to the last row that has a value above ``level``."""
    rows = np.flatnonzero(cv2.reduce(plane, 1, cv2.REDUCE_MAX).ravel() > level)
    return slice(int(rows[0]), int(rows[-1]) + 1) if rows.size else None


def _ramp(largest: FloatImage) -> FloatImage:
    """In place: 0 up to CLIP_START, 1 from CLIP_END on, straight between."""
    largest -= np.float32(CLIP_START)
    largest *= np.float32(1.0 / (CLIP_END - CLIP_START))
    np.clip(largest, 0.0, 1.0, out=largest)
    return largest
