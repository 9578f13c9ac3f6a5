"""Training does what the recipe says and can be interrupted anywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch: pip install twinhdr[export]")

from torch.nn import functional  # noqa: E402

from export.checkpoint import averaged, load, save, start  # noqa: E402
from export.data import Pool  # noqa: E402
from export.eafnet.config import variant  # noqa: E402
from export.losses import HdrLoss, mu_law, sobel  # noqa: E402
from export.origin import origin  # noqa: E402
from export.recipe import Recipe, learning_rate, patch_plan  # noqa: E402
from export.train import Runtime, run  # noqa: E402
from export.weights import save_weights  # noqa: E402
from export.workers import Job, launch  # noqa: E402

CONFIG = variant("s", width=8, growth=4, attention_width=4, head_width=4)
RECIPE = Recipe(CONFIG, steps=20, batch=2, size=32, warmup=0.1)

KERNELS = (
    ((-1, -2, -1), (0, 0, 0), (1, 2, 1)),
    ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)),
    ((-2, -1, 0), (-1, 0, 1), (0, 1, 2)),
    ((0, -1, -2), (1, 0, -1), (2, 1, 0)),
)


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """One shard of smooth random scenes, seen by an ideal bracket."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    folder = tmp_path / "pool"
    folder.mkdir()
    truth = rng.uniform(0, 1, (6, 3, 8, 8)).repeat(6, 2).repeat(6, 3) ** 3
    bracket = [np.clip(truth * t, 0, 1) for t in (1, 4, 16)]
    np.save(folder / "00000.npy", np.concatenate([*bracket, truth], axis=1).astype(np.float16))
    mean = np.stack([np.power(x, 1 / 2.2).mean(axis=(1, 2, 3)) for x in bracket], axis=1)
    exposure = np.tile(np.array((0.25, 1, 4), np.float32), (6, 1))
    np.savez(folder / "00000.npz", exposure=exposure, mean=mean.astype(np.float32))
    return folder


@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_sobel_filters_are_the_printed_kernels(dilation: int) -> None:
    """The loss is written as sums of differences for speed; it must stay the paper's D-ASL."""
    x = torch.rand(1, 1, 12, 12)
    padded = functional.pad(x, (dilation,) * 4, mode="reflect")
    for kernel, ours in zip(KERNELS, sobel(x, dilation), strict=True):
        weight = torch.tensor(kernel, dtype=torch.float32)[None, None]
        assert torch.allclose(functional.conv2d(padded, weight, dilation=dilation), ours, atol=1e-5)


def test_loss_is_zero_for_the_truth_and_counts_every_term() -> None:
    """A term that silently drops out would train another network."""
    truth, other = torch.rand(2, 1, 3, 16, 16)
    assert float(HdrLoss(0.25, 0.1)(truth, truth)) == 0.0
    plain = float(HdrLoss(0.0)(other, truth))
    assert plain == pytest.approx(float((mu_law(other) - mu_law(truth)).abs().mean()))
    assert float(HdrLoss(0.25)(other, truth)) > plain
    assert float(HdrLoss(0.0, 1.0)(other, truth)) == pytest.approx(
        plain + float((other - truth).abs().mean())
    )


def test_resumed_training_equals_uninterrupted_training(pool: Path, tmp_path: Path) -> None:
    """A run of hours that was cut off must not depend on where; equal to the bit."""
    whole = start(RECIPE)
    run(whole, Pool(pool), Runtime(tmp_path / "whole"))
    first = start(RECIPE)
    run(first, Pool(pool), Runtime(tmp_path / "cut"), stop_at_step=7)
    second = load(tmp_path / "cut" / "last.pt")
    assert second.step == 7
    run(second, Pool(pool), Runtime(tmp_path / "cut"))
    assert second.step == whole.step == 20
    assert second.patches == whole.patches == 40
    for name, value in whole.net.state_dict().items():
        assert torch.equal(value, second.net.state_dict()[name]), name
        assert torch.equal(whole.average[name], second.average[name]), name


def test_training_learns(pool: Path, tmp_path: Path) -> None:
    """The loss on a handful of scenes falls when the step is given something to learn."""
    state = start(replace(RECIPE, steps=100, lr=1e-2, config=replace(CONFIG, skip="reference")))
    shards = Pool(pool)
    shards.refresh()
    batch = shards.draw(np.random.default_rng(5), 6, 32)
    pixels, exposure, mean = (torch.from_numpy(a) for a in batch)
    low, reference, high, truth = torch.split(pixels, 3, dim=1)

    def loss() -> float:
        with torch.inference_mode():
            return float(HdrLoss()(state.net(low, reference, high, exposure, mean), truth))

    before = loss()
    run(state, shards, Runtime(tmp_path / "run"))
    assert loss() < 0.8 * before


def test_two_workers_share_their_gradients(pool: Path, tmp_path: Path) -> None:
    """Two processes on two cores are the way to train on a CPU; both must end with one network.

    They look for new shards often here: a rank that did so by its own clock would wait for the other for
    ever, which the suite's time limit catches.
    """
    recipe = replace(RECIPE, steps=12).to_dict()
    launch(Job(tmp_path / "run", pool, None, recipe, workers=2, refresh_every_s=0.02))
    state = load(tmp_path / "run" / "last.pt")
    assert state.step == 12
    assert state.patches == 48
    weights = averaged(state).state_dict()
    assert any(not torch.equal(v, start(RECIPE).average[k]) for k, v in weights.items())


def test_learning_rate_follows_the_budget() -> None:
    """Cosine from lr to lr_end after the warm-up."""
    assert learning_rate(RECIPE, 0.0) < 0.1 * RECIPE.lr
    assert learning_rate(RECIPE, RECIPE.warmup) == pytest.approx(RECIPE.lr)
    assert learning_rate(RECIPE, 1.0) == pytest.approx(RECIPE.lr_end)
    assert learning_rate(RECIPE, 1.3) == pytest.approx(RECIPE.lr_end)


def test_large_patches_come_last_and_cost_the_same() -> None:
    """The end of a run sees wider surroundings in about the same memory and time."""
    recipe = replace(RECIPE, batch=9, size=128, large_size=192, large_fraction=0.2)
    assert patch_plan(recipe, 0.79) == (9, 128)
    assert patch_plan(recipe, 0.81) == (4, 192)


def test_a_budget_is_one_of_the_two() -> None:
    """A run without an end, or with two, is a mistake."""
    with pytest.raises(ValueError, match="--steps or --minutes"):
        replace(RECIPE, minutes=1.0)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    """The text names the file instead of unpickling's innards."""
    path = tmp_path / "last.pt"
    save(start(RECIPE), path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"last\.pt"):
        load(path)


def test_a_run_starts_from_weights_or_from_a_narrower_network(pool: Path, tmp_path: Path) -> None:
    """Going on from what is there saves the hours that made it; the average must not start from chance."""
    save_weights(start(RECIPE).net, tmp_path / "s.safetensors")
    small = start(replace(RECIPE, seed=1)).net
    save_weights(small, tmp_path / "other.safetensors")
    recipe = replace(RECIPE, steps=1, lr=1e-30, lr_end=0.0)
    launch(Job(tmp_path / "a", pool, None, recipe.to_dict(), workers=1, init=tmp_path / "other.safetensors"))
    state = load(tmp_path / "a" / "last.pt")
    for name, value in small.state_dict().items():
        assert torch.allclose(state.net.state_dict()[name], value, atol=1e-7), name
        assert torch.allclose(state.average[name], value, atol=1e-7), name
    wide = replace(recipe, config=replace(CONFIG, width=16, growth=8))
    launch(Job(tmp_path / "b", pool, None, wide.to_dict(), workers=1, widen=tmp_path / "a" / "last.pt"))
    assert averaged(load(tmp_path / "b" / "last.pt")).config.width == 16
    with pytest.raises(ValueError, match=r"other\.safetensors.*width \(8 and 16\)"):
        origin(wide.config, 0, init=tmp_path / "other.safetensors")
    with pytest.raises(FileNotFoundError, match="nothing"):
        origin(wide.config, 0, widened=tmp_path / "nothing.pt")
