"""Merges of one bracket without a network, unaligned or behind the device's registration."""

from __future__ import annotations

import numpy as np

from edge.frames import FloatImage
from edge.fuse.merge import Merger
from edge.register.align import Aligner
from export.compare.row import Method
from export.eafnet.config import EafnetConfig
from export.training.brackets import GAMMA, Sample, registered

RAMP = EafnetConfig().blend_ramp


class OnReference:
    """The device's registration of a sample's pair; keeps the last answer, since many rows ask for it."""

    def __init__(self, aligner: Aligner | None = None) -> None:
        self._aligner = aligner or Aligner()
        self._last: tuple[Sample, Sample] | None = None

    def __call__(self, sample: Sample) -> Sample:
        """``export.training.brackets.registered``."""
        if self._last is None or self._last[0] is not sample:
            self._last = (sample, registered(sample, self._aligner))
        return self._last[1]


def aligned(method: Method, on_reference: OnReference) -> Method:
    """``method`` on the registered pair; the answer is back on the scale of the reported low exposure."""

    def fuse(unaligned: Sample) -> FloatImage:
        sample = on_reference(unaligned)
        answer: FloatImage = method(sample) * (unaligned.exposure[0] / sample.exposure[0])
        return answer

    return fuse


def reference_only(sample: Sample) -> FloatImage:
    """The reference exposure as it is."""
    scaled: FloatImage = sample.reference * sample.exposure[0]
    return scaled


def radiance_merge(sample: Sample) -> FloatImage:
    """Merge (Debevec and Malik 1997, on linear data): triangle weights in the gamma domain.

    The low exposure's weight does not fall towards white nor the high exposure's towards black: beyond them
    there is no better one.
    """
    total = np.zeros_like(sample.reference)
    weights = np.full_like(sample.reference, 1e-6)
    exposures = (sample.low, sample.reference, sample.high)
    for number, (image, light) in enumerate(zip(exposures, sample.exposure, strict=True)):
        bright = np.power(image, np.float32(1 / GAMMA))
        rising = np.ones_like(bright) if number == 2 else 2.0 * bright
        falling = np.ones_like(bright) if number == 0 else 2.0 - 2.0 * bright
        weight = np.clip(np.minimum(rising, falling), 1e-6, 1.0)
        total += weight * image * (sample.exposure[0] / light)
        weights += weight
    merged: FloatImage = total / weights
    return merged


def masked_merge(sample: Sample) -> FloatImage:
    """The device's rung below the networks (``edge.fuse.merge``): pixels that disagree keep the reference."""
    low, unit, high = (float(e) for e in sample.exposure)
    merger = Merger()
    pair = merger.prepare_pair(sample.low, sample.high, (low, unit, high))
    scaled: FloatImage = merger.merge(pair, sample.reference) * sample.exposure[0]
    return scaled


def blend_only(sample: Sample, ramp: tuple[float, float] = RAMP) -> FloatImage:
    """The start of the blend skip (``eafnet.start.blend``): the low exposure in the channels that clip."""
    reference = reference_only(sample)
    x = np.clip((np.power(sample.reference, np.float32(1 / GAMMA)) - ramp[0]) / (ramp[1] - ramp[0]), 0.0, 1.0)
    w = x * x * (3.0 - 2.0 * x)
    blended: FloatImage = (1.0 - w) * reference + w * np.maximum(sample.low, reference)
    return blended
