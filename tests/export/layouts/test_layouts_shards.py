"""Shards made of a dataset are training patches like rendered ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edge.frames import FloatImage
from export.cli import app
from export.layouts import Bracket, DatasetError
from export.layouts import shards as shards_module
from export.layouts.shards import bracket_shards, register
from export.training.brackets import Sample
from export.training.data import Pool
from tests.export.bracket_sets import STOPS, exposed, radiance, write_coded, write_hdr, write_lines


def bracket(name: str, seed: int, truth: bool = True, size: tuple[int, int] = (200, 400)) -> Bracket:
    scene = radiance(seed, *size)
    low, reference, high = (exposed(scene, stop) for stop in STOPS)
    exposure = np.array([0.25, 1, 4], np.float32)
    return Bracket(name, low, reference, high, exposure, exposed(scene, -2) if truth else None)


def as_it_is(sample: Sample) -> Sample:
    return sample


def test_a_pool_draws_from_a_dataset(tmp_path: Path) -> None:
    """Real brackets are trained on through `train --pool`, with the pixels and exposures they came with."""
    told = []
    written = bracket_shards(
        [bracket("a", 1), bracket("b", 2, truth=False), bracket("c", 3)],
        tmp_path,
        "kalantari",
        as_it_is,
        lambda b, tiles: told.append((b.name, tiles)),
    )
    assert written == 1
    assert told == [("a", 2), ("b", 0), ("c", 2)]
    pool = Pool(tmp_path)
    pool.refresh()
    assert pool.names == ["kalantari-00000.npz"]
    assert len(pool) == 4
    pixels, exposure, mean = pool.draw(np.random.default_rng(0), 6, 64)
    assert pixels.shape == (6, 12, 64, 64)
    assert exposure == pytest.approx(np.tile([0.25, 1, 4], (6, 1)))
    assert mean.shape == (6, 3)
    stored = np.load(tmp_path / "kalantari-00000.npy")
    first = bracket("a", 1).sample()
    planes = np.concatenate((first.low, first.reference, first.high, first.truth), axis=2)
    assert stored.dtype == np.float16
    assert np.allclose(stored[1].transpose(1, 2, 0), planes[:192, 192:384], atol=1e-3)


def test_shards_are_filled_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A set of a hundred gigabytes becomes shards of 250 MB, never one array in memory."""
    monkeypatch.setattr(shards_module, "SHARD_TILES", 3)
    written = bracket_shards((bracket(str(n), n) for n in range(4)), tmp_path, prepare=as_it_is)
    assert written == 3
    pool = Pool(tmp_path)
    pool.refresh()
    assert len(pool) == 8
    assert not list(tmp_path.glob("*.partial"))


def test_brackets_are_registered_as_on_the_device(tmp_path: Path) -> None:
    """The device aligns before the network; what is trained unaligned is judged on what it never saw."""
    scene = radiance(5, 192, 192)
    moved: FloatImage = np.roll(scene, 3, axis=1)
    exposure = np.array([0.25, 1, 4], np.float32)
    shaken = Bracket(
        "x", exposed(moved, -2), exposed(scene, 0), exposed(moved, 2), exposure, exposed(scene, -2)
    )
    registered = register(shaken.sample())
    inner = (slice(16, -16), slice(16, -16))

    def off(image: FloatImage) -> float:
        return float(np.mean(np.abs(image - exposed(scene, -2))[inner]))

    assert off(registered.low) < 0.5 * off(shaken.low)


def test_nothing_is_written_over_and_nothing_is_no_success(tmp_path: Path) -> None:
    """A pool that a run is reading must not change under it, and an empty one must not look like success."""
    bracket_shards([bracket("a", 1)], tmp_path, "sen", as_it_is)
    with pytest.raises(DatasetError, match=r"has shards sen-\* already"):
        bracket_shards([bracket("a", 1)], tmp_path, "sen", as_it_is)
    with pytest.raises(DatasetError, match="no tile to write; training needs brackets with ground truth"):
        bracket_shards([bracket("b", 2, truth=False)], tmp_path, "tursun", as_it_is)
    with pytest.raises(DatasetError, match="at least 192 x 192"):
        bracket_shards([bracket("c", 2, size=(100, 400))], tmp_path, "tiny", as_it_is)


def test_the_command_makes_shards(tmp_path: Path) -> None:
    """One command from a downloaded set to what `train --pool` reads."""
    scene, folder = radiance(1, 200, 200), tmp_path / "set" / "001"
    for number, stop in enumerate(STOPS):
        write_coded(folder / f"{number}.tif", exposed(scene, stop))
    write_lines(folder / "exposure.txt", (0, 2, 4))
    write_hdr(folder / "HDRImg.hdr", exposed(scene, -2))
    pool = tmp_path / "pool"
    result = CliRunner().invoke(app, ["dataset", str(tmp_path / "set"), "--pool", str(pool)])
    assert result.exit_code == 0, result.output
    assert "1 shards of 1 tiles; 0 brackets without ground truth left out" in result.stdout
    assert sorted(path.name for path in pool.iterdir()) == ["kalantari-00000.npy", "kalantari-00000.npz"]
