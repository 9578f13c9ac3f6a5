"""One training step: gradients of one or more batches, averaged over the workers, and an update."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.distributed as dist
from torch import Tensor, nn

from export.training.checkpoint import State
from export.training.distill import Objective
from export.training.recipe import learning_rate

Batch: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Pixels (N, 12, S, S), exposure (N, 3), mean (N, 3), as ``export.training.data`` has them."""

Draw: TypeAlias = Callable[[int], Batch]
"""The batch of this step's n-th accumulated part, on the network's device."""


def train_step(state: State, draw: Draw, run: Objective, workers: int = 1) -> tuple[Tensor, float]:
    """One update in place; returns this worker's loss (a scalar on the device) and the learning rate."""
    recipe = state.recipe
    rate = learning_rate(recipe, state.progress())
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.optimizer.zero_grad(set_to_none=True)
    losses, patches = [], 0
    for part in range(recipe.accumulate):
        pixels, exposure, mean = draw(part)
        loss = run(pixels, exposure, mean) / recipe.accumulate
        state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
        patches += len(pixels)
    _share_gradients(state.net, workers)
    state.scaler.unscale_(state.optimizer)
    nn.utils.clip_grad_norm_(state.net.parameters(), recipe.clip_norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.step += 1
    state.patches += workers * patches
    _follow(state)
    return torch.stack(losses).sum(), rate


def _share_gradients(net: nn.Module, workers: int) -> None:
    """Mean of the gradients over the workers, in one flat exchange."""
    if workers == 1:
        return
    gradients = [p.grad for p in net.parameters() if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    dist.all_reduce(flat)
    flat /= workers
    parts = torch.split(flat, [g.numel() for g in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


@torch.no_grad()
def _follow(state: State) -> None:
    """Exponential moving average of the weights, faster while the run is young."""
    decay = min(state.recipe.ema, (1 + state.step) / (10 + state.step))
    for name, value in state.net.state_dict().items():
        state.average[name].lerp_(value, 1 - decay)
