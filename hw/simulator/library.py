"""The scenes that ship with the simulator, each staged so that a bracket of three has something to gain."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edge.frames import FloatImage
from hw.simulator.motion import Motion
from hw.simulator.radiance import SceneError, load_radiance
from hw.simulator.scene import Stage, World, make_world

FOLDER = Path(__file__).parent / "scenes"
DESIGN_WIDTH = 960
"""Zoom and motion below are for views of this width and scale with it."""

SCENES: dict[str, Stage] = {
    "workshop": Stage(
        zoom=1.7,
        centre=(0.5, 0.47),
        percentile=94.5,
        peak=12.0,
        objects=4,
        object_levels=(1.8, 0.03, 0.5, 0.12),
        object_size=(0.18, 0.34),
        background_depth_m=12.0,
    ),
    "garden": Stage(
        zoom=1.7,
        centre=(0.5, 0.47),
        percentile=91.0,
        peak=12.0,
        objects=4,
        object_levels=(1.6, 0.04, 0.4, 0.1),
        object_size=(0.15, 0.3),
        background_depth_m=30.0,
    ),
    "square": Stage(
        zoom=1.7,
        centre=(0.5, 0.45),
        percentile=96.0,
        peak=12.0,
        objects=4,
        object_levels=(2.0, 0.02, 0.5, 0.08),
        object_size=(0.15, 0.3),
        background_depth_m=60.0,
    ),
}


def scene_radiance(scene: str) -> FloatImage:
    """Radiance of a shipped scene, or of the EXR file at the path ``scene``. Raises SceneError."""
    if scene in SCENES:
        return load_radiance(FOLDER / f"{scene}.exr")
    if Path(scene).suffix.lower() != ".exr":
        raise SceneError(
            f"scene {scene!r} is neither shipped ({', '.join(SCENES)}) nor the path of an .exr file"
        )
    return load_radiance(scene)


def scene_stage(scene: str, width: int) -> Stage:
    """How ``scene`` is staged for views of ``width`` px: a file of one's own is staged as it comes."""
    stage = SCENES.get(scene, Stage(zoom=1.7, object_levels=(1.8, 0.03, 0.5)))
    return dataclasses.replace(stage, zoom=stage.zoom * width / DESIGN_WIDTH)


def scene_motion(width: int) -> Motion:
    """The default liveliness for views of ``width`` px."""
    motion, k = Motion(), width / DESIGN_WIDTH
    return dataclasses.replace(
        motion,
        pan_px_s=motion.pan_px_s * k,
        shake_px=motion.shake_px * k,
        object_px_s=motion.object_px_s * k,
    )


def scene_world(
    scene: str, width: int, height: int, seed: int, stage: Stage | None = None, motion: Motion | None = None
) -> World:
    """The world of a shipped scene or of an EXR file at ``width`` x ``height``. Raises SceneError."""
    stage, motion = stage or scene_stage(scene, width), motion or scene_motion(width)
    return make_world(scene_radiance(scene), width, height, seed, stage, motion)
