"""A real HDR image made into a moving world that a camera can be pointed at.

The background is a plane far away; the rig in front of it pans, shakes and rolls a little; objects move on
their own paths at their own depths. ``World`` is frozen and every path is a function of time, so an instant
can be rendered in any order, by any thread, in any process, with the same bytes.

Layers are averaged over the exposure one by one and then composed. That leaves out only the correlation of
two layers' motion *within* one exposure, and it makes motion blur of a fast object cost its bounding box
instead of the frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np

from edge.frames import FloatImage
from hw.simulator.motion import Matrix, Motion, Path, Wave, similarity, swing, translation, tremor
from hw.simulator.radiance import SceneError, exposure_scale, limit_peak, load_radiance, resample
from hw.simulator.sprite import Sprite, make_rgba
from hw.simulator.warp import average, between, bounding_box, corners, invert, project, travel

__all__ = ["SceneError", "Stage", "View", "World", "load_radiance", "make_world"]


@dataclass(frozen=True, eq=False, slots=True)
class View:
    """One camera's place in the rig.

    ``baseline_m`` is the distance to the right of the reference camera. ``homography`` (3x3, None for
    identity) maps this camera's pixels to the reference camera's pixels for the *background* plane; objects
    keep the parallax that their nearness adds to it.
    """

    baseline_m: float = 0.0
    homography: Matrix | None = None


REFERENCE_VIEW = View()


@dataclass(frozen=True, slots=True)
class Stage:
    """How an image is staged: its crop, its exposure and what moves in front of it.

    ``zoom`` enlarges source pixels; ``centre`` is the crop's centre as fractions of width and height (None:
    drawn). ``percentile`` of the image's brightest channel sits at ``level``, unless ``scale`` gives the
    factor itself. ``peak`` bends what is brighter (see ``limit_peak``; None: leaves it). ``margin_px`` is the
    room for pan and shake around the view (None: a fifth of its width and a twelfth of its height).
    ``objects`` get mean luminances from ``object_levels`` in turn, or drawn from 0.01 to 4 when it is empty.
    """

    zoom: float = 1.5
    centre: tuple[float, float] | None = None
    percentile: float = 95.0
    level: float = 1.0
    scale: float | None = None
    peak: float | None = 16.0
    margin_px: tuple[int, int] | None = None
    objects: int = 3
    object_levels: tuple[float, ...] = ()
    object_size: tuple[float, float] = (0.15, 0.45)
    """Smallest and largest side, as fractions of the view's height."""
    object_kinds: tuple[str, ...] = ("card", "ball", "blob")
    object_depth_m: tuple[float, float] = (2.0, 8.0)
    background_depth_m: float = 40.0
    focal_px: float | None = None
    """None: the view's width, a 53 degree lens."""


@dataclass(frozen=True, eq=False, slots=True)
class World:
    """A scene ready to be filmed at ``width`` x ``height``. Build it with ``make_world``."""

    background: FloatImage
    width: int
    height: int
    focal_px: float
    background_depth_m: float
    pan: Path
    shake: Path
    sprites: tuple[Sprite, ...] = field(default=())
    """Far to near."""

    def render(self, t_s: float, view: View = REFERENCE_VIEW) -> FloatImage:
        """Radiance at the instant ``t_s`` seen by ``view``: (H, W, 3) float32 in reference units."""
        return self.exposed(t_s, 0.0, view)

    def exposed(self, t_mid_s: float, exposure_s: float, view: View = REFERENCE_VIEW) -> FloatImage:
        """Radiance averaged over ``exposure_s`` around ``t_mid_s``: (H, W, 3) float32 in reference units.

        As many instants are averaged as the motion has pixels: one below half a pixel.
        """
        image = self._background(t_mid_s, exposure_s, view)
        for sprite in self.sprites:
            self._draw(image, sprite, t_mid_s, exposure_s, view)
        return image

    def _to_plane(self, t_s: float, homography: Matrix | None) -> Matrix:
        """Pixels of a camera (``homography`` as in View) to the scene plane at ``t_s``."""
        x = self.pan.x.at(t_s) + self.shake.x.at(t_s)
        y = self.pan.y.at(t_s) + self.shake.y.at(t_s)
        roll = self.shake.angle.at(t_s)
        matrix = similarity(roll, 1.0, x, y, 0.5 * (self.width - 1), 0.5 * (self.height - 1))
        return matrix if homography is None else matrix @ homography

    def _background(self, t_mid_s: float, exposure_s: float, view: View) -> FloatImage:
        rows, columns = self.background.shape[:2]
        to_texture = translation(0.5 * (columns - 1), 0.5 * (rows - 1))

        def to_background(t_s: float) -> Matrix:
            return to_texture @ self._to_plane(t_s, view.homography)

        start, end = to_background(t_mid_s - 0.5 * exposure_s), to_background(t_mid_s + 0.5 * exposure_s)
        matrices = between(start, end, travel(start, end, corners(self.width, self.height)))
        return average(self.background, matrices, self.width, self.height, cv2.BORDER_REFLECT_101)

    def _draw(self, image: FloatImage, sprite: Sprite, t_mid_s: float, exposure_s: float, view: View) -> None:
        rows, columns = sprite.rgba.shape[:2]
        cx, cy = 0.5 * (columns - 1), 0.5 * (rows - 1)
        nearness = 1.0 / sprite.depth_m - 1.0 / self.background_depth_m
        parallax = translation(self.focal_px * view.baseline_m * nearness, 0.0)
        to_reference = parallax if view.homography is None else parallax @ view.homography

        def to_sprite(t_s: float) -> Matrix:
            x = self.pan.x.at(t_s) + sprite.path.x.at(t_s)
            y = self.pan.y.at(t_s) + sprite.path.y.at(t_s)
            from_plane = similarity(-sprite.path.angle.at(t_s), 1.0, cx, cy, x, y)
            return from_plane @ self._to_plane(t_s, to_reference)

        start, end = to_sprite(t_mid_s - 0.5 * exposure_s), to_sprite(t_mid_s + 0.5 * exposure_s)
        outline = corners(columns, rows)
        swept = np.hstack([project(invert(matrix), outline) for matrix in (start, end)])
        box = bounding_box(swept, self.width, self.height)
        if box is None:
            return
        left, top, right, bottom = box
        to_box = translation(left, top)
        matrices = [matrix @ to_box for matrix in between(start, end, travel(start, end, outline))]
        layer = average(sprite.rgba, matrices, right - left, bottom - top, cv2.BORDER_CONSTANT)
        under = image[top:bottom, left:right]
        through = 1.0 - layer[..., 3]
        for channel in range(3):
            under[..., channel] *= through
            under[..., channel] += layer[..., channel]


def make_world(
    radiance: FloatImage,
    width: int,
    height: int,
    seed: int | tuple[int, ...],
    stage: Stage | None = None,
    motion: Motion | None = None,
) -> World:
    """Stage ``radiance`` ((H, W, 3) float32, any scale) for a view of ``width`` x ``height``.

    The same arguments give the same world, in any process. An image too small for ``zoom`` is enlarged more.
    """
    stage, motion = stage or Stage(), motion or Motion()
    rng = np.random.Generator(np.random.PCG64(seed))
    margin_x, margin_y = stage.margin_px or (max(24, width // 5), max(16, height // 12))
    scale = stage.scale
    if scale is None:
        scale = exposure_scale(radiance, stage.percentile, stage.level)
    background = _crop(rng, radiance, width + 2 * margin_x, height + 2 * margin_y, stage)
    background *= np.float32(scale)
    if stage.peak is not None:
        background = limit_peak(background, stage.peak)
    wobble = 1.5 * motion.shake_px + 0.5 * width * math.radians(motion.roll_deg)
    wobble += 2.0 + width / 80.0  # the secondary camera never points quite where the reference does
    pan = Path(
        swing(rng, margin_x - wobble, motion.pan_px_s),
        swing(rng, margin_y - wobble, 0.25 * motion.pan_px_s),
    )
    roll = tremor(rng, math.radians(motion.roll_deg))
    shake = Path(tremor(rng, motion.shake_px), tremor(rng, motion.shake_px), roll)
    sprites = [_sprite(rng, radiance, width, height, i, stage, motion) for i in range(stage.objects)]
    sprites.sort(key=lambda sprite: -sprite.depth_m)
    focal_px = stage.focal_px or float(width)
    return World(background, width, height, focal_px, stage.background_depth_m, pan, shake, tuple(sprites))


def _crop(
    rng: np.random.Generator, radiance: FloatImage, width: int, height: int, stage: Stage
) -> FloatImage:
    """The part of the image that the pan can see, at the view's scale: (height, width, 3), a fresh array."""
    rows, columns = radiance.shape[:2]
    zoom = max(stage.zoom, width / columns, height / rows)
    crop_w, crop_h = min(columns, math.ceil(width / zoom)), min(rows, math.ceil(height / zoom))
    drawn = rng.uniform((0.0, 0.25), (1.0, 0.75))  # the poles of a panorama are stretched beyond use
    u, v = stage.centre or (float(drawn[0]), float(drawn[1]))
    left = min(max(round(u * columns - 0.5 * crop_w), 0), columns - crop_w)
    top = min(max(round(v * rows - 0.5 * crop_h), 0), rows - crop_h)
    return resample(radiance[top : top + crop_h, left : left + crop_w], width, height)


def _sprite(
    rng: np.random.Generator,
    source: FloatImage,
    width: int,
    height: int,
    index: int,
    stage: Stage,
    motion: Motion,
) -> Sprite:
    small, large = stage.object_size
    side = rng.uniform(small * height, large * height, 2)
    level = math.exp(rng.uniform(math.log(0.01), math.log(4.0)))
    if stage.object_levels:
        level = stage.object_levels[index % len(stage.object_levels)]
    edge_px = float(rng.uniform(0.8, 2.5))
    kind = stage.object_kinds[int(rng.integers(len(stage.object_kinds)))]
    if kind == "ball":
        side[1] = side[0]
    rgba = make_rgba(rng, source, max(8, int(side[0])), max(8, int(side[1])), kind, level, edge_px)
    reach = rng.uniform((0.1, 0.1), (0.3, 0.3)) * (width, height)
    lane = (index + rng.random()) / stage.objects - 0.5  # spread across the view
    centre = (0.8 * lane * width, rng.uniform(-0.18, 0.18) * height)
    speed = motion.object_px_s * rng.uniform(0.4, 1.0, 2) * (1.0, 0.5)
    path = Path(
        swing(rng, float(reach[0]), float(speed[0]), float(centre[0])),
        swing(rng, float(reach[1]), float(speed[1]), float(centre[1])),
        swing(rng, math.radians(20.0), math.radians(motion.spin_deg_s)) if motion.spin_deg_s else Wave(),
    )
    near, far = stage.object_depth_m
    return Sprite(rgba, 1.0 / float(rng.uniform(1.0 / far, 1.0 / near)), path)
