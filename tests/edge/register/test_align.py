"""The register step: what moved between the exposures, and how much light each of them really had."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.frames import FloatImage
from edge.register.align import Aligned, Aligner, Effort, matched, stand_in
from hw.simulator.library import scene_world

LIGHT = (0.25, 1.0, 4.0)


@pytest.fixture(scope="module")
def radiance() -> FloatImage:
    """A real scene, a little brighter than the reference can take."""
    image = scene_world("garden", 320, 192, seed=1).exposed(1.0, 0.0)
    bright: FloatImage = image * np.float32(1.6)
    return bright


def exposure(radiance: FloatImage, light: float) -> FloatImage:
    exposed: FloatImage = np.minimum(radiance * np.float32(light), np.float32(1.0))
    return exposed


def shifted(image: FloatImage, dx: float, dy: float) -> FloatImage:
    matrix = np.array(((1, 0, dx), (0, 1, dy)), np.float32)
    size = image.shape[1], image.shape[0]
    moved: FloatImage = cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REFLECT_101)
    return moved


def noisy(image: FloatImage, sigma: float, seed: int = 0) -> FloatImage:
    noise = np.random.default_rng(seed).normal(0, sigma, image.shape).astype(np.float32)
    grainy: FloatImage = np.clip(image + noise, 0, 1)
    return grainy


def off(a: FloatImage, b: FloatImage) -> float:
    """Mean difference away from the edges, where a shift brings in what nobody saw."""
    return float(np.abs(a - b)[16:-16, 16:-16].mean())


@pytest.mark.parametrize("effort", ["fine", "fast"])
@pytest.mark.parametrize(("dx", "dy"), [(3.0, 0.0), (-7.5, 4.25), (12.0, -9.0)])
def test_what_moved_is_brought_back(radiance: FloatImage, effort: Effort, dx: float, dy: float) -> None:
    """A camera three pixels off its calibration, or a hand-held one, would leave double edges."""
    low = noisy(shifted(exposure(radiance, 0.25), dx, dy), 0.001)
    high = noisy(shifted(exposure(radiance, 4.0), dx, dy), 0.001)
    aligned = Aligner(effort).align(exposure(radiance, 1.0), low, high, LIGHT)
    for got, raw, light in ((aligned.low, low, 0.25), (aligned.high, high, 4.0)):
        wanted = exposure(radiance, light)
        assert off(got, wanted) < 0.3 * off(raw, wanted)


def test_what_did_not_move_stays(radiance: FloatImage) -> None:
    """The step must cost a still scene nothing: a quarter pixel of blur would show."""
    images = [exposure(radiance, light) for light in LIGHT]
    aligned = Aligner().align(images[1], images[0], images[2], LIGHT)
    assert off(aligned.low, images[0]) < 0.002
    assert off(aligned.high, images[2]) < 0.006
    assert aligned.light == pytest.approx(LIGHT, rel=0.01)


@pytest.mark.parametrize("wrong", [0.9, 1.1, 1.2])
def test_light_is_measured_where_both_saw_it(radiance: FloatImage, wrong: float) -> None:
    """A camera that reports its exposure a tenth wrong would print brighter patches on highlights."""
    reported = (0.25 * wrong, 1.0, 4.0 / wrong)
    images = [noisy(exposure(radiance, light), 0.0005) for light in LIGHT]
    aligned = Aligner().align(images[1], images[0], images[2], reported)
    assert aligned.light == pytest.approx(LIGHT, rel=0.02)


def test_a_redder_camera_is_put_right(radiance: FloatImage) -> None:
    """Two sensors of one type differ by a few per cent: highlights would change colour where they clip."""
    tint = np.array((1.06, 1.0, 0.95), np.float32)
    low = exposure(radiance, 0.25)
    coloured, ratio = matched(exposure(radiance, 1.0), low * tint, 0.25)
    assert ratio == pytest.approx(1.0, abs=0.03)
    per_channel = (coloured * ratio / low)[low[..., 0] > 0.01].mean(axis=0)
    assert per_channel == pytest.approx(np.full(3, ratio * ratio), rel=0.02)


def test_night_and_white_walls_keep_the_reported_light() -> None:
    """Where nothing was well exposed twice there is nothing to measure, and nothing may be invented."""
    for level in (0.0005, 1.0):
        reference = np.full((96, 128, 3), level, np.float32)
        aligned = Aligner().align(reference, stand_in(reference, 0.25), stand_in(reference, 4.0), LIGHT)
        assert aligned.light == pytest.approx(LIGHT, rel=1e-3)


def test_a_missing_exposure_says_what_the_reference_says(radiance: FloatImage) -> None:
    """A lost frame must not become black in the picture."""
    reference = exposure(radiance, 1.0)
    aligned = Aligner().align(reference, None, None, LIGHT)
    np.testing.assert_allclose(aligned.low, reference * 0.25)
    np.testing.assert_allclose(aligned.high, np.minimum(reference * 4, 1))
    assert aligned.light == LIGHT


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (17, 300), (33, 31), (200, 16), (64, 48)])
@pytest.mark.parametrize("effort", ["fine", "fast"])
def test_any_size(size: tuple[int, int], effort: Effort) -> None:
    """A crop of a few pixels is still an image."""
    reference = np.random.default_rng(1).uniform(0, 1, (*size, 3)).astype(np.float32)
    aligned = Aligner(effort).align(reference, reference * 0.25, np.minimum(reference * 4, 1), LIGHT)
    assert isinstance(aligned, Aligned)
    assert aligned.low.shape == aligned.high.shape == reference.shape
    for image in (aligned.low, aligned.high):
        assert np.isfinite(image).all()
        assert image.min() >= 0
        assert image.max() <= 1
