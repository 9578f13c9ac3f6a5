"""EAFNets with few channels: the same graphs as the shipped ones at a hundredth of the cost."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch

from export.eafnet.config import variant
from export.eafnet.model import Eafnet
from export.graphs.to_onnx import build


def tiny(name: str, seed: int = 0, **changes: Any) -> Eafnet:
    """An untrained network of 8 channels whose head does something."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    net = Eafnet(variant(name, width=8, growth=4, attention_width=4, **changes)).eval()
    torch.nn.init.normal_(net.head.last.weight, std=0.1)
    return net


@lru_cache
def tiny_graph(name: str) -> bytes:
    """The dynamic float32 graph of ``tiny(name)``, serialised so that no test changes another's."""
    data: bytes = build(tiny(name)).SerializeToString()
    return data
