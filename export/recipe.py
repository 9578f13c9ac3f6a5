"""What decides a training run's result, and how rate and patches follow its budget."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from export.eafnet.config import EafnetConfig


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a training run's result, apart from the pool.

    The learning rate falls from ``lr`` to ``lr_end`` as a half cosine over the budget, after a linear warm-up
    over ``warmup`` of it. The budget is ``steps``, or ``minutes`` of training time where steps is None
    (elapsed time then enters the result, and only a run of ``steps`` is reproducible to the bit).
    ``batch`` is per worker. In the last ``large_fraction`` of the budget patches are ``large_size`` wide and
    the batch shrinks by the same number of pixels.
    """

    config: EafnetConfig
    steps: int | None = None
    minutes: float | None = None
    batch: int = 4
    size: int = 128
    large_size: int = 192
    large_fraction: float = 0.0
    lr: float = 1e-3
    lr_end: float = 1e-5
    warmup: float = 0.01
    ema: float = 0.998
    sobel_weight: float = 0.25
    linear_weight: float = 0.0
    clip_norm: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("a budget is needed, one of the two: --steps or --minutes")

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "config": self.config.to_dict()}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Recipe:
        return Recipe(**{**values, "config": EafnetConfig.from_dict(values["config"])})


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Learning rate at ``progress`` in [0, 1] of the budget."""
    if progress < recipe.warmup:
        return recipe.lr * (0.05 + 0.95 * progress / recipe.warmup)
    share = min(1.0, (progress - recipe.warmup) / (1.0 - recipe.warmup))
    return recipe.lr_end + 0.5 * (recipe.lr - recipe.lr_end) * (1.0 + float(np.cos(np.pi * share)))


def patch_plan(recipe: Recipe, progress: float) -> tuple[int, int]:
    """(batch, size) per worker at ``progress``."""
    if progress < 1.0 - recipe.large_fraction:
        return recipe.batch, recipe.size
    shrunk = recipe.batch * recipe.size**2 // recipe.large_size**2
    return max(1, shrunk), recipe.large_size
