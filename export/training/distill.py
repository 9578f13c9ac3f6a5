"""Distillation: a small network also learns what a larger one answers.

Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network" (2015); for regression the
distance between the two answers, here in the domain HDR fusion is judged in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from export.eafnet.model import Eafnet
from export.training.losses import HdrLoss, mu_law
from export.training.recipe import Precision, Recipe

Objective: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(pixels (N, 12, S, S), exposure (N, 3), mean (N, 3)) -> scalar loss."""

AUTOCAST: dict[Precision, torch.dtype | None] = {
    "fp32": None,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


def answer(
    net: nn.Module, brackets: tuple[Tensor, ...], exposure: Tensor, mean: Tensor, precision: Precision
) -> Tensor:
    """``net``'s output, float32, with its matrix products in ``precision``."""
    kind = AUTOCAST[precision]
    with torch.autocast(exposure.device.type, dtype=kind, enabled=kind is not None):
        out: Tensor = net(*brackets, exposure, mean)
    return out.float()


def as_teacher(net: Eafnet, recipe: Recipe) -> Eafnet:
    """``net`` ready to teach ``recipe``: in evaluation mode and out of the gradients' reach.

    Raises ValueError where it cannot see the recipe's patches.
    """
    for size in recipe.sizes:
        if size % net.config.multiple:
            raise ValueError(
                f"the teacher, EAFNet-{net.config.name.upper()}, needs patches of a multiple of "
                f"{net.config.multiple}, not {size}: give another --size"
            )
    return net.eval().requires_grad_(False)


def objective(
    net: Eafnet, recipe: Recipe, teacher: Eafnet | None = None, compiled: bool = False
) -> Objective:
    """The loss of ``recipe`` as a function of a batch, through torch.compile where asked.

    Raises ValueError where the recipe has a teacher's weight and there is no ``teacher``.
    """
    if recipe.teacher_weight and teacher is None:
        raise ValueError("the recipe learns from a teacher: name its weights with --teacher")
    loss = HdrLoss(recipe.sobel_weight, recipe.linear_weight)

    def run(pixels: Tensor, exposure: Tensor, mean: Tensor) -> Tensor:
        *brackets, truth = torch.split(pixels, 3, dim=1)
        out = answer(net, tuple(brackets), exposure, mean, recipe.precision)
        total: Tensor = recipe.truth_weight * loss(out, truth)
        if teacher is not None and recipe.teacher_weight:
            with torch.no_grad():
                taught = answer(teacher, tuple(brackets), exposure, mean, recipe.precision)
            total = total + recipe.teacher_weight * (mu_law(out) - mu_law(taught)).abs().mean()
        return total

    return torch.compile(run, dynamic=False) if compiled else run
