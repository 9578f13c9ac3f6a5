"""A plain network to measure beside EAFNet: 3x3 convolutions and nothing else, 95 kMAC per pixel.

    python tests/export/graphs/plain_network.py plain.onnx
    twinhdr bench --model plain.onnx --against s --threads 1 --cpu-time

It stands in for light networks of published size (SAFNet-S: 93 kMAC per pixel, 0.57 M parameters), whose own
code is not for this project. Warps and thin layers would make it slower; it has none, so it is a hard peer.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import onnx
import torch
from onnx import helper
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 48
MULTIPLE = 4


def _convs(count: int) -> list[nn.Module]:
    return [m for _ in range(count) for m in (nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU())]


class Plain(nn.Module):
    """(1, 3, H, W) low, reference, high to (1, 3, H, W); at half and quarter size."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(36, WIDTH, 3, padding=1), nn.ReLU(), *_convs(7))
        down = nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.coarse = nn.Sequential(down, nn.ReLU(), *_convs(10), nn.Conv2d(WIDTH, WIDTH, 3, padding=1))
        self.up = nn.Conv2d(WIDTH, WIDTH, 1)
        join = nn.Conv2d(WIDTH + WIDTH // 4, WIDTH, 3, padding=1)
        self.last = nn.Sequential(join, nn.ReLU(), *_convs(6), nn.Conv2d(WIDTH, 12, 3, padding=1))

    def forward(self, low: Tensor, reference: Tensor, high: Tensor) -> Tensor:
        half = self.fine(functional.pixel_unshuffle(torch.cat([low, reference, high], dim=1), 2))
        quarter = functional.pixel_shuffle(self.up(self.coarse(half)), 2)
        return functional.pixel_shuffle(self.last(torch.cat([half, quarter], dim=1)), 2)


class _Contract(nn.Module):
    """Takes the numbers of the contract too, and does nothing with them."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = Plain()

    def forward(self, low: Tensor, reference: Tensor, high: Tensor, exposure: Tensor, mean: Tensor) -> Tensor:
        out: Tensor = self.plain(low, reference, high) + 0.0 * (exposure.sum() + mean.sum())
        return out


def write_plain(path: Path) -> Path:
    """A file of contract 1 without a part for the pair: it runs whole for every frame."""
    torch.manual_seed(0)
    images = [torch.rand(1, 3, 64, 64) for _ in range(3)]
    names = ["low", "reference", "high"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Contract().eval(),
            (*images, torch.rand(3), torch.rand(3)),
            str(path),
            input_names=[*names, "exposure", "mean"],
            output_names=["radiance"],
            dynamic_axes={name: {2: "H", 3: "W"} for name in (*names, "radiance")},
            opset_version=17,
            dynamo=False,
        )
    model = onnx.load(str(path))
    helper.set_model_props(model, {"twinhdr.contract": "1", "twinhdr.multiple": str(MULTIPLE)})
    onnx.save(model, str(path))
    return path


if __name__ == "__main__":
    write_plain(Path(sys.argv[1]))
