"""Moves between space and channels: space-to-depth, attention windows, the Haar wavelet.

Each function is plain tensor code in training. While a graph is being exported they become ONNX operators
that TensorRT has too (never Col2Im), so that height and width can stay dynamic with one Shape node each way.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from export.eafnet.config import WINDOW

KEYS = WINDOW * WINDOW


def space_to_depth(x: Tensor, r: int) -> Tensor:
    """(B, C, H, W) -> (B, r*r*C, H/r, W/r); output channel (i*r + j)*C + c, as ONNX orders it."""
    if r == 1:
        return x
    if torch.onnx.is_in_onnx_export():
        out: Tensor = _SpaceToDepth.apply(x, r)  # type: ignore[no-untyped-call]
        return out
    return _space_to_depth(x, r)


def _space_to_depth(x: Tensor, r: int) -> Tensor:
    b, c, h, w = x.shape
    x = x.reshape(b, c, h // r, r, w // r, r).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(b, r * r * c, h // r, w // r)


def to_windows(x: Tensor, frames: int, channels: int) -> Tensor:
    """(frames*N, C, H, W) -> (frames, N*H*W/64, 64, C): one row of keys per 8x8 window."""
    if torch.onnx.is_in_onnx_export():
        out: Tensor = _ToWindows.apply(x, frames, channels)  # type: ignore[no-untyped-call]
        return out
    return _to_windows(x, frames, channels)


def _to_windows(x: Tensor, frames: int, channels: int) -> Tensor:
    b, c, h, w = x.shape
    x = x.reshape(b, c, h // WINDOW, WINDOW, w // WINDOW, WINDOW).permute(0, 2, 4, 3, 5, 1)
    return x.reshape(frames, -1, KEYS, channels)


def from_windows(y: Tensor, like: Tensor, frames: int, channels: int) -> Tensor:
    """Inverse of ``to_windows``: (frames, N*H*W/64, 64, C) -> (frames*N, C, H, W), H and W those of ``like``.

    Attention itself, (frames, windows, 64 queries, 64 keys), becomes 64 maps, channel = key.
    """
    if torch.onnx.is_in_onnx_export():
        out: Tensor = _FromWindows.apply(y, like, frames, channels)  # type: ignore[no-untyped-call]
        return out
    return _from_windows(y, like)


def _from_windows(y: Tensor, like: Tensor) -> Tensor:
    c = y.shape[-1]
    h, w = like.shape[2:]
    y = y.reshape(-1, h // WINDOW, w // WINDOW, WINDOW, WINDOW, c).permute(0, 5, 1, 3, 2, 4)
    return y.reshape(-1, c, h, w)


HAAR = 0.5 * torch.tensor([[1.0, 1, 1, 1], [-1, -1, 1, 1], [-1, 1, -1, 1], [1, -1, -1, 1]])
"""Orthonormal 4x4 Haar: rows LL, LH, HL, HH; columns the 2x2 block a b / c d in reading order."""


def haar(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, 4C, H/2, W/2), bands LL, LH, HL, HH one after the other."""
    b, c, h, w = x.shape
    blocks = _space_to_depth(x, 2).reshape(b, 4, c, h // 2, w // 2)
    bands = torch.einsum("kp,bpchw->bkchw", HAAR.to(x), blocks)
    return bands.reshape(b, 4 * c, h // 2, w // 2)


def inverse_haar(y: Tensor) -> Tensor:
    """Inverse of ``haar``: (B, 4C, H, W) -> (B, C, 2H, 2W)."""
    b, c4, h, w = y.shape
    c = c4 // 4
    blocks = torch.einsum("kp,bkchw->bpchw", HAAR.to(y), y.reshape(b, 4, c, h, w))
    blocks = blocks.reshape(b, 2, 2, c, h, w).permute(0, 3, 4, 1, 5, 2)
    return blocks.reshape(b, c, 2 * h, 2 * w)


class _SpaceToDepth(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, r: int) -> Tensor:
        return _space_to_depth(x, r)

    @staticmethod
    def symbolic(g: Any, x: Any, r: int) -> Any:
        return g.op("SpaceToDepth", x, blocksize_i=r)


class _ToWindows(torch.autograd.Function):
    """Rows of eight pixels move as one, then each window is transposed: a third less time on a CPU than
    SpaceToDepth(8), and a product with the transposed keys needs no second step. One frame (``deploy``)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, frames: int, channels: int) -> Tensor:
        return _to_windows(x, frames, channels)

    @staticmethod
    def symbolic(g: Any, x: Any, frames: int, channels: int) -> Any:
        assert frames == 1
        lines = g.op("Reshape", x, _integers(g, channels, -1, WINDOW, 0))  # 0 keeps the length that is there
        grid = g.op("Reshape", lines, _integers(g, 0, 0, 0, -1, WINDOW))
        packed = g.op("Transpose", grid, perm_i=[1, 3, 0, 2, 4])
        windows = g.op("Reshape", packed, _integers(g, 1, -1, channels, KEYS))
        return g.op("Transpose", windows, perm_i=[0, 1, 3, 2])


class _FromWindows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, like: Tensor, frames: int, channels: int) -> Tensor:
        return _from_windows(y, like)

    @staticmethod
    def symbolic(g: Any, y: Any, like: Any, frames: int, channels: int) -> Any:
        assert frames == 1
        grid = g.op("Div", g.op("Shape", like, start_i=2), _integers(g, WINDOW))
        window = _integers(g, channels, WINDOW, WINDOW)
        turned = g.op("Transpose", y, perm_i=[0, 1, 3, 2])
        packed = g.op("Reshape", turned, g.op("Concat", grid, window, axis_i=0))
        maps = g.op("Transpose", packed, perm_i=[2, 0, 3, 1, 4])
        lines = g.op("Reshape", maps, _integers(g, 0, 0, 0, -1))
        return g.op("Reshape", lines, _integers(g, 1, channels, -1, 0))


def _integers(g: Any, *values: int) -> Any:
    return g.op("Constant", value_t=torch.tensor(values))
