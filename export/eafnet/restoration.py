"""Restoration at three scales: LDPB, LFE and the learnable bandpass filters (LBF), eq. 11.

Haar transforms and LBFs are linear, so they fold into the convolutions beside them. The folding happens on
the weights in every training step (the gradients are those of the unfolded network, at a third of the cost
over the pixels) and for good in ``freeze`` before export.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.eafnet.config import EafnetConfig
from export.eafnet.layout import HAAR, space_to_depth

DCT_SIDE = 8


def inverse_dct_matrix() -> Tensor:
    """Orthonormal 8x8 inverse DCT as (64 pixels, 64 coefficients): row 8i+j, column 8u+v."""
    n = DCT_SIDE
    basis = torch.tensor(
        [
            [
                math.sqrt((1 if u == 0 else 2) / n) * math.cos((2 * i + 1) * u * math.pi / (2 * n))
                for u in range(n)
            ]
            for i in range(n)
        ]
    )
    return torch.kron(basis, basis)


INVERSE_DCT = inverse_dct_matrix()


def fold_haar_before(weight: Tensor) -> Tensor:
    """Kernel on Haar bands (O, 4C, k, k) -> the same on ``space_to_depth(x, 2)``."""
    o, c4, k, _ = weight.shape
    bands = weight.reshape(o, 4, c4 // 4, k, k)
    return torch.einsum("obcxy,bp->opcxy", bands, HAAR.to(weight)).reshape(o, c4, k, k)


def fold_haar_after(weight: Tensor) -> Tensor:
    """Kernel or bias giving Haar bands (4C, ...) -> giving pixels in ``pixel_shuffle`` order."""
    bands = weight.reshape(4, weight.shape[0] // 4, -1)
    pixels = torch.einsum("bcr,bp->cpr", bands, HAAR.to(weight))
    return pixels.reshape(weight.shape)


class FoldedConv(nn.Module):
    """A convolution whose kernel is made from parameters; ``freeze`` keeps the kernel and drops them."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen: nn.ParameterList | None = None

    def kernel(self) -> tuple[Tensor, Tensor]:
        """Weight and bias as used over the pixels."""
        raise NotImplementedError

    def freeze(self) -> None:
        """Replace the parameters by the kernel they make. Exact up to rounding (about 1e-7)."""
        weight, bias = (t.detach().clone() for t in self.kernel())
        for name in [n for n, _ in self.named_parameters(recurse=False)]:
            delattr(self, name)
        for name in [n for n, _ in self.named_children()]:
            delattr(self, name)
        self.frozen = nn.ParameterList([nn.Parameter(t, requires_grad=False) for t in (weight, bias)])

    def convolve(self, x: Tensor) -> Tensor:
        weight, bias = (self.frozen[0], self.frozen[1]) if self.frozen is not None else self.kernel()
        return functional.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


class HaarConv(FoldedConv):
    """Haar, then a 3x3 convolution 4C -> C. (B, C, H, W) -> (B, C, H/2, W/2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4 * width, width, 3, padding=1)

    def kernel(self) -> tuple[Tensor, Tensor]:
        assert self.conv.bias is not None
        return fold_haar_before(self.conv.weight), self.conv.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(space_to_depth(x, 2))


class BandpassFilters(FoldedConv):
    """LBFs, one per sub-band: 3x3 -> 64 coefficients, a learnable weight each, inverse DCT, 1x1 -> C.

    With ``bands`` 4 the inverse Haar follows: (B, I, H, W) -> (B, C, 2H, 2W). With 1 there is none.
    """

    def __init__(self, inputs: int, width: int, bands: int) -> None:
        super().__init__()
        n = DCT_SIDE * DCT_SIDE
        self.bands, self.inputs, self.width = bands, inputs, width
        self.predict = nn.Conv2d(inputs, bands * n, 3, padding=1)
        self.weights = nn.Parameter(torch.ones(bands, n))
        self.project = nn.Conv2d(bands * n, bands * width, 1, groups=bands)

    def kernel(self) -> tuple[Tensor, Tensor]:
        n = DCT_SIDE * DCT_SIDE
        assert self.predict.bias is not None
        assert self.project.bias is not None
        project = self.project.weight.reshape(self.bands, self.width, n)
        filters = project @ (INVERSE_DCT.to(project) * self.weights[:, None, :])
        weight = filters @ self.predict.weight.reshape(self.bands, n, -1)
        bias = (filters @ self.predict.bias.reshape(self.bands, n, 1)).reshape(-1) + self.project.bias
        weight = weight.reshape(self.bands * self.width, self.inputs, 3, 3)
        return (weight, bias) if self.bands == 1 else (fold_haar_after(weight), fold_haar_after(bias))

    def forward(self, x: Tensor) -> Tensor:
        y = self.convolve(x)
        return y if self.bands == 1 else functional.pixel_shuffle(y, 2)


class DensePrediction(nn.Module):
    """LDPB: Haar -> 3x3 -> dilated dense block -> LBF per sub-band -> inverse Haar -> + input."""

    def __init__(self, config: EafnetConfig) -> None:
        super().__init__()
        c = config.width
        self.enter = HaarConv(c) if config.dwt else nn.Conv2d(c, c, 3, padding=1)
        self.dense = nn.ModuleList(
            nn.Conv2d(c + i * config.growth, config.growth, 3, padding=d, dilation=d)
            for i, d in enumerate(config.dilations)
        )
        self.filters = BandpassFilters(
            c + len(config.dilations) * config.growth, c, bands=4 if config.dwt else 1
        )

    def forward(self, x: Tensor) -> Tensor:
        features = functional.relu(self.enter(x))
        for conv in self.dense:
            features = torch.cat([features, functional.relu(conv(features))], dim=1)
        out: Tensor = x + self.filters(features)
        return out


class LightFeatures(FoldedConv):
    """LFE: f + IHaar(1x1 (Haar f)), linear; without wavelets f + 1x1 f."""

    def __init__(self, config: EafnetConfig) -> None:
        super().__init__()
        self.dwt = config.dwt
        channels = config.width * (4 if config.dwt else 1)
        self.conv = nn.Conv2d(channels, channels, 1)

    def kernel(self) -> tuple[Tensor, Tensor]:
        weight, bias = self.conv.weight, self.conv.bias
        assert bias is not None
        if not self.dwt:
            return weight, bias
        return fold_haar_after(fold_haar_before(weight)), fold_haar_after(bias)

    def forward(self, x: Tensor) -> Tensor:
        if not self.dwt:
            return x + self.convolve(x)
        return x + functional.pixel_shuffle(self.convolve(space_to_depth(x, 2)), 2)


class Restoration(nn.Module):
    """Eq. 11: LDPB at x1, LFE at x2 and x4 behind stride-2 convolutions, added up through U.

    U is a 1x1 convolution C -> 4C and a pixel shuffle; the coarse scales are summed first (U(x4) onto x2).
    """

    def __init__(self, config: EafnetConfig) -> None:
        super().__init__()
        c = config.width
        self.predict = DensePrediction(config)
        steps = 2 if config.multiscale else 0
        self.down = nn.ModuleList(nn.Conv2d(c, c, 3, stride=2, padding=1) for _ in range(steps))
        self.extract = nn.ModuleList(LightFeatures(config) for _ in range(steps))
        self.up = nn.ModuleList(nn.Conv2d(c, 4 * c, 1) for _ in range(steps))

    def forward(self, x: Tensor) -> Tensor:
        levels = [self.predict(x)]
        for down, extract in zip(self.down, self.extract, strict=True):
            levels.append(extract(functional.relu(down(levels[-1]))))
        out: Tensor = levels.pop()
        for up in reversed(self.up):
            out = levels.pop() + functional.pixel_shuffle(up(out), 2)
        return out
