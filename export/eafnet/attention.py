"""Asymmetric cross attention in windows, and the merging of each non-reference exposure (eqs. 7 to 10).

What depends on the low/high pair alone (keys, values and the guidance's share of the raw features) is made
by ``encode`` and can be kept for all reference frames that share the pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.eafnet.config import EafnetConfig
from export.eafnet.layout import KEYS, from_windows, to_windows

TEMPERATURE_START = 8.0
TEMPERATURE_LIMIT = 30.0


def unit(x: Tensor) -> Tensor:
    """``x`` scaled to length 1 along its last axis."""
    return x / (x.square().sum(dim=-1, keepdim=True) + 1e-6).sqrt()


class WindowAttention(nn.Module):
    """Eq. 7: A = softmax(((Q + K) C^-0.5) K^T) in 8x8 windows; single head, no shift, no position bias.

    As printed, attention stayed uniform early in training; with L2-normalised Q and K and a learned
    temperature the logits are bounded by twice the temperature. ``asymmetric`` False drops the "+ K".
    """

    def __init__(self, config: EafnetConfig) -> None:
        super().__init__()
        c = config.width
        self.query = nn.Conv2d(c, c, 1, bias=False)
        self.key = nn.Conv2d(c, c, 1, bias=False)
        self.value = nn.Conv2d(c, c, 1, bias=False)
        self.cosine = config.cosine_attention
        self.asymmetric = config.asymmetric
        self.width = c
        self.scale = c**-0.5
        self.temperature = nn.Parameter(torch.tensor(TEMPERATURE_START)) if self.cosine else None

    def encode(self, features: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """K and V of ``features`` (frames*N, C, H, W), each (frames, N*windows, 64, C); K as it is used."""
        keys = to_windows(self.key(features), frames, self.width)
        return (unit(keys) if self.cosine else keys), to_windows(self.value(features), frames, self.width)

    def forward(self, reference: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """``reference`` (N, C, H, W) -> attended windows like ``values``; A (frames, N*windows, 64, 64)."""
        query = to_windows(self.query(reference), 1, self.width)
        if self.cosine:
            query = unit(query)
        if self.asymmetric:
            query = query + keys
        scale = self.scale if self.temperature is None else self.temperature.clamp(max=TEMPERATURE_LIMIT)
        attention = torch.softmax((query * scale) @ keys.transpose(-1, -2), dim=-1)
        return attention @ values, attention


@dataclass(frozen=True, slots=True)
class PairFeatures:
    """Everything of a pair that no reference frame changes; ``frames`` is 2 where low and high share weights.

    ``keys``, ``values``: per attended scale (frames, N*windows, 64, C). ``guidance`` (frames*N, C, H, W): the
    raw features' share of eq. 8, or the raw features themselves where nothing is computed from them.
    """

    keys: list[Tensor]
    values: list[Tensor]
    guidance: Tensor | None

    def tensors(self) -> list[Tensor]:
        """Flat, in a fixed order: K and V per scale, then the guidance."""
        flat = [t for pair in zip(self.keys, self.values, strict=True) for t in pair]
        return flat if self.guidance is None else [*flat, self.guidance]

    @staticmethod
    def from_tensors(tensors: list[Tensor], scales: int) -> PairFeatures:
        """Inverse of ``tensors``."""
        guidance = tensors[2 * scales] if len(tensors) > 2 * scales else None
        return PairFeatures(tensors[0 : 2 * scales : 2], tensors[1 : 2 * scales : 2], guidance)


class Merging(nn.Module):
    """Eqs. 7-10 for one exposure, or for low and high as a batch of two (``frames``).

    Convolutions over a concatenation are written as sums of convolutions, which is the same function and
    lets the part that belongs to the reference (eq. 10) or to the pair (eq. 8) be computed once.

    Eq. 10 takes the reference's features raw, as equation and figure agree.
    """

    def __init__(self, config: EafnetConfig, frames: int) -> None:
        super().__init__()
        c, hidden = config.width, config.attention_width
        self.frames, self.width = frames, c
        self.ahdr = config.merging == "ahdr"
        self.scales = config.fusion_scales
        self.attended = config.attended_scales
        self.attend = nn.ModuleList(WindowAttention(config) for _ in self.attended)
        guided = self.scales == 2 and config.guidance != "none"
        self.concat_guidance = guided and config.guidance == "concat"
        # Added features would meet eq. 9's convolution over the same maps: one linear map, kept once.
        self.use_matrix = guided and config.guidance_source == "attention"
        self.use_psi = self.use_matrix or self.concat_guidance
        psi = (KEYS if self.use_matrix else c) // 4
        self.guide_raw = nn.Conv2d(c, c, 3, padding=1) if guided else None
        self.guide_psi = nn.Conv2d(psi, c, 3, padding=1, bias=False) if guided and self.use_psi else None
        shares = {0: c, 1: c // 4}
        joined = sum(shares[scale] for scale in self.attended) + (c if self.concat_guidance else 0)
        self.join = None if self.ahdr else nn.Conv2d(joined, c, 3, padding=1)
        self.compare_reference = nn.Conv2d(c, hidden, 3, padding=1)
        self.compare_other = nn.Conv2d(c, hidden, 3, padding=1, bias=False)
        self.weigh = nn.Conv2d(hidden, c, 3, padding=1)

    @property
    def keeps_raw(self) -> bool:
        """Whether ``encode`` gives a ``guidance`` tensor."""
        return self.ahdr or self.guide_raw is not None

    def encode(self, raw: list[Tensor], selected: list[Tensor]) -> PairFeatures:
        """``raw`` and exposure-``selected`` features of the pair, per scale (frames*N, C, H, W)."""
        if self.ahdr:
            return PairFeatures([], [], selected[0])
        attend = cast("list[WindowAttention]", list(self.attend))
        attended = [selected[scale] for scale in self.attended]
        encoded = [a.encode(f, self.frames) for a, f in zip(attend, attended, strict=True)]
        guidance = None if self.guide_raw is None else self.guide_raw(raw[0])
        return PairFeatures([k for k, _ in encoded], [v for _, v in encoded], guidance)

    def forward(self, raw: Tensor, selected: list[Tensor], pair: PairFeatures) -> Tensor:
        """Reference features (N, C, H, W) raw and selected per scale -> weighted f~ (frames*N, C, H, W)."""
        merged = self._merged(selected, pair)
        compared = self._for_each_frame(self.compare_reference(raw)) + self.compare_other(merged)
        weights = torch.sigmoid(self.weigh(functional.relu(compared)))
        return weights * merged

    def _merged(self, selected: list[Tensor], pair: PairFeatures) -> Tensor:
        if self.join is None:
            assert pair.guidance is not None
            return pair.guidance
        attended, parts, matrix = [], [], None
        for scale, attend, keys, values in zip(
            self.attended, self.attend, pair.keys, pair.values, strict=True
        ):
            windows, matrix = attend(selected[scale], keys, values)
            attended.append(from_windows(windows, selected[scale], self.frames, self.width))
            parts.append(attended[-1] if scale == 0 else functional.pixel_shuffle(attended[-1], 2))
        guidance = pair.guidance
        if guidance is not None and self.guide_psi is not None:
            assert matrix is not None
            psi = attended[-1]
            if self.use_matrix:
                psi = from_windows(matrix, selected[-1], self.frames, KEYS)
            guidance = guidance + self.guide_psi(functional.pixel_shuffle(psi, 2))
        if guidance is not None and self.concat_guidance:
            parts.append(guidance)
        joined: Tensor = self.join(torch.cat(parts, dim=1))
        return joined if guidance is None or self.concat_guidance else joined + guidance

    def _for_each_frame(self, x: Tensor) -> Tensor:
        """(N, ...) -> (frames*N, ...); an exported graph (N = 1) broadcasts instead."""
        return x if self.frames == 1 or torch.onnx.is_in_onnx_export() else x.repeat(self.frames, 1, 1, 1)
