"""Training does what the recipe says and can be interrupted anywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch: pip install twinhdr[export]")

from export.eafnet.config import variant  # noqa: E402
from export.training.checkpoint import State, averaged, load, save, start  # noqa: E402
from export.training.data import Pool  # noqa: E402
from export.training.distill import objective  # noqa: E402
from export.training.losses import HdrLoss  # noqa: E402
from export.training.origin import origin  # noqa: E402
from export.training.recipe import Recipe  # noqa: E402
from export.training.step import train_step  # noqa: E402
from export.training.train import Runtime, drawn, run  # noqa: E402
from export.training.weights import save_weights  # noqa: E402
from export.training.workers import Job, choose_device, launch  # noqa: E402

CONFIG = variant("s", width=8, growth=4, attention_width=4, head_width=4)
RECIPE = Recipe(CONFIG, steps=20, batch=2, size=32, warmup=0.1)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def assert_equal(a: Any, b: Any, where: str = "") -> None:
    """Equal to the bit, through all nested dictionaries and lists."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_equal(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_equal(x, y, f"{where}[{i}]")
    else:
        assert a == b, where


def everything(state: State) -> dict[str, Any]:
    """All that a further step depends on."""
    return {
        "net": state.net.state_dict(),
        "average": state.average,
        "optimizer": state.optimizer.state_dict(),
        "scaler": state.scaler.state_dict(),
        "counts": (state.step, state.patches, state.shards),
    }


WAYS: list[tuple[dict[str, Any], bool]] = [
    ({}, False),
    ({"accumulate": 2, "batch": 1, "schedule": "linear"}, False),
    ({"precision": "bf16"}, True),
    ({"precision": "fp16"}, False),
]


@pytest.mark.parametrize(("changes", "channels_last"), WAYS, ids=str)
def test_resumed_training_equals_uninterrupted_training(
    pool: Path, tmp_path: Path, changes: dict[str, Any], channels_last: bool
) -> None:
    """A run of hours that was cut off must not depend on where; equal to the bit."""
    recipe = replace(RECIPE, **changes)
    whole = start(recipe)
    run(whole, Pool(pool), Runtime(tmp_path / "whole", channels_last=channels_last))
    cut = Runtime(tmp_path / "cut", channels_last=channels_last)
    run(start(recipe), Pool(pool), cut, stop_at_step=10)
    resumed = load(tmp_path / "cut" / "last.pt")
    assert resumed.step == 10
    run(resumed, Pool(pool), cut)
    assert resumed.step == 20
    assert resumed.patches == 40
    assert_equal(everything(resumed), everything(whole))


def test_a_step_in_parts_is_the_step_as_a_whole(pool: Path, tmp_path: Path) -> None:
    """Accumulation fits a batch of 16 into any memory; it must be that batch, in parts that differ."""
    recipe = replace(RECIPE, accumulate=3, clip_norm=1e9)
    state = start(recipe)
    shards = Pool(pool)
    shards.refresh()
    draw = drawn(state, shards, Runtime(tmp_path))
    parts = [draw(part) for part in range(3)]
    assert not torch.equal(parts[0][0], parts[1][0])
    together = tuple(torch.cat(tensors) for tensors in zip(*parts, strict=True))
    whole = start(recipe).net
    loss = objective(whole, recipe)(*together)
    loss.backward()
    ours, rate = train_step(state, draw, objective(state.net, recipe))
    assert rate == pytest.approx(0.05 * recipe.lr)
    assert float(ours) == pytest.approx(float(loss.detach()), rel=1e-5)
    assert state.patches == 6
    for (name, a), b in zip(state.net.named_parameters(), whole.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-3, atol=1e-6), name


def test_training_learns(pool: Path, tmp_path: Path) -> None:
    """The loss on a handful of scenes falls when the step is given something to learn."""
    state = start(replace(RECIPE, steps=150, lr=1e-2, config=replace(CONFIG, skip="reference")))
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
    assert loss() < 0.85 * before


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_is_nearly_the_same_loss(pool: Path, precision: str, tmp_path: Path) -> None:
    """Half the bits may cost a little rounding, never the sense of it; nor may they do nothing."""
    state = start(RECIPE)
    torch.nn.init.normal_(state.net.head.last.weight, std=0.1)
    shards = Pool(pool)
    shards.refresh()
    batch = drawn(state, shards, Runtime(tmp_path))(0)
    full = float(objective(state.net, RECIPE)(*batch).detach())
    less = float(objective(state.net, replace(RECIPE, precision=precision))(*batch).detach())
    assert less != full
    assert less == pytest.approx(full, rel=0.02)


def test_no_averaging_ships_the_last_weights(pool: Path, tmp_path: Path) -> None:
    """The paper's recipe has no averaged weights."""
    state = start(replace(RECIPE, steps=3, ema=0.0))
    run(state, Pool(pool), Runtime(tmp_path / "run"))
    assert_equal(state.average, dict(state.net.state_dict()))


def test_a_run_starts_from_weights_or_from_a_narrower_network(pool: Path, tmp_path: Path) -> None:
    """Going on from what is there saves the hours that made it; the average must not start from chance."""
    small = start(replace(RECIPE, seed=1)).net
    weights = tmp_path / "other.safetensors"
    save_weights(small, weights)
    recipe = replace(RECIPE, steps=1, lr=1e-30, lr_end=0.0)
    launch(Job(tmp_path / "a", pool, None, recipe.to_dict(), workers=1, init=weights))
    state = load(tmp_path / "a" / "last.pt")
    for name, value in small.state_dict().items():
        assert torch.allclose(state.net.state_dict()[name], value, atol=1e-7), name
        assert torch.allclose(state.average[name], value, atol=1e-7), name
    wide = replace(recipe, config=replace(CONFIG, width=16, growth=8))
    launch(Job(tmp_path / "b", pool, None, wide.to_dict(), workers=1, widen=tmp_path / "a" / "last.pt"))
    assert averaged(load(tmp_path / "b" / "last.pt")).config.width == 16
    with pytest.raises(ValueError, match=r"other\.safetensors.*width \(8 and 16\)"):
        origin(wide.config, 0, init=weights)
    with pytest.raises(FileNotFoundError, match="nothing"):
        origin(wide.config, 0, widened=tmp_path / "nothing.pt")


def test_patches_larger_than_the_tiles_are_refused_before_training(pool: Path, tmp_path: Path) -> None:
    """The paper's 256 pixel crops do not fit into the default pool: the text says what to render."""
    recipe = replace(RECIPE, size=64)
    text = r"00000\.npz: its tiles are 48 wide.*patches 64.*--tile 64"
    with pytest.raises(ValueError, match=text):
        launch(Job(tmp_path / "run", pool, None, recipe.to_dict(), workers=2))
    with pytest.raises(ValueError, match=text):
        run(start(recipe), Pool(pool), Runtime(tmp_path / "run"))
    late = replace(RECIPE, large_size=96, large_fraction=0.1)
    with pytest.raises(ValueError, match="patches 96"):
        run(start(late), Pool(pool), Runtime(tmp_path / "run"))


def test_what_a_job_lacks_is_named_before_its_workers_start(pool: Path, tmp_path: Path) -> None:
    """Workers that fail do so with a traceback each."""
    job = Job(tmp_path / "run", pool, None, RECIPE.to_dict())
    with pytest.raises(FileNotFoundError, match=r"last\.pt"):
        launch(replace(job, resume=True))
    with pytest.raises(FileNotFoundError, match="twinhdr-export render"):
        launch(replace(job, pool=tmp_path))
    with pytest.raises(ValueError, match="--teacher"):
        launch(replace(job, recipe=replace(RECIPE, teacher_weight=1.0).to_dict()))
    with pytest.raises(ValueError, match="cpu, cuda, auto"):
        choose_device("gpu")


def test_a_run_leaves_a_log_and_a_picture(pool: Path, tmp_path: Path) -> None:
    """However short: the last line is written at the end."""
    pytest.importorskip("matplotlib")
    recipe = replace(RECIPE, steps=2).to_dict()
    launch(Job(tmp_path / "run", pool, None, recipe, workers=1))
    assert (tmp_path / "run" / "log.csv").read_text().splitlines()[1].startswith("2,4,")
    assert (tmp_path / "run" / "curve.png").stat().st_size > 1000


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    """The text names the file instead of unpickling's innards."""
    path = tmp_path / "last.pt"
    save(start(RECIPE), path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"last\.pt"):
        load(path)


def test_a_checkpoint_of_an_older_version_is_read(tmp_path: Path) -> None:
    """A run that was started before an update goes on after it."""
    path = tmp_path / "last.pt"
    save(start(RECIPE), path)
    saved = torch.load(path, weights_only=True)
    del saved["scaler"]
    for name in ("accumulate", "schedule", "precision", "truth_weight", "teacher_weight"):
        del saved["recipe"][name]
    torch.save(saved, path)
    assert load(path).recipe == RECIPE
