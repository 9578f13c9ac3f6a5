"""The shipped networks, run as the device runs them."""

from __future__ import annotations

import numpy as np
import pytest

from edge.engines import Engine, mean_gamma, open_engine
from edge.frames import FloatImage
from edge.judge.quality import psnr_mu

LIGHT = (0.25, 1.0, 4.0)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return open_engine("s", threads=2)


def scene(height: int, width: int) -> FloatImage:
    """A smooth landscape of light from 0.01 to 3.9, so that the reference clips on its right."""
    x = np.linspace(0.0, 1.0, width, dtype=np.float32)[np.newaxis, :, np.newaxis]
    y = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, np.newaxis, np.newaxis]
    ripple = 1.0 + 0.2 * np.sin(12.0 * x + 7.0 * y)
    tint = np.array([1.0, 0.9, 0.8], np.float32)
    return np.asarray(0.01 * 390.0**x * ripple * tint, np.float32)


def fused(engine: Engine, radiance: FloatImage) -> FloatImage:
    low, reference, high = (np.clip(radiance * gain, 0.0, 1.0).astype(np.float32) for gain in LIGHT)
    return engine.fuse(engine.encode_pair(low, high, LIGHT, mean_gamma(reference)), reference)


def test_a_still_scene_keeps_its_light(engine: Engine) -> None:
    """Else highlights and shadows come back at another brightness than they had."""
    radiance = scene(128, 192)
    assert psnr_mu(fused(engine, radiance), radiance, 4.0) > 35.0


@pytest.mark.parametrize(("height", "width"), [(100, 161), (97, 130), (33, 40)])
def test_the_border_is_as_bright_as_the_rest(engine: Engine, height: int, width: int) -> None:
    """Else every frame whose size is no multiple of the window grid has a dark rim, 960x540 among them."""
    radiance = scene(height, width) * 0.2
    ratio = fused(engine, radiance) / radiance
    for edge in (ratio[-1], ratio[-2], ratio[:, -1], ratio[:, -2], ratio[0], ratio[:, 0]):
        assert np.median(edge) == pytest.approx(1.0, abs=0.12)


def test_night_and_wide_brackets_stay_finite(engine: Engine) -> None:
    """Else a black frame or an exposure ratio of 256 shows as noise, or as nothing."""
    black = np.zeros((64, 64, 3), np.float32)
    for light in (LIGHT, (1 / 16, 1.0, 16.0)):
        cache = engine.encode_pair(black, black, light, mean_gamma(black))
        out = engine.fuse(cache, black)
        assert np.isfinite(out).all()
        assert float(out.max()) < 0.05 / light[0]
