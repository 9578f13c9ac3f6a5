"""The half hour of a lent GPU is used to the end. (On a CPU here: the same code, another device.)"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch: pip install twinhdr[export]")

from export.eafnet.config import variant  # noqa: E402
from export.training import gpu  # noqa: E402
from export.training.brackets import gamma_mean  # noqa: E402
from export.training.checkpoint import load, start  # noqa: E402
from export.training.gpu import Loan, best_batch, main, train  # noqa: E402
from export.training.gpu_pool import GpuPool, without_some  # noqa: E402
from export.training.pack import Packed, pack  # noqa: E402
from export.training.recipe import Recipe  # noqa: E402
from export.training.weights import load_weights  # noqa: E402

CPU = torch.device("cpu")
CONFIG = variant("l", width=8, growth=4, attention_width=4)
RECIPE = Recipe(CONFIG, minutes=100.0, batch=2, size=32)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def numbered(side: int) -> GpuPool:
    """Tiles whose values say where they come from: tile, channel, row, column."""
    tile, channel, row, column = np.meshgrid(
        np.arange(3), np.arange(12), np.arange(side), np.arange(side), indexing="ij"
    )
    pixels = ((tile * 12 + channel) * side + row) * side + column
    exposure = np.tile(np.array((0.25, 1, 4), np.float32), (3, 1))
    mean = np.arange(3, dtype=np.float32)[:, None].repeat(3, 1)
    scale = np.float64(pixels.max() + 1)
    pool = GpuPool(Packed(np.zeros((3, 12, side, side), np.float16), exposure, mean), CPU)
    pool.pixels = torch.from_numpy(pixels / scale)
    return pool


def test_patches_are_crops_flips_turns_and_permutations_of_one_tile() -> None:
    """A gather gone wrong would train on pictures that no camera can see."""
    side, size = 6, 5
    pool = numbered(side)
    pixels, exposure, mean = pool.draw((0, 1, 0), 400, size)
    seen = set()
    whole = pool.pixels.float()
    for patch, picked in zip(pixels, mean, strict=True):
        if not (patch[9:] >= 0).all():
            continue
        tile = int(picked[1])
        found = [
            (top, left, turn, flip, colours)
            for colours in itertools.permutations(range(3))
            for turn in range(4)
            for flip in (False, True)
            for top in range(side - size + 1)
            for left in range(side - size + 1)
            if torch.equal(patch[9:], _augmented(whole[tile, 9:], top, left, size, turn, flip, colours))
        ]
        assert len(found) == 1
        top, left, turn, flip, colours = found[0]
        assert torch.equal(patch[3:6], _augmented(whole[tile, 3:6], top, left, size, turn, flip, colours))
        seen.add((turn, flip, colours))
        if len(seen) == 48:
            break
    assert len(seen) == 48
    again = pool.draw((0, 1, 0), 400, size)
    assert torch.equal(again[0], pixels)
    assert not torch.equal(pool.draw((0, 2, 0), 400, size)[0], pixels)
    assert exposure.shape == (400, 3)


def _augmented(
    image: torch.Tensor, top: int, left: int, size: int, turn: int, flip: bool, colours: tuple[int, ...]
) -> torch.Tensor:
    patch = torch.rot90(image[list(colours), top : top + size, left : left + size], turn, (1, 2))
    return patch.flip(2) if flip else patch


def test_missing_exposures_are_made_from_the_reference_as_on_the_device() -> None:
    """The network meets groups without low or high on every start of a recording."""
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.uniform(0, 1, (3, 12, 16, 16)).astype(np.float32))
    exposure = torch.tensor([[0.25, 1.0, 4.0]]).repeat(3, 1)
    mean = torch.tensor([[0.2, 0.4, 0.6]]).repeat(3, 1)
    out, _, means = without_some(pixels, exposure, mean, torch.tensor([0.0, 0.03, 0.5]))
    reference = pixels[:, 3:6]
    assert torch.allclose(out[0, :3], reference[0] * 0.25)
    assert torch.allclose(out[1, 6:9], (reference[1] * 4).clamp(max=1))
    assert torch.equal(out[2], pixels[2])
    assert torch.equal(out[:, 9:], pixels[:, 9:])
    change = gamma_mean(out[0, :3].numpy()) / gamma_mean(pixels[0, :3].numpy())
    assert float(means[0, 0]) == pytest.approx(0.2 * change, rel=1e-4)
    assert float(means[0, 2]) == pytest.approx(0.6)
    assert torch.equal(means[2], mean[2])


def test_a_loan_is_used_up_and_something_is_kept_every_minute(pool: Path, tmp_path: Path) -> None:
    """The machine is taken back at its hour: what is not written then is lost."""
    pack(pool, tmp_path / "p.npz", 5, crop=48)
    shards = GpuPool(gpu.unpack(tmp_path / "p.npz"), CPU)
    ticks = itertools.count(0.0, 3.0)  # every look at the clock is 3 s later
    state = start(RECIPE)
    loan = Loan(tmp_path / "run", minutes=5.0, device=CPU, clock=lambda: next(ticks))
    train(state, shards, loan, began=0.0)
    log = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert next(ticks) <= 300.0
    assert len(log) >= 1 + 4
    assert load(tmp_path / "run" / "last.pt").step == state.step > 8
    assert load_weights(tmp_path / "run" / "weights.safetensors")[0].config == CONFIG


def test_the_batch_with_the_best_throughput_is_taken(
    pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too small a batch leaves the GPU idle; too large a one ends the loan with an error."""
    pack(pool, tmp_path / "p.npz", 5, crop=48)
    shards = GpuPool(gpu.unpack(tmp_path / "p.npz"), CPU)
    state = start(RECIPE)
    assert best_batch(state, shards, (1, 2)) in (1, 2)
    times = {1: 1.0, 2: 1.1, 4: 1.3, 8: 2.55, 16: 5.0}

    def timed(_run: object, batch: tuple[torch.Tensor, ...], *_: object) -> float:
        if len(batch[0]) > limit:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return times[len(batch[0])]

    monkeypatch.setattr(gpu, "seconds_of_step", timed)
    limit = 16
    assert best_batch(state, shards, (1, 2, 4, 8, 16)) == 4
    limit = 2
    assert best_batch(state, shards, (1, 2, 4, 8, 16)) == 2
    limit = 0
    with pytest.raises(ValueError, match="smaller --size"):
        best_batch(state, shards, (1, 2))


def test_the_script_trains_from_its_command_line_and_goes_on(
    pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no second half hour to find out that a word of the command was wrong."""
    pack(pool, tmp_path / "p.npz", 5, crop=48)
    monkeypatch.setattr(gpu, "variant", lambda name: replace(CONFIG, name=name))
    monkeypatch.setattr(gpu, "LAST_SAVE_S", 0.5)
    words = [str(tmp_path / "p.npz"), "--run", str(tmp_path / "run"), "--size", "32", "--device", "cpu"]
    assert main([*words, "--minutes", "0.05", "--budget", "60", "--batch", "1", "--channels-last"]) == 0
    first = load(tmp_path / "run" / "last.pt")
    assert first.step >= 1
    assert first.recipe.precision == "bf16"
    assert main([*words, "--minutes", "0.05", "--resume"]) == 0
    assert load(tmp_path / "run" / "last.pt").step > first.step
    assert main([*words, "--minutes", "1", "--resume", "--budget", "0.0001"]) == 1
    assert "--budget" in capsys.readouterr().err
    assert main([*words, "--minutes", "1", "--size", "64"]) == 1
    assert "tiles of 48 are smaller than --size 64" in capsys.readouterr().err
    if not torch.cuda.is_available():
        assert main([*words[:-1], "cuda", "--minutes", "1"]) == 1
        assert "--device cpu" in capsys.readouterr().err
