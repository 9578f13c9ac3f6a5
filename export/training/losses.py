"""What training minimises: mu-law L1 plus the dilated advanced Sobel loss (D-ASL), as the paper has it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

MU = 5000.0
DILATIONS = (1, 2, 3)


def mu_law(x: Tensor) -> Tensor:
    """log(1 + mu x) / log(1 + mu), mu = 5000, for x in [0, 1]; the domain HDR fusion is judged in."""
    return torch.log1p(MU * x) / math.log1p(MU)


class HdrLoss(nn.Module):
    """mu-law L1 + ``sobel_weight`` * D-ASL (+ ``linear_weight`` * L1 of the linear values).

    D-ASL: L1 between the four Sobel directions of both mu-law images, reflect padding, dilations 1, 2, 3;
    mean per direction and dilation, summed. The filters are linear, so they run on the difference, once.
    The linear term is ours and off by default: the mu-law compresses highlights a hundredfold.
    """

    def __init__(self, sobel_weight: float = 0.25, linear_weight: float = 0.0) -> None:
        super().__init__()
        self.sobel_weight, self.linear_weight = sobel_weight, linear_weight

    def forward(self, output: Tensor, truth: Tensor) -> Tensor:
        """``output`` and ``truth`` (N, 3, H, W) in [0, 1] -> scalar."""
        difference = mu_law(output) - mu_law(truth)
        loss = difference.abs().mean()
        if self.sobel_weight:
            loss = loss + self.sobel_weight * self._edges(difference)
        if self.linear_weight:
            loss = loss + self.linear_weight * (output - truth).abs().mean()
        return loss

    def _edges(self, difference: Tensor) -> Tensor:
        total = difference.new_zeros(())
        for dilation in DILATIONS:
            for direction in sobel(difference, dilation):
                total = total + direction.abs().mean()
        return total


def sobel(x: Tensor, dilation: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The advanced Sobel filters [[-1,-2,-1],[0,0,0],[1,2,1]], its transpose, [[-2,-1,0],[-1,0,1],[0,1,2]]
    and [[0,-1,-2],[1,0,-1],[2,1,0]] on (N, C, H, W), reflect padding.

    All four are sums of the differences of opposite neighbours, which is ten times faster here than
    depthwise convolutions.
    """
    d = dilation
    padded = functional.pad(x, (d, d, d, d), mode="reflect")
    h, w = x.shape[2:]

    def at(dy: int, dx: int) -> Tensor:
        return padded[:, :, d * (1 + dy) : d * (1 + dy) + h, d * (1 + dx) : d * (1 + dx) + w]

    falling, rising = at(1, 1) - at(-1, -1), at(1, -1) - at(-1, 1)
    down, right = at(1, 0) - at(-1, 0), at(0, 1) - at(0, -1)
    across = (falling + rising + 2 * down, falling - rising + 2 * right)
    return (*across, 2 * falling + down + right, 2 * rising + down - right)
