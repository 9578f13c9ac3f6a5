"""EAFNet: one reference frame and one low/high pair become one HDR frame.

    pair = net.encode_pair(low, high, exposure, mean)        # once per pair
    hdr = net.fuse(reference, low, high, exposure, pair)     # per reference frame

All images are (N, 3, H, W) float32 *linear* sensor values in [0, 1], H and W multiples of
``config.multiple``; ``exposure`` (N, 3) is the light of low, reference and high in a common unit and
``mean`` (N, 3) their full-frame means in the gamma domain, order low, reference, high everywhere. The answer
lies in [0, 1], 1.0 being what saturates the low exposure; times exposure[1] / exposure[0] it is radiance in
reference units.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.eafnet.attention import Merging, PairFeatures
from export.eafnet.config import EafnetConfig
from export.eafnet.prealign import (
    ExposureFeatureSelection,
    FeatureSelection,
    Prealigned,
    Stem,
    luminance_gain,
    prealign,
    relative_times,
)
from export.eafnet.restoration import FoldedConv, Restoration
from export.eafnet.start import blend, clipping_weight, logit, steady_blend

LOGIT_SCALE = 0.125
"""Brings the skip's logit (-11.8 .. 6.9) to the range of the head's other inputs."""


class Head(nn.Module):
    """Features back to full resolution, with the exposures themselves beside them; gives a logit.

    At reduction 1 without a head width it is the paper's single 3x3. The last convolution starts at zero:
    an untrained network answers with its skip. With the blend skip the head also sees L_l and H_l, so that
    ghosts in the highlights can be undone at full resolution, and the skip's logit (a linear filter on it
    is a denoiser in the log domain).
    """

    def __init__(self, config: EafnetConfig) -> None:
        super().__init__()
        self.reduction = config.reduction
        if config.head_width == 0:
            self.expand = self.mix = None
            self.last = nn.Conv2d(config.width, 3, 3, padding=1)
        else:
            extra = {"none": 6, "reference": 6, "blend": 15, "steady": 15}[config.skip] + 6 * config.sees_high
            self.expand = nn.Conv2d(config.width, config.head_width * self.reduction**2, 1)
            self.mix = nn.Conv2d(config.head_width + extra, config.head_width, 3, padding=1)
            self.last = nn.Conv2d(config.head_width, 3, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def forward(self, features: Tensor, beside: list[Tensor]) -> Tensor:
        if self.expand is not None and self.mix is not None:
            full = functional.pixel_shuffle(self.expand(features), self.reduction)
            features = functional.relu(self.mix(torch.cat([full, *beside], dim=1)))
        out: Tensor = self.last(features)
        return out


class Eafnet(nn.Module):
    """The network of ``config``; see the module docstring for shapes and units."""

    def __init__(self, config: EafnetConfig) -> None:
        super().__init__()
        self.config = config
        c = config.width
        sides = 1 if config.shared_pair else 2
        self.frames = 2 // sides
        self.reference_inputs = config.inputs
        self.reference_stem = Stem(config)
        self.pair_stems = nn.ModuleList(Stem(config) for _ in range(sides))
        self.select = FeatureSelection(c) if config.efsm and config.fusion_scales else None
        self.select_pair = ExposureFeatureSelection(c, config.modulation_ratio) if config.efsm else None
        self.merge = nn.ModuleList(Merging(config, self.frames) for _ in range(sides))
        k = config.opening_kernel
        # A network about to be exported has these rearranged (export.graphs.deploy).
        self.opening: nn.Module = nn.Conv2d(3 * c, c, k, padding=k // 2)
        self.restore: nn.Module = Restoration(config)
        self.head: nn.Module = Head(config)

    def forward(self, low: Tensor, reference: Tensor, high: Tensor, exposure: Tensor, mean: Tensor) -> Tensor:
        """Whole network: (N, 3, H, W) in [0, 1], 1.0 saturates the low exposure."""
        return self.fuse(reference, low, high, exposure, self.encode_pair(low, high, exposure, mean))

    def encode_pair(self, low: Tensor, high: Tensor, exposure: Tensor, mean: Tensor) -> list[PairFeatures]:
        """What no reference frame changes: one entry where low and high share weights, else low, high."""
        times, steps = relative_times(exposure)
        gains = luminance_gain(mean[:, 1:2], torch.cat([mean[:, 0:1], mean[:, 2:3]], dim=1))
        gains = gains.t().reshape(2, -1, 1, 1, 1)
        images = [
            prealign(image, times[t], gains[side]).channels(self.config.inputs)
            for side, (image, t) in enumerate(((low, 0), (high, 2)))
        ]
        if self.frames == 2:
            batches, ev = [torch.cat(images)], [steps.reshape(-1, 1)]
        else:
            batches, ev = images, [steps[0].reshape(-1, 1), steps[1].reshape(-1, 1)]
        pairs = []
        merges = cast("list[Merging]", list(self.merge))
        for stem, merge, image, step in zip(self.pair_stems, merges, batches, ev, strict=True):
            raw = stem(image)
            selected = raw if self.select_pair is None else [self.select_pair(f, step) for f in raw]
            pairs.append(merge.encode(raw, selected))
        return pairs

    def fuse(
        self, reference: Tensor, low: Tensor, high: Tensor, exposure: Tensor, pair: list[PairFeatures]
    ) -> Tensor:
        """One reference frame with a pair's features; ``low`` and ``high`` only feed skip and head."""
        times, _ = relative_times(exposure)
        seen = prealign(reference, times[1])
        raw = self.reference_stem(seen.channels(self.reference_inputs))
        selected = raw if self.select is None else [self.select(f) for f in raw]
        merged = [merge(raw[0], selected, p) for merge, p in zip(self.merge, pair, strict=True)]
        if self.frames == 2:
            n = 1 if torch.onnx.is_in_onnx_export() else reference.shape[0]
            merged = [merged[0][:n], merged[0][n:]]
        maps = [merged[0], raw[0], merged[1]]
        one = isinstance(self.opening, nn.Conv2d)
        opened = self.opening(torch.cat(maps, dim=1)) if one else self.opening(maps)
        features = self.restore(functional.relu(opened))
        return self._finish(features, seen, prealign(low), prealign(high, times[2]), times)

    def _finish(
        self, features: Tensor, seen: Prealigned, low: Prealigned, high: Prealigned, times: Tensor
    ) -> Tensor:
        beside = [seen.gamma, seen.radiance]
        if self.config.skip == "none":
            return torch.sigmoid(self.head(features, beside))
        if self.config.skip == "reference":
            start = logit(seen.radiance)
        else:
            ramp = self.config.blend_ramp
            steady = self.config.skip == "steady"
            start = logit(steady_blend(seen, low, high, ramp, times) if steady else blend(seen, low, ramp))
            beside += [low.gamma, low.radiance, LOGIT_SCALE * start]
        if self.config.sees_high:
            usable = 1.0 - clipping_weight(high.gamma, self.config.blend_ramp)
            beside += [high.gamma, LOGIT_SCALE * usable * (logit(high.radiance) - start)]
        return torch.sigmoid(start + self.head(features, beside))

    def freeze(self) -> Eafnet:
        """Fold wavelets and bandpass filters into their convolutions, in place, for export."""
        for module in self.modules():
            if isinstance(module, FoldedConv) and module.frozen is None:
                module.freeze()
        return self.eval()
