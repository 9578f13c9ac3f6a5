"""A packed pool in a GPU's memory: patches are cut and augmented there, and the CPU has nothing to do."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from export.eafnet.prealign import gamma
from export.training.pack import Packed
from export.training.recipe import MISSING
from export.training.step import Batch


class GpuPool:
    """All tiles of ``packed`` on ``device``."""

    def __init__(self, packed: Packed, device: torch.device) -> None:
        self.device = device
        self.pixels = torch.from_numpy(packed.pixels).to(device)
        self.exposure = torch.from_numpy(packed.exposure).to(device)
        self.mean = torch.from_numpy(packed.mean).to(device)
        orders = torch.tensor(list(itertools.permutations(range(3))))
        self.colours = (orders[:, None, :] + 3 * torch.arange(4)[:, None]).reshape(-1, 12).to(device)

    @property
    def tile(self) -> int:
        """Width of the tiles."""
        return self.pixels.shape[-1]

    def draw(self, seed: tuple[int, int, int], batch: int, size: int) -> Batch:
        """Random crops, flips, quarter turns and channel permutations: a function of ``seed`` and the device.

        Now and then low or high is missing and made from the reference, as ``edge.register.align`` does.
        """
        mixed = (seed[0] * 0x9E3779B1 + seed[1] * 0x85EBCA77 + seed[2] * 0xC2B2AE3D) % 2**63
        generator = torch.Generator(self.device).manual_seed(mixed)

        def integers(high: int) -> Tensor:
            return torch.randint(high, (batch,), generator=generator, device=self.device)

        picks, room = integers(len(self.pixels)), self.tile - size + 1
        rows, columns = self._span(integers(room), size), self._span(integers(room), size)
        rows = torch.where(integers(2)[:, None] == 1, rows.flip(1), rows)
        columns = torch.where(integers(2)[:, None] == 1, columns.flip(1), columns)
        channels = self.colours[integers(6)]
        pixels = self.pixels[
            picks[:, None, None, None],
            channels[:, :, None, None],
            rows[:, None, :, None],
            columns[:, None, None, :],
        ].float()
        turned = (integers(2) == 1)[:, None, None, None]
        pixels = torch.where(turned, pixels.transpose(2, 3), pixels)
        lost = torch.rand((batch,), generator=generator, device=self.device)
        return without_some(pixels, self.exposure[picks], self.mean[picks], lost)

    def _span(self, start: Tensor, size: int) -> Tensor:
        return start[:, None] + torch.arange(size, device=self.device)


def without_some(pixels: Tensor, exposure: Tensor, mean: Tensor, lost: Tensor) -> Batch:
    """Replace low where ``lost`` (N,), in [0, 1), is below half of ``MISSING``, high up to ``MISSING``."""
    reference = pixels[:, 3:6]
    pixels, mean = pixels.clone(), mean.clone()
    missing = (lost < MISSING / 2, (lost >= MISSING / 2) & (lost < MISSING))
    for side, where in zip((0, 2), missing, strict=True):
        image = pixels[:, 3 * side : 3 * side + 3]
        made = (reference * exposure[:, side, None, None, None]).clamp(max=1.0)
        change = gamma(made).mean((1, 2, 3)) / gamma(image).mean((1, 2, 3)).clamp(min=1e-3)
        mean[:, side] = torch.where(where, mean[:, side] * change, mean[:, side])
        pixels[:, 3 * side : 3 * side + 3] = torch.where(where[:, None, None, None], made, image)
    return pixels, exposure, mean
