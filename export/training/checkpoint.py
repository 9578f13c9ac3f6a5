"""The state of a training run, on disk and in memory."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from export.eafnet.model import Eafnet
from export.training.recipe import Recipe


@dataclass(slots=True)
class State:
    """What a checkpoint holds: enough to go on as if nothing had happened."""

    recipe: Recipe
    net: Eafnet
    average: dict[str, Tensor]
    optimizer: torch.optim.Adam
    scaler: torch.amp.GradScaler
    step: int = 0
    patches: int = 0
    trained_s: float = 0.0
    shards: list[str] = field(default_factory=list)

    def progress(self) -> float:
        """Share of the budget that is used up."""
        if self.recipe.steps is not None:
            return self.step / self.recipe.steps
        assert self.recipe.minutes is not None
        return self.trained_s / (60.0 * self.recipe.minutes)


def start(recipe: Recipe, net: Eafnet | None = None) -> State:
    """A fresh state, from ``net`` or else from weights that depend on ``recipe.seed`` alone."""
    torch.manual_seed(recipe.seed)
    net = Eafnet(recipe.config) if net is None else net.train()
    optimizer = torch.optim.Adam(net.parameters(), lr=recipe.lr, betas=(0.9, 0.999))
    average = {k: v.detach().clone() for k, v in net.state_dict().items()}
    return State(recipe, net, average, optimizer, _scaler(recipe, "cpu"))


def _scaler(recipe: Recipe, device: str) -> torch.amp.GradScaler:
    """What keeps the small gradients of fp16 from vanishing; passes everything through otherwise."""
    return torch.amp.GradScaler(device, enabled=recipe.precision == "fp16")


def place(state: State, device: torch.device, channels_last: bool = False) -> None:
    """Move the state to ``device``, in place; ``channels_last`` is the memory format of the network there."""
    state.net.to(device)
    if channels_last:
        state.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    state.average = {k: v.to(device) for k, v in state.average.items()}
    state.optimizer.load_state_dict(state.optimizer.state_dict())
    scale = state.scaler.state_dict()
    state.scaler = _scaler(state.recipe, device.type)
    state.scaler.load_state_dict(scale)


def save(state: State, path: Path) -> None:
    """Write a checkpoint whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(
        {
            "recipe": state.recipe.to_dict(),
            "net": state.net.state_dict(),
            "average": state.average,
            "optimizer": state.optimizer.state_dict(),
            "scaler": state.scaler.state_dict(),
            "step": state.step,
            "patches": state.patches,
            "trained_s": state.trained_s,
            "shards": state.shards,
        },
        partial,
    )
    os.replace(partial, path)


def load(path: Path, **changes: Any) -> State:
    """Read a checkpoint; ``changes`` replace fields of its recipe (a longer budget, say).

    Raises FileNotFoundError or ValueError naming the file.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, KeyError) as error:
        raise ValueError(f"{path}: not a readable checkpoint ({error})") from error
    state = start(replace(Recipe.from_dict(saved["recipe"]), **changes))
    state.net.load_state_dict(saved["net"])
    state.optimizer.load_state_dict(saved["optimizer"])
    state.scaler.load_state_dict(saved.get("scaler", {}))  # {}: from before there was fp16
    state.average = saved["average"]
    state.step, state.patches = saved["step"], saved["patches"]
    state.trained_s, state.shards = saved["trained_s"], saved["shards"]
    return state


def averaged(state: State) -> Eafnet:
    """The network with its averaged (EMA) weights, for evaluation and export."""
    net = Eafnet(state.recipe.config)
    net.load_state_dict(state.average)
    return net.eval()
