"""What decides a training run's result, and how rate and patches follow its budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from export.eafnet.config import EafnetConfig

Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]
Schedule: TypeAlias = Literal["cosine", "linear", "constant"]


MISSING = 0.04
"""Share of training patches without their low or high exposure."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a training run's result, apart from the pool, the weights it starts from and
    the teacher.

    Budget: ``steps``, or ``minutes`` of training time where steps is None (elapsed time then enters the
    result, and only a run of ``steps`` is reproducible to the bit).

    Rate: Adam's falls from ``lr`` to ``lr_end`` along ``schedule`` over the budget (``constant`` stays at
    ``lr``), after a linear warm-up over ``warmup`` of it. Gradients are clipped to ``clip_norm``.

    Patches: a step sees ``batch`` patches per worker, ``accumulate`` times, and then updates. In the last
    ``large_fraction`` of the budget patches are ``large_size`` wide and the batch shrinks by the same number
    of pixels.

    Loss: ``truth_weight`` * (mu-law L1 + ``sobel_weight`` * D-ASL + ``linear_weight`` * L1) against the
    truth, plus ``teacher_weight`` * mu-law L1 against a teacher's answer.

    ``precision`` is that of the network's matrix products (autocast); weights, output and loss are float32.
    ``ema`` is the decay of the averaged weights; 0 averages nothing.
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
    accumulate: int = 1
    schedule: Schedule = "cosine"
    precision: Precision = "fp32"
    truth_weight: float = 1.0
    teacher_weight: float = 0.0

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("a budget is needed, one of the two: --steps or --minutes")
        for name, known in (("schedule", get_args(Schedule)), ("precision", get_args(Precision))):
            if getattr(self, name) not in known:
                raise ValueError(f"unknown {name} {getattr(self, name)!r}; there are {', '.join(known)}")
        if min(self.batch, self.accumulate) < 1:
            raise ValueError(f"batch {self.batch} and accumulate {self.accumulate}: both must be at least 1")
        for size in self.sizes:
            if size % self.config.multiple:
                raise ValueError(
                    f"--size {size} is not a multiple of {self.config.multiple}, "
                    f"which EAFNet-{self.config.name.upper()} needs"
                )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Widths of the patches this run will see."""
        return (self.size, self.large_size) if self.large_fraction > 0 else (self.size,)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "config": self.config.to_dict()}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Recipe:
        """Inverse of ``to_dict``; what an older run did not know yet takes its default.

        Raises ValueError naming what only a newer version knows.
        """
        unknown = sorted(set(values) - {f.name for f in fields(Recipe)})
        if unknown:
            raise ValueError(f"the recipe has {', '.join(unknown)}: it was written by a newer version")
        return Recipe(**{**values, "config": EafnetConfig.from_dict(values["config"])})


RECIPES: dict[str, dict[str, Any]] = {
    "fast": {
        "batch": 3,
        "size": 128,
        "large_fraction": 0.12,
        "lr": 1e-3,
        "lr_end": 1e-5,
        "warmup": 0.01,
        "ema": 0.999,
        "linear_weight": 0.1,
    },
    "paper": {
        "batch": 16,
        "size": 256,
        "lr": 1e-4,
        "lr_end": 1e-6,
        "warmup": 0.0,
        "ema": 0.0,
        "linear_weight": 0.0,
        "clip_norm": float("inf"),
    },
}
"""By name. ``fast`` is ours: its batch is that of one worker, and it is what the shipped networks were
trained with. ``paper`` is section V: mu-law L1 + 0.25 D-ASL, Adam from 1e-4 to 1e-6, 256x256 crops, batches
of 16 altogether; it says nothing of warm-up, clipping or averaged weights, which are therefore off."""

WHOLE_BATCH = frozenset({"paper"})
"""Recipes whose batch is that of a step, to be divided among workers and accumulated parts."""


def named_recipe(name: str, workers: int = 1, accumulate: int = 1, split: bool = True) -> dict[str, Any]:
    """Fields of the named recipe for so many workers and accumulated parts.

    ``split`` False leaves a batch that is about to be replaced undivided. Raises ValueError for an unknown
    name, or a batch that cannot be divided.
    """
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}; there are {', '.join(RECIPES)}")
    values = dict(RECIPES[name])
    if name in WHOLE_BATCH and split:
        batch, rest = divmod(values["batch"], workers * accumulate)
        if rest:
            raise ValueError(
                f"the {name} recipe's batch of {values['batch']} cannot be divided among {workers} workers "
                f"and {accumulate} accumulated parts: give --batch, the patches of one part"
            )
        values["batch"] = batch
    return values


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Learning rate at ``progress`` in [0, 1] of the budget."""
    if progress < recipe.warmup:
        return recipe.lr * (0.05 + 0.95 * progress / recipe.warmup)
    share = min(1.0, (progress - recipe.warmup) / (1.0 - recipe.warmup))
    left = {"cosine": 0.5 * (1.0 + float(np.cos(np.pi * share))), "linear": 1.0 - share, "constant": 1.0}
    return recipe.lr_end + (recipe.lr - recipe.lr_end) * left[recipe.schedule]


def patch_plan(recipe: Recipe, progress: float) -> tuple[int, int]:
    """(batch, size) per worker at ``progress``."""
    if progress < 1.0 - recipe.large_fraction:
        return recipe.batch, recipe.size
    shrunk = recipe.batch * recipe.size**2 // recipe.large_size**2
    return max(1, shrunk), recipe.large_size
