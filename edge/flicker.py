"""Flicker: how much brightness the system adds over time that the scene did not have.

LSD, the luminance standard deviation: for frame k, d_k = mean(T(Y_out / full)) - mean(T(Y_truth / full)),
T the mu-law with mu = 5000, Y the Rec. 709 luminance, ``full`` the radiance that saturates the low exposure
(4.0 at -2 EV). LSD is the standard deviation of d over the frames, in parts of full scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.frames import FloatImage

MU = 5000.0
FULL_SCALE = 4.0


def mean_mu_luminance(radiance: FloatImage, full_scale: float = FULL_SCALE, step: int = 1) -> float:
    """Mean mu-law luminance of (H, W, 3) radiance, in [0, 1]; ``step`` > 1 reads every step-th pixel and row."""
    raise NotImplementedError


def lsd(output: Sequence[float], truth: Sequence[float]) -> float:
    """Standard deviation over time of the difference of two series of ``mean_mu_luminance``."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class FlickerGauge:
    """Without truth: the smoothed size of the step of mean mu-law luminance from frame to frame. Immutable."""

    last: float | None = None
    level: float = 0.0
    smoothing: float = 0.1

    def step(self, mean_mu: float) -> FlickerGauge:
        """The gauge after one more frame; read ``level``."""
        raise NotImplementedError
