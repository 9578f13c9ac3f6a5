"""Training data is what the network will meet: linear, in the right units, and never a validation image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.frames import Exposure, FloatImage
from export.judging.evaluate import blend_only, radiance_merge, reference_only, score, validation_set
from export.training.brackets import VALIDATION, gamma_mean, make_sample, random_exposures, split_images
from export.training.data import Pool, fill_pool, render_shard, tiles
from hw.simulator.library import FOLDER
from hw.simulator.scene import Stage, make_world
from hw.simulator.sensor import Sensor
from hw.simulator.triples import render_triple

EXPOSURES = (Exposure(1000.0), Exposure(4000.0), Exposure(16000.0))


@pytest.fixture(scope="module")
def radiance() -> FloatImage:
    """A bright sky over a dark ground with a texture, 128 x 256."""
    rng = np.random.default_rng(0)
    base = np.where(np.arange(128)[:, None] < 64, 2.0, 0.1) * np.ones((128, 256))
    texture = rng.uniform(0.5, 1.5, (16, 32, 3)).repeat(8, 0).repeat(8, 1)
    return (base[..., None] * texture).astype(np.float32)


def still_sample(radiance: FloatImage, sensor: Sensor | None = None) -> tuple[FloatImage, ...]:
    world = make_world(radiance, 96, 64, 1, Stage(objects=0, zoom=1.0, scale=1.0))
    sample = make_sample(render_triple(world, sensor or Sensor(), 0.0, 0.0, 0.0, EXPOSURES, 1))
    return sample.low, sample.reference, sample.high, sample.truth


@pytest.mark.parametrize("response", [(1.0, 1.0, 1.0), (0.5, 1.0, 0.7)])
def test_truth_is_on_the_scale_of_the_low_exposure(
    radiance: FloatImage, response: tuple[float, float, float]
) -> None:
    """A wrong factor here trains a network whose pictures are too bright or too dark, or tinted."""
    low, reference, high, truth = still_sample(radiance, Sensor(response=response))
    inner = (slice(8, -8), slice(8, -8))
    for image, factor in ((low, 1.0), (reference, 4.0), (high, 16.0)):
        # Where white balance makes a channel clip early the smallest clipping level is still 1.
        usable = (truth[inner] * factor < 0.7) & (truth[inner] * factor > 0.02)
        ratio = np.median(image[inner][usable] / (truth[inner][usable] * factor))
        assert ratio == pytest.approx(1.0, abs=0.03)


def test_tiles_cover_the_view_once(radiance: FloatImage) -> None:
    """Channels in the order low, reference, high, truth; a swap would teach nonsense."""
    world = make_world(radiance, 128, 64, 1, Stage(objects=0, zoom=1.0, scale=1.0))
    sample = make_sample(render_triple(world, Sensor(), 0.0, 0.0, 0.0, EXPOSURES, 1))
    cut = list(tiles(sample, 64))
    assert len(cut) == 2
    assert cut[1].shape == (12, 64, 64)
    assert np.allclose(cut[1][3:6].transpose(1, 2, 0), sample.reference[:, 64:], atol=1e-3)
    assert np.allclose(cut[1][9:].transpose(1, 2, 0), sample.truth[:, 64:], atol=1e-3)


def test_the_same_seed_renders_the_same_shard(radiance: FloatImage) -> None:
    """A published model's training set can be made again."""
    first, second = (render_shard([radiance], (5, 3), 2) for _ in range(2))
    assert first["pixels"].tobytes() == second["pixels"].tobytes()
    assert first["exposure"].tobytes() == second["exposure"].tobytes()
    assert first["pixels"].tobytes() != render_shard([radiance], (5, 4), 2)["pixels"].tobytes()


def test_exposures_are_in_order_and_cover_the_range() -> None:
    """-2, 0, +2 EV most often, 1 to 4 EV and unequal besides; times are those a 30 fps camera can have."""
    rng = np.random.default_rng(0)
    steps = []
    for _ in range(300):
        low, reference, high = random_exposures(rng)
        steps.append((low.ev_from(reference), high.ev_from(reference)))
        assert 0 < low.exposure_us <= 33_000
        assert high.exposure_us <= 33_000
    below, above = np.array(steps).T
    assert (below.min(), below.max()) == pytest.approx((-4, -1), abs=0.1)
    assert (above.min(), above.max()) == pytest.approx((1, 4), abs=0.1)
    usual = np.isclose(below, -2) & np.isclose(above, 2)
    assert 0.4 < usual.mean() < 0.6
    assert (~np.isclose(-below, above)).any()


def test_validation_images_and_shipped_scenes_stay_out_of_training(tmp_path: Path) -> None:
    """A score on pictures the network has seen is worth nothing."""
    for name in (*VALIDATION, "ph_other"):
        (tmp_path / f"{name}.exr").touch()
    training, held = split_images(tmp_path)
    assert [f.stem for f in training] == ["ph_other"]
    assert len(held) == len(VALIDATION)
    scenes = (FOLDER / "README.md").read_text()
    panoramas = [line.split("`")[3] for line in scenes.splitlines() if line.startswith("| `")]
    assert panoramas
    assert {f"ph_{p}" for p in panoramas} <= set(VALIDATION)


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    """The usual mistake is the wrong folder."""
    with pytest.raises(FileNotFoundError, match="radiance images"):
        split_images(tmp_path)


def test_pool_grows_keeps_what_is_there_and_draws_patches(tmp_path: Path, radiance: FloatImage) -> None:
    """Training starts on the first shard and takes in the others as they come."""
    from hw.simulator.radiance import load_radiance

    images = tmp_path / "images"
    images.mkdir()
    (images / "ph_garden.exr").symlink_to(FOLDER / "garden.exr")
    assert load_radiance(images / "ph_garden.exr").ndim == 3
    folder = tmp_path / "pool"
    fill_pool(folder, images, seed=1, counts={"mixed": 1}, views=2)
    pool = Pool(folder)
    with pytest.raises(LookupError, match="render"):
        pool.draw(np.random.default_rng(0), 1, 64)
    pool.refresh()
    before, written = len(pool), (folder / "00000.npy").stat().st_mtime_ns
    fill_pool(folder, images, seed=1, counts={"mixed": 1, "tinted": 1}, views=2)
    pool.refresh()
    assert len(pool) > before
    assert (folder / "00000.npy").stat().st_mtime_ns == written
    pixels, exposure, mean = pool.draw(np.random.default_rng(0), 5, 64)
    assert pixels.shape == (5, 12, 64, 64)
    assert exposure.shape == mean.shape == (5, 3)
    assert (exposure[:, 1] == 1).all()
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    again = pool.draw(np.random.default_rng(0), 5, 64)[0]
    assert np.array_equal(pixels, again)


def test_gamma_mean_is_that_of_the_contract() -> None:
    """The device computes the same number; a difference shifts the alignment of low and high."""
    image = np.array([0.0, 0.25, 1.0], np.float32).reshape(1, 1, 3)
    assert gamma_mean(image) == pytest.approx((0.25 ** (1 / 2.2) + 1) / 3, abs=1e-3)


def test_baselines_reproduce_a_still_scene(radiance: FloatImage) -> None:
    """Where nothing moves merge and blend recover highlights; otherwise they would be straw men."""
    world = make_world(radiance, 96, 64, 1, Stage(objects=0, zoom=1.0, scale=1.0))
    sample = make_sample(
        render_triple(
            world, Sensor(), 0.0, 0.0, 0.0, (Exposure(1000.0), Exposure(4000.0), Exposure(8000.0)), 1
        )
    )
    scores = {m: score(m, {"still": sample}).psnr_mu for m in (reference_only, radiance_merge, blend_only)}
    assert scores[radiance_merge] > scores[reference_only] + 5
    assert scores[blend_only] > scores[reference_only] + 5


def test_validation_set_is_one_bracket_per_held_out_image(tmp_path: Path) -> None:
    """Scores of different runs are compared, so the set must not change with anything but the images."""
    for name in VALIDATION[:2]:
        (tmp_path / f"{name}.exr").symlink_to(FOLDER / "square.exr")
    first, second = (validation_set(tmp_path, (96, 64)) for _ in range(2))
    assert list(first) == list(VALIDATION[:2])
    for name, sample in first.items():
        assert np.array_equal(sample.reference, second[name].reference)
        assert float((sample.reference.max(axis=2) > 0.97).mean()) > 0.01
