"""A folded network rearranged for the machine that runs it: the same function, with fewer moves of memory.

Between convolutions EAFNet moves its maps: two frames in one batch are cut apart and joined again, and
wavelets leave pixel shuffles behind. Here

- low and high are two branches with the same weights, so that nothing is cut out of a batch, and what one
  convolution adds to another stays where it is;
- the convolution over (low, reference, high) is a sum of three;
- the restoration stays in blocks of 2x2 pixels (4C channels at half size), in which the folded wavelets
  compute anyway: no map of full size is shuffled, and the head shuffles once;
- the reference's G is its L (equation 2 has a gain for low and high only): one convolution sees it once.

Every step is exact up to rounding. ``export.graphs.to_onnx`` writes networks in this form; nothing trains so.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.eafnet.attention import Merging
from export.eafnet.layout import space_to_depth
from export.eafnet.model import Eafnet, Head
from export.eafnet.prealign import Stem
from export.eafnet.restoration import FoldedConv, LightFeatures, Restoration

PHASES = ((0, 0), (0, 1), (1, 0), (1, 1))
"""(row, column) of the pixels of a 2x2 block, in the order in which ``space_to_depth`` stacks them."""


def deployed(net: Eafnet) -> Eafnet:
    """``net`` (frozen; it is changed) in the form described above, where it has the parts that change.

    Its restoration then answers in blocks, so it runs as a whole only.
    """
    if net.frames == 2:
        cast("Merging", net.merge[0]).frames = 1
        net.frames = 1
        net.merge = nn.ModuleList([net.merge[0], net.merge[0]])
        net.pair_stems = nn.ModuleList([net.pair_stems[0], net.pair_stems[0]])
    kinds = net.config.inputs
    if "L" in kinds and "G" in kinds:
        net.reference_inputs = tuple(kind for kind in kinds if kind != "G")
        _see_g_as_l(net.reference_stem, kinds.index("L"), kinds.index("G"), len(kinds))
    net.opening = OpeningSum(cast("nn.Conv2d", net.opening))
    if net.config.dwt:
        net.restore = BlockRestoration(cast("Restoration", net.restore))
        net.head = BlockHead(cast("Head", net.head))
    return net


def _conv(weight: Tensor, bias: Tensor | None, **how: Any) -> nn.Conv2d:
    outputs, inputs, *kernel = weight.shape
    side = (kernel[0], kernel[1])
    conv = nn.Conv2d(inputs * how.get("groups", 1), outputs, side, bias=bias is not None, **how)
    conv.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    if bias is not None:
        conv.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return conv


def _see_g_as_l(stem: Stem, l_at: int, g_at: int, kinds: int) -> None:
    """Take G's channels out of convolutions over space-to-depth'd inputs; their weights go to L's."""
    for name, conv in (("first", stem.first), ("second", stem.second if stem.from_input else None)):
        if conv is None:
            continue
        o, channels, k, _ = conv.weight.shape
        by_kind = conv.weight.detach().reshape(o, channels // (3 * kinds), kinds, 3, k, k).clone()
        by_kind[:, :, l_at] += by_kind[:, :, g_at]
        rest = [kind for kind in range(kinds) if kind != g_at]
        setattr(stem, name, _conv(by_kind[:, :, rest].reshape(o, -1, k, k), conv.bias, padding=k // 2))


class OpeningSum(nn.Module):
    """The convolution over (low, reference, high) as a sum of three."""

    def __init__(self, opening: nn.Conv2d) -> None:
        super().__init__()
        weights = opening.weight.chunk(3, dim=1)
        pad = opening.weight.shape[-1] // 2
        biases = (None, opening.bias, None)
        self.parts = nn.ModuleList(_conv(w, b, padding=pad) for w, b in zip(weights, biases, strict=True))

    def forward(self, maps: list[Tensor]) -> Tensor:
        low, reference, high = (part(x) for part, x in zip(self.parts, maps, strict=True))
        return cast("Tensor", reference + low + high)


def in_blocks(kernel: Tensor) -> Tensor:
    """Outputs of a kernel or bias from ``pixel_shuffle`` order (c, phase) to that of blocks (phase, c)."""
    return kernel.reshape(-1, 4, *kernel.shape[1:]).transpose(0, 1).reshape(kernel.shape)


def stride_in_blocks(weight: Tensor) -> Tensor:
    """3x3 stride-2 kernel (O, C, 3, 3), padding 1, as 2x2 kernel on blocks (O, 4C, 2, 2), padded top left.

    Offset -1 is the last row of the block before; 0 and 1 are the rows of this one.
    """
    o, c = weight.shape[:2]
    blocks = weight.new_zeros(o, 4, c, 2, 2)
    for row in range(3):
        for column in range(3):
            (i, p), (j, q) = (divmod(row + 1, 2), divmod(column + 1, 2))
            blocks[:, 2 * p + q, :, i, j] = weight[:, :, row, column]
    return blocks.reshape(o, 4 * c, 2, 2)


def block_pixels(blocks: Tensor) -> Tensor:
    """Inverse of ``space_to_depth(x, 2)``."""
    out: Tensor = _DepthToSpace.apply(blocks, 2)  # type: ignore[no-untyped-call]
    return out


class DownInBlocks(nn.Module):
    """A 3x3 convolution with stride 2 on blocks (B, 4C, H, W) -> (B, C, H, W), H and W being its answer's."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        assert conv.bias is not None
        self.weight = nn.Parameter(stride_in_blocks(conv.weight.detach()), requires_grad=False)
        self.bias = nn.Parameter(conv.bias.detach().clone(), requires_grad=False)

    def forward(self, blocks: Tensor) -> Tensor:
        out: Tensor = _ConvPaddedTopLeft.apply(blocks, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return out


class BlockRestoration(nn.Module):
    """``Restoration`` with wavelets, (B, C, H, W) -> blocks (B, 4C, H/2, W/2)."""

    def __init__(self, restore: Restoration) -> None:
        super().__init__()
        predict = restore.predict
        self.enter = _same(cast("FoldedConv", predict.enter))
        self.dense = predict.dense
        weight, bias = _frozen(predict.filters)
        self.filters = _conv(in_blocks(weight), in_blocks(bias), padding=1)
        self.down = nn.ModuleList(DownInBlocks(cast("nn.Conv2d", down)) for down in restore.down)
        self.extract = nn.ModuleList(_light(cast("LightFeatures", e)) for e in restore.extract)
        ups = [cast("nn.Conv2d", up) for up in restore.up]
        self.up = nn.ModuleList(_conv(in_blocks(u.weight), in_blocks(cast("Tensor", u.bias))) for u in ups)

    def forward(self, x: Tensor) -> Tensor:
        blocks = space_to_depth(x, 2)
        features = functional.relu(self.enter(blocks))
        for conv in self.dense:
            features = torch.cat([features, functional.relu(conv(features))], dim=1)
        levels: list[Tensor] = [blocks + self.filters(features)]
        for down, extract in zip(self.down, self.extract, strict=True):
            levels.append(extract(space_to_depth(functional.relu(down(levels[-1])), 2)))
        out = levels.pop()
        for up in reversed(self.up):
            out = levels.pop() + up(block_pixels(out))
        return out


def _frozen(conv: FoldedConv) -> tuple[Tensor, Tensor]:
    if conv.frozen is None:
        raise ValueError("the network is not frozen: call freeze() first")
    return conv.frozen[0].detach(), conv.frozen[1].detach()


def _same(conv: FoldedConv) -> nn.Conv2d:
    weight, bias = _frozen(conv)
    return _conv(weight, bias, padding=weight.shape[-1] // 2)


def _light(extract: LightFeatures) -> nn.Conv2d:
    """f + IHaar(1x1(Haar f)) on blocks: one 1x1 convolution, the sum with f on its diagonal."""
    weight, bias = (in_blocks(t) for t in _frozen(extract))
    return _conv(weight + torch.eye(weight.shape[0])[:, :, None, None], bias)


class BlockHead(nn.Module):
    """``Head`` on blocks. Its 1x1 convolution gives all pixels of a block, which one shuffle lays out.

    A shuffle by 2r wants (block row, row within, block column, column within, channel); a convolution in
    groups can only have the block row in front, so each group sees both columns and half its kernel is zero.
    """

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.side = 2 * head.reduction
        self.mix, self.last = head.mix, head.last
        self.expand = None if head.expand is None else _expand_blocks(head.expand, head.reduction)

    def forward(self, blocks: Tensor, beside: list[Tensor]) -> Tensor:
        if self.expand is None or self.mix is None:
            return cast("Tensor", self.last(block_pixels(blocks)))
        full: Tensor = _DepthToSpace.apply(self.expand(blocks), self.side)  # type: ignore[no-untyped-call]
        return cast("Tensor", self.last(functional.relu(self.mix(torch.cat([full, *beside], dim=1)))))


def _expand_blocks(expand: nn.Conv2d, r: int) -> nn.Conv2d:
    outputs, c = expand.weight.shape[:2]
    width = outputs // (r * r)
    single = expand.weight.detach().reshape(width, r, r, c).permute(1, 2, 0, 3)  # (row, column, out, in)
    group = single.new_zeros(r, 2, r, width, 2, c)  # row within, block column, column within, out; column, in
    for column in range(2):
        group[:, column, :, :, column] = single
    weight = group.reshape(-1, 2 * c, 1, 1).repeat(2, 1, 1, 1)
    assert expand.bias is not None
    bias = expand.bias.detach().reshape(width, r, r).permute(1, 2, 0)  # (row, column, out)
    bias = bias[:, None].expand(r, 2, r, width).reshape(-1).repeat(2)
    return _conv(weight, bias, groups=2)


class _DepthToSpace(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, r: int) -> Tensor:
        b, c, h, w = x.shape
        pixels = x.reshape(b, r, r, c // (r * r), h, w).permute(0, 3, 4, 1, 5, 2)
        return pixels.reshape(b, c // (r * r), h * r, w * r)

    @staticmethod
    def symbolic(g: Any, x: Any, r: int) -> Any:
        return g.op("DepthToSpace", x, blocksize_i=r, mode_s="DCR")


class _ConvPaddedTopLeft(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return functional.conv2d(functional.pad(x, (1, 0, 1, 0)), weight, bias)

    @staticmethod
    def symbolic(g: Any, x: Any, weight: Any, bias: Any) -> Any:
        return g.op("Conv", x, weight, bias, pads_i=[1, 1, 0, 0], kernel_shape_i=[2, 2])
