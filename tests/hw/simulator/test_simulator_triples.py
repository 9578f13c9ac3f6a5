"""Training samples: their ground truth, their ages and their misregistration."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge.frames import Exposure
from hw.simulator.library import FOLDER
from hw.simulator.motion import Motion
from hw.simulator.scene import Stage, View, World, load_radiance, make_world
from hw.simulator.sensor import Sensor, expose, mosaic
from hw.simulator.triples import Triple, render_triple, residual_homography

BRACKET = (Exposure(2_000.0), Exposure(8_000.0), Exposure(32_000.0))
QUIET = Sensor(full_well_e=1e12, read_noise_e=0.0)


def world(seed: int = 3, motion: Motion | None = None) -> World:
    return make_world(load_radiance(FOLDER / "garden.exr"), 128, 96, seed, Stage(objects=2), motion)


def triple(sensor: Sensor = QUIET, seed: int = 1, **options: object) -> Triple:
    return render_triple(world(), sensor, 2.0, 0.03, 0.09, BRACKET, seed, **options)  # type: ignore[arg-type]


def test_truth_is_the_reference_without_noise_or_clipping() -> None:
    """Training against any other picture would teach the network a shift or a tint."""
    found = triple(Sensor(black_level=200))
    sensor = found.sensor
    value = (found.reference.astype(float) - sensor.black) / (sensor.white - sensor.black)
    expected = mosaic(found.truth, sensor)
    fits = expected < 0.9
    residual = (value - expected)[fits]
    assert found.truth.max() > 1.0
    assert (found.reference[expected > 1.1] > 0.97 * sensor.white).all()
    assert abs(residual.mean()) < 3e-4
    sigma = np.sqrt(expected[fits] / sensor.full_well_e + (sensor.read_noise_e / sensor.full_well_e) ** 2)
    assert (residual / sigma).std() == pytest.approx(1.0, abs=0.05)


def test_low_and_high_are_as_old_as_asked() -> None:
    """Ages of the wrong sign or on the wrong frame would train against motion that never happens."""
    found, scene = triple(), world()
    for frame, exposure, age_s in ((found.low, BRACKET[0], 0.03), (found.high, BRACKET[2], 0.09)):
        radiance = scene.exposed(2.0 - age_s, exposure.exposure_us * 1e-6)
        expected = expose(radiance, QUIET, exposure.light / BRACKET[1].light)
        # a vanishing noise still rounds a count up or down
        assert np.abs(frame.astype(int) - expected).max() <= 1


def test_a_still_scene_has_one_radiance_in_all_three() -> None:
    """If the bracket disagreed where nothing moves, the network would learn to distrust low and high."""
    still = world(motion=Motion(0.0, 0.0, 0.0, 0.0, 0.0))
    found = render_triple(still, QUIET, 0.0, 0.5, 0.7, BRACKET, 1)
    span = QUIET.white - QUIET.black
    low, reference, high = (
        (raw.astype(float) - QUIET.black) / span / (exposure.light / BRACKET[1].light)
        for raw, exposure in zip((found.low, found.reference, found.high), BRACKET, strict=True)
    )
    fits = mosaic(found.truth, QUIET) < 0.24
    assert np.abs(low - reference)[fits].max() < 4 * 2 / span
    assert np.abs(high - reference)[fits].max() < 2 / span


def test_baseline_and_homography_touch_only_the_secondary() -> None:
    """A shifted reference would no longer match its ground truth."""
    plain = triple()
    moved = triple(
        baseline_m=0.2, secondary_homography=residual_homography(np.random.default_rng(1), 128, 96)
    )
    assert (
        np.array_equal(plain.reference, moved.reference)
        or np.abs(plain.reference.astype(int) - moved.reference).max() <= 1
    )
    assert np.array_equal(plain.truth, moved.truth)
    assert (plain.low != moved.low).mean() > 0.3


def test_same_seed_same_bytes() -> None:
    """A training that cannot be repeated cannot be compared."""
    one, same, other = (triple(Sensor(), seed) for seed in (1, 1, 2))
    for name in ("low", "reference", "high", "truth"):
        assert np.array_equal(getattr(one, name), getattr(same, name))
    assert not np.array_equal(one.low, other.low)
    assert np.array_equal(one.truth, other.truth)


@pytest.mark.parametrize(
    ("width", "height", "bit_depth"), [(128, 128, 8), (64, 32, 10), (160, 160, 12), (1920, 1080, 12)]
)
def test_any_size_and_depth(width: int, height: int, bit_depth: int) -> None:
    """The trainer wants patches, the evaluation whole frames."""
    scene = make_world(load_radiance(FOLDER / "square.exr"), width, height, 1)
    found = render_triple(scene, Sensor(bit_depth=bit_depth), 1.0, 0.01, 0.02, BRACKET, 1)
    assert found.low.shape == found.reference.shape == found.high.shape == (height, width)
    assert found.truth.shape == (height, width, 3)
    assert found.truth.dtype == np.float32
    assert found.high.max() <= (1 << bit_depth) - 1


def test_residual_homography_is_small_and_seeded() -> None:
    """What a calibration leaves is a pixel or so, not a new viewpoint."""
    corners = np.array(((0, 0, 1), (128, 0, 1), (128, 96, 1), (0, 96, 1)), float).T
    moves = []
    for seed in range(200):
        matrix = residual_homography(np.random.default_rng(seed), 128, 96, 1.0, 0.5)
        x, y, w = matrix @ corners
        moves.append(np.stack((x / w - corners[0], y / w - corners[1])))
    assert np.std(moves) == pytest.approx((1.0 + 0.25) ** 0.5, rel=0.1)
    again = residual_homography(np.random.default_rng(199), 128, 96, 1.0, 0.5)
    assert np.array_equal(again, matrix)


def test_a_perspective_view_keeps_the_objects_on_their_background() -> None:
    """Objects and background through different maps would tear the secondary picture apart."""
    scene = world(motion=Motion(0.0, 0.0, 0.0, 0.0, 0.0))
    at_background = dataclasses.replace(
        scene,
        sprites=tuple(dataclasses.replace(s, depth_m=scene.background_depth_m) for s in scene.sprites),
    )
    matrix = np.array(((1.01, 0.02, 3.0), (-0.01, 0.99, 2.0), (2e-5, 1e-5, 1.0)))
    import cv2

    direct = at_background.render(0.0, View(0.3, matrix))
    warped = cv2.warpPerspective(
        at_background.render(0.0), matrix, (128, 96), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    inner = (slice(8, -8), slice(8, -8))
    assert np.median(np.abs(direct[inner] - warped[inner]) / (direct[inner] + 0.05)) < 0.02
