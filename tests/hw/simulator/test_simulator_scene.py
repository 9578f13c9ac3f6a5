"""The moving world: geometry, motion blur, staging, files."""

from __future__ import annotations

from pathlib import Path as FilePath

import cv2
import numpy as np
import pytest

from edge.frames import FloatImage
from hw.simulator.library import FOLDER, SCENES, scene_motion, scene_stage, scene_world
from hw.simulator.motion import Motion, Path, Wave
from hw.simulator.radiance import brightest_channel, limit_peak, resample
from hw.simulator.scene import SceneError, Stage, View, World, load_radiance, make_world
from hw.simulator.sprite import Sprite

STILL = Path()


def disc(side: int = 41, level: float = 2.0) -> FloatImage:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    coverage = np.clip(side / 2 - 3 - np.hypot(x, y), 0, 1).astype(np.float32)
    return np.dstack([level * coverage] * 3 + [coverage]).astype(np.float32)


def world(sprite_path: Path = STILL, pan: Path = STILL, depth_m: float = 2.0) -> World:
    """One bright disc before black, 160x120, focal length 200 px, background at 20 m."""
    background = np.zeros((180, 240, 3), np.float32)
    sprites = (Sprite(disc(), depth_m, sprite_path),)
    return World(background, 160, 120, 200.0, 20.0, pan, STILL, sprites)


def centroid(image: FloatImage) -> tuple[float, float]:
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    weight = image[..., 1].astype(float)
    return float((x * weight).sum() / weight.sum()), float((y * weight).sum() / weight.sum())


@pytest.mark.parametrize("depth_m", [1.0, 2.0, 5.0])
def test_near_objects_shift_left_in_the_right_hand_camera(depth_m: float) -> None:
    """Parallax of the wrong sign or size would make simulated ghosts unlike those of real rigs."""
    scene, baseline_m = world(depth_m=depth_m), 0.1
    x0, y0 = centroid(scene.render(0.0))
    x1, y1 = centroid(scene.render(0.0, View(baseline_m)))
    assert x1 - x0 == pytest.approx(-200.0 * baseline_m * (1 / depth_m - 1 / 20.0), abs=0.05)
    assert y1 == pytest.approx(y0, abs=0.05)


def test_an_object_at_the_background_has_no_parallax() -> None:
    """The homography is exact on the background plane; an offset there would spoil every calibration test."""
    scene = world(depth_m=20.0)
    assert np.array_equal(scene.render(0.0), scene.render(0.0, View(0.1)))


def test_secondary_pixels_map_to_reference_pixels_by_the_homography() -> None:
    """A calibration written from it would rectify the wrong way round."""
    scene = scene_world("workshop", 160, 96, 3, Stage(zoom=0.4, objects=0), Motion(shake_px=0.3))
    angle = np.deg2rad(2.0)
    to_reference = np.array(
        ((np.cos(angle), -np.sin(angle), 6.0), (np.sin(angle), np.cos(angle), -3.0), (1e-5, 0.0, 1.0))
    )
    reference, secondary = scene.render(1.3), scene.render(1.3, View(0.0, to_reference))
    rectified = cv2.warpPerspective(secondary, to_reference, (160, 96), flags=cv2.INTER_LINEAR)
    inner = (slice(16, -16), slice(16, -16))
    aligned = np.abs(np.log((rectified[inner] + 0.1) / (reference[inner] + 0.1))).mean()
    misaligned = np.abs(np.log((secondary[inner] + 0.1) / (reference[inner] + 0.1))).mean()
    assert aligned < 0.2 * misaligned


def test_motion_blur_moves_light_and_makes_none() -> None:
    """An exposure that gained or lost light with motion would flicker with the speed of the scene."""
    path = Path(x=Wave(((40.0, 10.0, 0.0),)))  # 400 px/s through the middle
    scene = world(path)
    sharp, blurred = scene.render(0.0), scene.exposed(0.0, 0.03)
    assert blurred.sum() == pytest.approx(sharp.sum(), rel=2e-3)
    assert centroid(blurred)[0] == pytest.approx(centroid(sharp)[0], abs=0.1)
    lit = [int((image[60, :, 1] > 0.01).sum()) for image in (sharp, blurred)]
    assert lit[1] - lit[0] == pytest.approx(400 * 0.03, abs=2)


def test_exposure_is_the_mean_of_its_instants() -> None:
    """Few samples must stand for the whole exposure, or blur would show as a row of ghosts."""
    path = Path(Wave(((150.0, 2.5, -0.3),)), Wave(((60.0, 3.0, -0.3),)), Wave(((0.3, 2.0, 0.0),)))
    pan = Path(Wave(((30.0, 1.5, 0.0),)))
    scene = world(path, pan)
    instants = [scene.render(0.1 + 0.03 * ((i + 0.5) / 200 - 0.5)) for i in range(200)]
    mean = np.mean(instants, axis=0)
    assert np.abs(scene.exposed(0.1, 0.03) - mean).max() < 0.05 * mean.max()
    assert np.abs(scene.render(0.1) - mean).max() > 0.3 * mean.max()


def test_a_still_world_is_the_same_at_any_exposure() -> None:
    """Short and long exposures of what does not move must agree exactly, or stillness would show ghosts."""
    scene = world()
    assert np.array_equal(scene.render(0.0), scene.exposed(5.0, 0.5))


def test_objects_cover_what_is_behind_them() -> None:
    """A dark object that let the bright background through would not be an occlusion."""
    dark = disc(level=0.01)
    scene = World(np.ones((180, 240, 3), np.float32), 160, 120, 200.0, 20.0, STILL, STILL, ())
    covered = World(scene.background, 160, 120, 200.0, 20.0, STILL, STILL, (Sprite(dark, 2.0, STILL),))
    image = covered.render(0.0)
    assert image[60, 80, 0] == pytest.approx(0.01, abs=1e-4)
    assert image[5, 5, 0] == 1.0


def test_an_object_outside_the_view_is_left_out() -> None:
    """Objects leave the view all the time; drawing one there must not fail."""
    scene = world(Path(x=Wave(centre=500.0)))
    assert scene.render(0.0).max() == 0.0


def test_same_seed_same_world_other_seed_other_world() -> None:
    """Training data and the demo could not be repeated."""
    radiance = load_radiance(FOLDER / "square.exr")
    one, same, other = (make_world(radiance, 128, 96, seed).exposed(2.0, 0.01) for seed in (5, 5, 6))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_sprites_have_soft_edges_and_a_clear_border() -> None:
    """Hard cut-outs would teach the network edges that no lens makes; an opaque border would draw boxes."""
    radiance = load_radiance(FOLDER / "garden.exr")
    stage = Stage(objects=12, object_kinds=("card", "ball", "blob"))
    for sprite in make_world(radiance, 320, 240, 1, stage).sprites:
        coverage = sprite.rgba[..., 3]
        assert max(coverage[0].max(), coverage[-1].max(), coverage[:, 0].max(), coverage[:, -1].max()) == 0.0
        assert coverage.max() == 1.0
        assert ((coverage > 0.1) & (coverage < 0.9)).sum() > 10


@pytest.mark.parametrize("scene", sorted(SCENES))
def test_shipped_scenes_need_the_bracket(scene: str) -> None:
    """A demo without clipped highlights and deep shadows would show nothing that HDR is for."""
    image = scene_world(scene, 480, 270, 1).render(1.0)
    brightest = brightest_channel(image)
    assert 0.03 < (brightest > 1.0).mean() < 0.2
    assert (brightest > 4.0).mean() < 0.04
    assert (brightest < 0.05).mean() > 0.08


@pytest.mark.parametrize("scene", sorted(SCENES))
def test_shipped_scenes_move(scene: str) -> None:
    """A still demo would hide ghosts."""
    filmed = scene_world(scene, 480, 270, 1)
    first, second = filmed.render(1.0), filmed.render(1.1)
    assert (np.abs(first - second) > 0.02).mean() > 0.02
    assert len(filmed.sprites) >= 3


def test_shipped_scenes_are_small_and_credited() -> None:
    """A clone would grow by what nobody needs; a missing credit would make the scenes unusable."""
    files = sorted(FOLDER.glob("*.exr"))
    assert [file.stem for file in files] == sorted(SCENES)
    assert sum(file.stat().st_size for file in files) < 2_500_000
    readme = (FOLDER / "README.md").read_text()
    assert all(file.name in readme for file in files)
    assert "CC0" in readme


def test_scene_is_the_same_view_at_any_width() -> None:
    """A small preview run would otherwise show another scene than the full one."""
    small = scene_world("workshop", 240, 136, 2).render(0.0)
    large = scene_world("workshop", 480, 272, 2, motion=scene_motion(240)).background
    assert scene_stage("workshop", 480).zoom == pytest.approx(2 * scene_stage("workshop", 240).zoom)
    assert large.shape[1] / small.shape[1] == pytest.approx(2 * 1.4, rel=0.01)


def test_limit_peak_keeps_hue_and_order() -> None:
    """A bent sun that changed colour or fell below its surroundings would be a dark hole in the sky."""
    ramp = np.geomspace(0.1, 1e5, 500, dtype=np.float32)
    image = np.stack((ramp, 0.5 * ramp, 0.25 * ramp), axis=-1)[None]
    bent = limit_peak(image, 8.0)
    below = ramp <= 4.0
    assert np.array_equal(bent[:, below], image[:, below])
    assert (np.diff(bent[0, :, 0]) >= -1e-6 * bent[0, 1:, 0]).all()
    assert bent.max() <= 8.0
    assert np.allclose(bent[..., 1] / bent[..., 0], 0.5, rtol=1e-5)


def test_enlarging_never_rings_below_zero() -> None:
    """A black ring around every lamp."""
    image = np.full((20, 20, 3), 0.01, np.float32)
    image[10, 10] = 5000.0
    large = resample(image, 60, 60)
    assert large.min() >= 0.0
    assert large.max() > 1000.0


@pytest.mark.parametrize("content", [None, b"", b"not an image", "torn"])
def test_unreadable_image_is_one_clear_error(tmp_path: FilePath, content: bytes | str | None) -> None:
    """A traceback from the EXR library says nothing about which file to replace."""
    path = tmp_path / "scene.exr"
    if content == "torn":
        path.write_bytes((FOLDER / "square.exr").read_bytes()[:50_000])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(SceneError, match=r"scene\.exr"):
        load_radiance(path)


def test_unknown_scene_names_the_shipped_ones() -> None:
    """A misspelt scene must tell what there is."""
    with pytest.raises(SceneError, match="garden, square"):
        scene_world("wrokshop", 64, 48, 1)
