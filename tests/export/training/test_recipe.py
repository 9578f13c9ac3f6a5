"""A recipe is what it is called, also when an older version wrote it down."""

from __future__ import annotations

from dataclasses import replace

import pytest

from export.eafnet.config import variant
from export.training.recipe import Recipe, learning_rate, named_recipe, patch_plan

CONFIG = variant("s", width=8, growth=4, attention_width=4, head_width=4)
RECIPE = Recipe(CONFIG, steps=20, batch=2, size=32, warmup=0.1)


def test_the_papers_recipe_is_the_papers() -> None:
    """Who trains `--recipe paper` compares with published figures."""
    recipe = Recipe(variant("l"), steps=1000, **named_recipe("paper", workers=2, accumulate=4))
    assert recipe.batch * 2 * 4 == 16
    assert recipe.size == 256
    assert (recipe.sobel_weight, recipe.linear_weight, recipe.truth_weight) == (0.25, 0.0, 1.0)
    assert learning_rate(recipe, 0.0) == pytest.approx(1e-4)
    assert learning_rate(recipe, 0.5) == pytest.approx(0.5 * (1e-4 + 1e-6))
    assert learning_rate(recipe, 1.0) == pytest.approx(1e-6)
    with pytest.raises(ValueError, match="give --batch"):
        named_recipe("paper", workers=3)
    assert named_recipe("paper", workers=3, split=False)["batch"] == 16
    with pytest.raises(ValueError, match="there are fast, paper"):
        named_recipe("quick")


def test_learning_rate_follows_the_budget() -> None:
    """From lr to lr_end after the warm-up, along the schedule that was asked for."""
    assert learning_rate(RECIPE, 0.0) < 0.1 * RECIPE.lr
    assert learning_rate(RECIPE, RECIPE.warmup) == pytest.approx(RECIPE.lr)
    assert learning_rate(RECIPE, 1.0) == pytest.approx(RECIPE.lr_end)
    assert learning_rate(RECIPE, 1.3) == pytest.approx(RECIPE.lr_end)
    linear = replace(RECIPE, schedule="linear", warmup=0.0)
    assert learning_rate(linear, 0.25) == pytest.approx(0.75 * RECIPE.lr + 0.25 * RECIPE.lr_end)
    assert learning_rate(replace(RECIPE, schedule="constant"), 1.0) == pytest.approx(RECIPE.lr)


def test_large_patches_come_last_and_cost_the_same() -> None:
    """The end of a run sees wider surroundings in about the same memory and time."""
    recipe = replace(RECIPE, batch=9, size=128, large_size=192, large_fraction=0.2)
    assert patch_plan(recipe, 0.79) == (9, 128)
    assert patch_plan(recipe, 0.81) == (4, 192)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"minutes": 1.0}, "--steps or --minutes"),
        ({"steps": None}, "--steps or --minutes"),
        ({"size": 100}, "not a multiple of 32"),
        ({"precision": "fp8"}, "fp32, bf16, fp16"),
        ({"schedule": "step"}, "cosine, linear, constant"),
        ({"accumulate": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_trained_is_named(change: dict[str, object], text: str) -> None:
    """A mistake shows before hours of training, not after."""
    with pytest.raises(ValueError, match=text):
        replace(RECIPE, **change)  # type: ignore[arg-type]


def test_an_old_recipe_is_read_and_a_newer_one_refused() -> None:
    """A checkpoint outlives the version that wrote it."""
    written = RECIPE.to_dict()
    assert Recipe.from_dict(written) == RECIPE
    old = {k: v for k, v in written.items() if k not in ("accumulate", "schedule", "precision")}
    assert Recipe.from_dict(old) == RECIPE
    with pytest.raises(ValueError, match=r"moon_phase.*newer version"):
        Recipe.from_dict({**written, "moon_phase": 1})
