"""One colour a pixel to three: everything the cameras see passes through here."""

from __future__ import annotations

import numpy as np
import pytest

from edge.develop.demosaic import demosaic, demosaic_fine, is_mosaic
from edge.develop.linear import DevelopSettings, develop
from edge.frames import FloatImage, PixelFormat
from edge.judge.quality import mu_law, psnr
from hw.simulator.library import scene_world
from hw.simulator.sensor import BAYER, Raw, Sensor, expose

PATTERNS: tuple[PixelFormat, ...] = ("bayer_rggb", "bayer_bggr", "bayer_grbg", "bayer_gbrg")


@pytest.fixture(scope="module")
def radiance() -> FloatImage:
    image = scene_world("garden", 320, 192, seed=1).exposed(1.0, 0.0)
    cut: FloatImage = np.minimum(image, np.float32(1.0))
    return cut


def raw_of(radiance: FloatImage, pattern: PixelFormat, seed: int | None = None, **changes: object) -> Raw:
    sensor = Sensor(pixel_format=pattern, **changes)  # type: ignore[arg-type]
    return expose(radiance, sensor, 1.0, rng=None if seed is None else np.random.default_rng(seed))


def quality(linear: FloatImage, truth: FloatImage) -> float:
    return psnr(mu_law(np.clip(linear, 0, 1)), mu_law(truth))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_fine_is_worth_its_time_on_every_pattern(radiance: FloatImage, pattern: PixelFormat) -> None:
    """Coloured fringes along every edge, in every recording; a pattern off by a row would be far worse."""
    sensor = Sensor(pixel_format=pattern)
    raw = raw_of(radiance, pattern)
    fast = develop(raw, pattern, DevelopSettings(sensor.black, sensor.white))
    fine = develop(raw, pattern, DevelopSettings(sensor.black, sensor.white, demosaic="fine"))
    assert quality(fine, radiance) > quality(fast, radiance) + 3.0


def test_fine_is_no_worse_in_noise(radiance: FloatImage) -> None:
    """At night the finer method must not paint worms."""
    sensor = Sensor(full_well_e=2_000.0, read_noise_e=5.0)
    raw = raw_of(radiance, "bayer_rggb", seed=1, full_well_e=2_000.0, read_noise_e=5.0)
    settings = DevelopSettings(sensor.black, sensor.white)
    fast = develop(raw, "bayer_rggb", settings)
    fine = np.clip(demosaic_fine(raw, "bayer_rggb", sensor.black, sensor.white), 0, 1)
    assert quality(fine, radiance) > quality(fast, radiance) + 0.5


@pytest.mark.parametrize("pattern", PATTERNS)
def test_an_even_wall_stays_even_and_keeps_its_colour(pattern: PixelFormat) -> None:
    """Gains are applied before the interpolation; what is white must come out white, to the edge."""
    level, gains = np.array((0.2, 0.4, 0.1)), (2.0, 1.0, 4.0)
    raw = np.zeros((10, 14), np.uint16)
    for site, channel in enumerate(BAYER[pattern]):
        raw[site // 2 :: 2, site % 2 :: 2] = round(level[channel] * 4000) + 95
    linear = demosaic_fine(raw, pattern, 95, 4095, gains)
    np.testing.assert_allclose(linear, 0.4, rtol=1e-4)
    settings = DevelopSettings(95, 4095, gains, demosaic="fine")
    np.testing.assert_allclose(develop(raw, pattern, settings), 0.4, rtol=1e-4)


def test_noise_below_black_is_kept_until_it_is_clipped() -> None:
    """Cut early, the mean of a black picture would rise: shadows would glow."""
    rng = np.random.default_rng(0)
    raw = np.round(256 + rng.normal(0, 8, (64, 64))).astype(np.uint16)
    linear = demosaic_fine(raw, "bayer_rggb", 256, 4095)
    assert linear.min() < 0 < linear.max()
    assert abs(float(linear.mean())) < 0.2 * float(linear.std())


@pytest.mark.parametrize("size", [(2, 2), (3, 5), (4, 2), (8, 6)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_small_and_odd_images(size: tuple[int, int], dtype: type[np.uint8 | np.uint16]) -> None:
    """A crop is an image too, and so is one of 8 bits."""
    raw = np.full(size, 40, dtype)
    linear = demosaic_fine(raw, "bayer_gbrg", 0, 255)
    assert linear.shape == (*size, 3)
    np.testing.assert_allclose(linear, 40 / 255, rtol=1e-4)


def test_what_is_no_mosaic_is_left_alone() -> None:
    """Cameras that interpolate themselves, and monochrome ones."""
    rgb = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert demosaic(rgb, "rgb") is rgb
    assert demosaic(rgb[..., 0], "mono").shape == (2, 4, 3)
    assert [is_mosaic(f) for f in ("rgb", "mono", "bayer_bggr")] == [False, False, True]
    fine = develop(rgb, "rgb", DevelopSettings(0, 255, demosaic="fine"))
    np.testing.assert_allclose(fine, rgb / 255, atol=1e-6)
