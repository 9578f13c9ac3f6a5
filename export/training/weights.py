"""Weights on disk: safetensors with the configuration and a card in the header, no pickles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from export.eafnet.config import EafnetConfig
from export.eafnet.model import Eafnet


def save_weights(net: Eafnet, path: Path, card: Mapping[str, Any] | None = None) -> None:
    """Write ``net``'s weights, configuration and ``card`` (plain values) to ``path``, whole or not at all."""
    header = {"config": json.dumps(net.config.to_dict()), "card": json.dumps(dict(card or {}))}
    partial = path.with_suffix(".partial")
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, str(partial), metadata=header)
    partial.chmod(0o644)  # safetensors writes for the owner alone
    partial.replace(path)


def load_weights(path: Path) -> tuple[Eafnet, dict[str, Any]]:
    """The network of ``path`` in evaluation mode, and its card.

    Raises FileNotFoundError, or ValueError when the file is no EAFNet safetensors file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file")
    try:
        with safe_open(str(path), "pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file ({error})") from error
    if "config" not in header:
        raise ValueError(
            f"{path}: has no EAFNet configuration in its header; was it written by twinhdr-export?"
        )
    net = Eafnet(EafnetConfig.from_dict(json.loads(header["config"])))
    net.load_state_dict(tensors)
    return net.eval(), json.loads(header.get("card", "{}"))
