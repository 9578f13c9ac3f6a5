"""What a training run starts from: chance, the weights of an earlier run, or a narrower network's."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from export.eafnet.config import EafnetConfig
from export.eafnet.model import Eafnet
from export.training.checkpoint import averaged, load
from export.training.weights import load_weights
from export.training.widen import widen


def read_network(path: Path) -> Eafnet:
    """The network of a checkpoint (``.pt``; averaged weights) or of a safetensors file.

    Raises FileNotFoundError or ValueError naming the file.
    """
    if path.suffix == ".safetensors":
        return load_weights(path)[0]
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file")
    return averaged(load(path))


def origin(
    config: EafnetConfig, seed: int, init: Path | None = None, widened: Path | None = None
) -> Eafnet | None:
    """The network of ``config`` a run starts from; None where it starts from chance.

    ``init`` holds weights of the same ``config`` (its head may have been blind to the high exposure),
    ``widened`` those of a narrower one; ``seed`` draws what sets the copies of the latter apart.
    Raises FileNotFoundError or ValueError.
    """
    if init is not None and widened is not None:
        raise ValueError("weights to start from come from one file: --init or --widen")
    if widened is not None:
        return widen(read_network(widened), config, seed=seed)
    if init is None:
        return None
    net = read_network(init)
    differing = [
        f"{f.name} ({getattr(net.config, f.name)} and {getattr(config, f.name)})"
        for f in fields(config)
        if f.name not in ("name", "head_high") and getattr(net.config, f.name) != getattr(config, f.name)
    ]
    if differing:
        raise ValueError(f"{init}: not the network to be trained; they differ in {', '.join(differing)}")
    return widen(net, config)
