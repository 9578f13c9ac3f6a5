"""Flicker: how much brightness the system adds over time that the scene did not have.

LSD, the luminance standard deviation: for frame k, d_k = mean(T(Y_out / full)) - mean(T(Y_truth / full)),
where T is the mu-law log(1 + mu x) / log(1 + mu) with mu = 5000, clipped to [0, 1], Y the Rec. 709
luminance and ``full`` the radiance that saturates the low exposure (4.0 at -2 EV). LSD is the standard
deviation of d over the frames: a share of full scale in the mu-law domain. A constant error of brightness
is no flicker and counts nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from edge.frames import FloatImage
from edge.judge.quality import MU
from edge.tone.colour import REC709_LUMA

FULL_SCALE = 4.0


def mean_mu_luminance(radiance: FloatImage, full_scale: float = FULL_SCALE, step: int = 1) -> float:
    """Mean mu-law luminance of (H, W, 3) radiance, in [0, 1]. NaN counts as black.

    ``step`` > 1 reads every step-th row and column, which is what the live gauge does.
    """
    seen = radiance if step == 1 else np.ascontiguousarray(radiance[::step, ::step])
    luminance = cv2.transform(seen, REC709_LUMA * (MU / full_scale))
    np.nan_to_num(luminance, copy=False, nan=0.0, posinf=MU, neginf=0.0)
    np.clip(luminance, 0.0, MU, out=luminance)
    return float(cv2.mean(cv2.log(luminance + 1.0))[0] / math.log1p(MU))


def lsd(output: Sequence[float], truth: Sequence[float]) -> float:
    """Standard deviation over time of the difference of two series of ``mean_mu_luminance``.

    Raises ValueError where the series differ in length or are empty.
    """
    if len(output) != len(truth) or not output:
        raise ValueError(f"flicker needs two series of one length, got {len(output)} and {len(truth)} frames")
    return float(np.std(np.asarray(output, np.float64) - np.asarray(truth, np.float64)))


@dataclass(frozen=True, slots=True)
class FlickerGauge:
    """Without truth: how far mean brightness jerks from frame to frame, for the live page.

    The gauge measures second differences, half of |m_k - 2 m_(k-1) + m_(k-2)|, smoothed exponentially: a pan
    into the light moves the mean steadily and reads near zero, brightness that alternates by +-a reads 2a.
    Immutable; ``level`` is in the units of ``mean_mu_luminance``.
    """

    level: float = 0.0
    smoothing: float = 0.1
    last: float | None = None
    before: float | None = None

    def step(self, mean_mu: float) -> FlickerGauge:
        """The gauge after one more frame."""
        if self.last is None or self.before is None:
            return replace(self, last=mean_mu, before=self.last)
        jerk = abs(mean_mu - 2.0 * self.last + self.before) / 2.0
        level = self.level + self.smoothing * (jerk - self.level)
        return replace(self, level=level, last=mean_mu, before=self.last)
