"""What the network sees: gamma domain, radiance domain, global luminance alignment, exposure guidance.

Paper section IV-A and equation 2 (printed upside down: the gain that aligns the means is
mean(L_m) / mean(L_i); measured on 60 scenes the printed direction is worse than no gain at all).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.eafnet.config import EafnetConfig, InputKind
from export.eafnet.layout import space_to_depth

GAMMA = 2.2
SMALLEST = 2.0**-20
"""Floor under the power functions: far below one count of 12 bits, and its power 1/2.2 is exact enough."""

EXPOSURE_SCALE = 0.1
GAIN_LIMIT = 8.0
MEAN_FLOOR = 1e-3


def gamma(linear: Tensor) -> Tensor:
    """Linear sensor values in [0, 1] -> gamma domain L in [0, 1] (exponent 1/2.2)."""
    return linear.clamp(min=SMALLEST, max=1.0).pow(1 / GAMMA)


@dataclass(frozen=True, slots=True)
class Prealigned:
    """One exposure as the network takes it; all (B, 3, H, W) float32.

    ``gamma``: L in [0, 1]. ``radiance``: H = L^2.2 / t, t relative to the low exposure, so that the output's
    scale (1.0 saturates the low exposure) is that of every H.
    """

    gamma: Tensor
    radiance: Tensor
    aligned: Tensor | None

    def channels(self, kinds: tuple[InputKind, ...]) -> Tensor:
        """The inputs named ``kinds`` one after the other: (B, 3*len(kinds), H, W)."""
        by_kind = {"L": self.gamma, "H": self.radiance, "G": self.aligned}
        chosen = [by_kind[kind] for kind in kinds]
        return torch.cat([c for c in chosen if c is not None], dim=1)


def luminance_gain(mean_reference: Tensor, mean: Tensor) -> Tensor:
    """Equation 2, the right way round: brings ``mean`` (gamma domain) to the reference's; in [1/8, 8]."""
    gain = (mean_reference + MEAN_FLOOR) / (mean + MEAN_FLOOR)
    return gain.clamp(1 / GAIN_LIMIT, GAIN_LIMIT)


def prealign(linear: Tensor, time: Tensor | None = None, gain: Tensor | None = None) -> Prealigned:
    """``linear`` (B, 3, H, W) in [0, 1]; ``time`` (B, 1, 1, 1) relative to the low exposure; ``gain`` of G.

    ``time`` None is the low exposure, ``gain`` None the reference, whose G equals its L.
    """
    low_range = gamma(linear)
    aligned = low_range if gain is None else (low_range * gain).clamp(max=1.0)
    return Prealigned(low_range, linear if time is None else linear / time, aligned)


def relative_times(exposure: Tensor) -> tuple[Tensor, Tensor]:
    """``exposure`` (N, 3): light of low, reference, high in any common unit.

    Returns t (3, N, 1, 1, 1), relative to the low exposure, and e (2, N): 0.1*log2 of low and high over the
    reference.
    """
    low, reference, high = exposure[:, 0:1], exposure[:, 1:2], exposure[:, 2:3]
    times = torch.cat([low / low, reference / low, high / low], dim=1)
    ev = EXPOSURE_SCALE * torch.log2(torch.cat([low / reference, high / reference], dim=1))
    return times.t().reshape(3, -1, 1, 1, 1), ev.t()


def pooled(features: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C) mean, in two steps: a plain sum over 540p overflows FP16."""
    return functional.avg_pool2d(features, 8).mean(dim=(2, 3))


class FeatureSelection(nn.Module):
    """FSB: the channels of the reference weighted by their own global mean. Shared over scales."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.describe = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, features: Tensor) -> Tensor:
        weights = torch.sigmoid(self.describe(pooled(features)))
        return features * weights[:, :, None, None]


class ExposureFeatureSelection(nn.Module):
    """EFSB: channels weighted by their global mean and the exposure step e. Shared over scales, low, high."""

    def __init__(self, width: int, ratio: float) -> None:
        super().__init__()
        embedded = max(1, round(width * ratio))
        self.describe = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.embed = nn.Sequential(nn.Linear(1, width), nn.ReLU(), nn.Linear(width, embedded))
        self.modulate = nn.Sequential(
            nn.Linear(width + embedded, 2 * width),
            nn.ReLU(),
            nn.Linear(2 * width, width),
            nn.ReLU(),
            nn.Linear(width, width),
        )

    def forward(self, features: Tensor, exposure_step: Tensor) -> Tensor:
        """``features`` (B, C, H, W), ``exposure_step`` (B, 1)."""
        own = torch.sigmoid(self.describe(pooled(features)))
        weights = torch.sigmoid(self.modulate(torch.cat([own, self.embed(exposure_step)], dim=1)))
        return features * weights[:, :, None, None]


class Stem(nn.Module):
    """Input channels of one exposure -> features at one or two scales.

    ``space_to_depth`` makes the second scale from the input again (the paper's stride-1 reading), ``stride``
    from the first.
    """

    def __init__(self, config: EafnetConfig) -> None:
        super().__init__()
        r, c = config.reduction, config.width
        self.reduction = r
        self.from_input = config.second_scale == "space_to_depth"
        self.first = nn.Conv2d(config.image_channels * r * r, c, 3, padding=1)
        self.second: nn.Conv2d | None = None
        if config.fusion_scales == 2 and self.from_input:
            self.second = nn.Conv2d(config.image_channels * 4 * r * r, c, 3, padding=1)
        elif config.fusion_scales == 2:
            self.second = nn.Conv2d(c, c, 3, stride=2, padding=1)

    def forward(self, image: Tensor) -> list[Tensor]:
        first = functional.relu(self.first(space_to_depth(image, self.reduction)))
        if self.second is None:
            return [first]
        source = space_to_depth(image, 2 * self.reduction) if self.from_input else first
        return [first, functional.relu(self.second(source))]
