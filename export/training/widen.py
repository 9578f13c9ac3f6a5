"""Start a wide network from a narrow trained one: the same function, with room to learn more.

Net2WiderNet (Chen, Goodfellow, Shlens, "Net2Net: Accelerating Learning via Knowledge Transfer", ICLR 2016):
every new channel is a copy of an old one, and what reads the copies of a channel shares its weight out among
them. Which new channel copies which old one is the remainder ``new % old`` everywhere: pixel shuffles,
wavelet bands and concatenations then map onto themselves.

Copies that were read with equal weights would get equal gradients and stay copies for ever. The shares are
therefore made unequal by noise that sums to zero over the copies of each channel, for every reader another:
as long as the copies agree it cancels exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn

from export.eafnet.attention import Merging, WindowAttention
from export.eafnet.config import EafnetConfig
from export.eafnet.layout import KEYS
from export.eafnet.model import Eafnet, Head
from export.eafnet.prealign import ExposureFeatureSelection, FeatureSelection, Stem
from export.eafnet.restoration import DCT_SIDE, BandpassFilters, HaarConv, LightFeatures, Restoration

Copies: TypeAlias = Tensor
"""(new channels,) int64: the old channel that each new one copies."""

WIDTHS = frozenset({"name", "width", "growth", "attention_width", "head_width", "head_high"})
"""What may grow from the narrow to the wide network; inputs that its head did not see enter with weight 0."""


def widen(small: Eafnet, config: EafnetConfig, noise: float = 0.25, seed: int = 0) -> Eafnet:
    """The network of ``config`` that computes what ``small`` does, up to rounding, in training mode.

    ``noise``: deviation of what sets the copies apart, in units of the rms of the weights it is added to; it
    leaves the function as it is. Raises ValueError where ``config`` is no wider version of ``small``'s, or
    ``small`` is frozen.
    """
    _check(small, config)
    wide = Eafnet(config)
    _Widening(small, wide, noise, torch.Generator().manual_seed(seed)).network()
    return wide


def _check(small: Eafnet, config: EafnetConfig) -> None:
    old = small.config
    differing = [
        f"{f.name} ({getattr(old, f.name)} and {getattr(config, f.name)})"
        for f in fields(config)
        if f.name not in WIDTHS and getattr(old, f.name) != getattr(config, f.name)
    ]
    if differing:
        raise ValueError(
            f"EAFNet-{old.name.upper()} cannot be widened to EAFNet-{config.name.upper()}: they differ in "
            f"{', '.join(differing)}, and widening changes widths alone (S and M are such a pair)"
        )
    for name in (f.name for f in fields(config) if f.name in WIDTHS - {"name"}):
        if getattr(config, name) < getattr(old, name):
            raise ValueError(
                f"widening needs {name} >= {getattr(old, name)}, and EAFNet-{config.name.upper()} "
                f"has {getattr(config, name)}"
            )
    if any(name.split(".")[-2:-1] == ["frozen"] for name in small.state_dict()):
        raise ValueError("a frozen network cannot be widened: load its weights as they were trained")


def copies(old: int, new: int) -> Copies:
    """The plain map: new channel ``i`` copies old channel ``i % old``."""
    return torch.arange(new) % old


def joined(parts: Sequence[tuple[Copies, int]]) -> Copies:
    """Map of a concatenation of (map, old channels)."""
    offsets = [sum(old for _, old in parts[:i]) for i in range(len(parts))]
    return torch.cat([m + offset for (m, _), offset in zip(parts, offsets, strict=True)])


def blocked(channel: Copies, old: int, blocks: int) -> Copies:
    """Map of ``blocks`` blocks of channels one after the other (wavelet bands, space-to-depth)."""
    return joined([(channel, old)] * blocks)


def interleaved(channel: Copies, positions: int) -> Copies:
    """Map of what a pixel shuffle reads: channel ``c * positions + p``."""
    return (channel[:, None] * positions + torch.arange(positions)).reshape(-1)


class _Widening:
    """Fills ``wide`` from ``small``, module by module; the maps of both networks' widths."""

    def __init__(self, small: Eafnet, wide: Eafnet, noise: float, generator: torch.Generator) -> None:
        self.small, self.wide, self.noise, self.generator = small, wide, noise, generator
        self.old, new = small.config, wide.config
        self.c = copies(self.old.width, new.width)
        self.grown = copies(self.old.growth, new.growth)
        self.hidden = copies(self.old.attention_width, new.attention_width)
        self.head = copies(self.old.head_width, new.head_width) if self.old.head_width else None

    def network(self) -> None:
        pairs = zip(self.small.named_modules(), self.wide.modules(), strict=True)
        handlers = {
            Stem: self._stem,
            FeatureSelection: self._selection,
            ExposureFeatureSelection: self._exposure_selection,
            Merging: self._merging,
            WindowAttention: self._attention,
            Restoration: self._restoration,
            HaarConv: self._haar,
            BandpassFilters: self._bandpass,
            LightFeatures: self._light,
            Head: self._head,
        }
        for (_, old), new in pairs:
            handler = handlers.get(type(old))
            if handler is not None:
                handler(old, new)  # type: ignore[operator]
        c, w = self.c, self.old.width
        self._layer(self.small.opening, self.wide.opening, c, blocked(c, w, 3))

    @torch.no_grad()
    def _layer(
        self,
        old: nn.Module | None,
        new: nn.Module | None,
        rows: Copies | None,
        columns: Copies | None,
        row_gain: Tensor | None = None,
    ) -> None:
        """One convolution or linear layer; a map of None is a side that is not widened."""
        if old is None or new is None:
            return
        source, target = cast("nn.Conv2d", old), cast("nn.Conv2d", new)
        weight, bias = source.weight, source.bias
        if rows is not None:
            weight = weight[rows]
            bias = None if bias is None else bias[rows]
        if columns is not None:
            weight = self._share_out(weight, columns)
        if row_gain is not None:
            weight = weight * row_gain.reshape(-1, *[1] * (weight.dim() - 1))
        target.weight.zero_()
        target.weight[:, : weight.shape[1]].copy_(weight)
        if bias is not None and target.bias is not None:
            target.bias.copy_(bias)

    def _share_out(self, weight: Tensor, columns: Copies) -> Tensor:
        """``weight`` (O, old, ...) -> (O, new, ...): each column's copies sum to it."""
        old = weight.shape[1]
        number = torch.bincount(columns, minlength=old)
        shape = (1, -1, *[1] * (weight.dim() - 2))
        wide = weight[:, columns] / number[columns].reshape(shape)
        drawn = torch.randn(wide.shape, generator=self.generator)
        total = torch.zeros_like(weight).index_add_(1, columns, drawn)
        drawn -= (total / number.reshape(shape))[:, columns]
        return wide + self.noise * float(wide.square().mean().sqrt()) * drawn

    def _stem(self, old: Stem, new: Stem) -> None:
        self._layer(old.first, new.first, self.c, None)
        self._layer(old.second, new.second, self.c, None if old.from_input else self.c)

    def _sequence(self, old: nn.Sequential, new: nn.Sequential, maps: Sequence[Copies | None]) -> None:
        layers = [(a, b) for a, b in zip(old, new, strict=True) if isinstance(a, nn.Linear)]
        for (a, b), columns, rows in zip(layers, maps[:-1], maps[1:], strict=True):
            self._layer(a, b, rows, columns)

    def _selection(self, old: FeatureSelection, new: FeatureSelection) -> None:
        self._sequence(old.describe, new.describe, [self.c, self.c, self.c])

    def _exposure_selection(self, old: ExposureFeatureSelection, new: ExposureFeatureSelection) -> None:
        c, w = self.c, self.old.width
        embedded = cast("nn.Linear", old.embed[-1]).out_features
        embedding = copies(embedded, cast("nn.Linear", new.embed[-1]).out_features)
        double = copies(2 * w, 2 * self.wide.config.width)
        self._sequence(old.describe, new.describe, [c, c, c])
        self._sequence(old.embed, new.embed, [None, c, embedding])
        self._sequence(old.modulate, new.modulate, [joined([(c, w), (embedding, embedded)]), double, c, c])

    def _attention(self, old: WindowAttention, new: WindowAttention) -> None:
        """Q and K shrink by the root of the number of copies: their products, and lengths, stay."""
        gain = torch.bincount(self.c)[self.c].rsqrt()
        if not old.cosine:
            gain = gain * (old.scale / new.scale) ** 0.5
        self._layer(old.query, new.query, self.c, self.c, gain)
        self._layer(old.key, new.key, self.c, self.c, gain)
        self._layer(old.value, new.value, self.c, self.c)
        if old.temperature is not None and new.temperature is not None:
            new.temperature.data.copy_(old.temperature.data)

    def _merging(self, old: Merging, new: Merging) -> None:
        c, w = self.c, self.old.width
        quarter = copies(w // 4, self.wide.config.width // 4)
        shares = {0: (c, w), 1: (quarter, w // 4)}
        parts = [shares[scale] for scale in old.attended]
        if old.concat_guidance:
            parts.append((c, w))
        self._layer(old.guide_raw, new.guide_raw, c, c)
        self._layer(
            old.guide_psi, new.guide_psi, c, copies(KEYS // 4, KEYS // 4) if old.use_matrix else quarter
        )
        if old.join is not None:
            self._layer(old.join, new.join, c, joined(parts))
        self._layer(old.compare_reference, new.compare_reference, self.hidden, c)
        self._layer(old.compare_other, new.compare_other, self.hidden, c)
        self._layer(old.weigh, new.weigh, c, self.hidden)

    def _restoration(self, old: Restoration, new: Restoration) -> None:
        c = self.c
        dense = [(c, self.old.width)]
        if not isinstance(old.predict.enter, HaarConv):
            self._layer(old.predict.enter, new.predict.enter, c, c)
        for a, b in zip(old.predict.dense, new.predict.dense, strict=True):
            self._layer(a, b, self.grown, joined(dense))
            dense.append((self.grown, self.old.growth))
        for a, b in zip(old.down, new.down, strict=True):
            self._layer(a, b, c, c)
        for a, b in zip(old.up, new.up, strict=True):
            self._layer(a, b, interleaved(c, 4), c)

    def _haar(self, old: HaarConv, new: HaarConv) -> None:
        self._layer(old.conv, new.conv, self.c, blocked(self.c, self.old.width, 4))

    def _bandpass(self, old: BandpassFilters, new: BandpassFilters) -> None:
        """The 64 coefficients of each band stay 64; what they read and what they make widens."""
        depth = (old.inputs - self.old.width) // self.old.growth
        read = joined([(self.c, self.old.width), *[(self.grown, self.old.growth)] * depth])
        self._layer(old.predict, new.predict, None, read)
        new.weights.data.copy_(old.weights.data)
        self._layer(old.project, new.project, blocked(self.c, self.old.width, old.bands), None)
        assert old.project.in_channels == old.bands * DCT_SIDE**2

    def _light(self, old: LightFeatures, new: LightFeatures) -> None:
        bands = blocked(self.c, self.old.width, 4 if old.dwt else 1)
        self._layer(old.conv, new.conv, bands, bands)

    def _head(self, old: Head, new: Head) -> None:
        if old.expand is None or old.mix is None or self.head is None:
            self._layer(old.last, new.last, None, self.c)
            return
        beside = old.mix.in_channels - self.old.head_width
        mixed = joined([(self.head, self.old.head_width), (copies(beside, beside), beside)])
        self._layer(old.expand, new.expand, interleaved(self.head, old.reduction**2), self.c)
        self._layer(old.mix, new.mix, self.head, mixed)
        self._layer(old.last, new.last, None, self.head)
