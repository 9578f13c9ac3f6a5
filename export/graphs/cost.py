"""What a network costs: parameters and multiply-accumulates per image pixel, counted by running it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from export.eafnet.config import EafnetConfig
from export.eafnet.model import Eafnet


@dataclass(frozen=True, slots=True)
class Cost:
    """``parameters``; kMAC per image pixel ``per_pair``, ``per_reference`` and their sum ``kmac``."""

    parameters: int
    per_pair: float
    per_reference: float

    @property
    def kmac(self) -> float:
        """One reference frame with a fresh pair."""
        return self.per_pair + self.per_reference

    def average(self, references: int = 4) -> float:
        """kMAC/px per reference frame when ``references`` of them share a pair."""
        return self.per_reference + self.per_pair / references


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up multiply-accumulates of convolutions and matrix products."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name == "convolution":
            self.macs += out.numel() * args[1][0].numel()
        elif name in ("mm", "bmm"):
            self.macs += out.numel() * args[0].shape[-1]
        elif name == "addmm":
            self.macs += out.numel() * args[1].shape[-1]
        return out


def _count(net: nn.Module, run: Any) -> int:
    counter = _Counter()
    with torch.no_grad(), counter:
        run()
    return counter.macs


def cost(config: EafnetConfig) -> Cost:
    """Count ``config`` folded, as it runs on the device; parameters unfolded, as it is trained."""
    net = Eafnet(config)
    parameters = sum(p.numel() for p in net.parameters())
    net.freeze()
    side = 2 * config.multiple
    image = torch.rand(1, 3, side, side)
    exposure, mean = torch.tensor([[0.25, 1.0, 4.0]]), torch.full((1, 3), 0.4)
    pair: list[Any] = []

    def encode() -> None:
        pair.extend(net.encode_pair(image, image, exposure, mean))

    def fuse() -> Tensor:
        return net.fuse(image, image, image, exposure, pair)

    pixels = 1000 * side * side
    return Cost(parameters, _count(net, encode) / pixels, _count(net, fuse) / pixels)
