"""Two ways to film one scene in HDR: our two cameras, and one that alternates its exposure.

Both film the simulator's world at the same frame rate with the same three exposures, and both are fused frame
by frame by the same method. Our reference frame always has the medium exposure. The single camera fuses each
frame with its neighbours, so the frame that says what is where is short, medium and long in turn: what it
clips or drowns in noise changes from frame to frame (the paper's Fig. 1 and Table III).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edge.frames import Exposure, FloatImage
from edge.pair import Pair, nearest_pair
from edge.register.align import stand_in
from export.judging.filming import Film
from export.training.brackets import Sample, gamma_mean
from hw.simulator.library import scene_world
from hw.simulator.scene import View
from hw.simulator.spec import CameraSpec

FPS = 30.0
BASELINE_M = 0.05
LOW, REFERENCE, HIGH = Exposure(2_000.0), Exposure(8_000.0), Exposure(32_000.0)
MISSING_EV = 2.0
"""How far from the frame an exposure counts that no neighbour has: a network wants a low and a high one."""


@dataclass(frozen=True, eq=False, slots=True)
class Moment:
    """One frame to be fused.

    ``to_low`` brings the answer, whose 1.0 saturates ``sample``'s own low exposure, to the scale of the
    scene's low exposure; ``truth`` is on that scale. ``group`` names what the frame was fused with.
    """

    t_s: float
    sample: Sample
    to_low: float
    truth: FloatImage
    group: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Shoot:
    """A scene (shipped name or EXR file) and the exposures of both setups."""

    scene: str = "workshop"
    width: int = 960
    height: int = 540
    frames: int = 48
    low: Exposure = LOW
    reference: Exposure = REFERENCE
    high: Exposure = HIGH
    seed: int = 1


def dual_camera(shoot: Shoot) -> Iterator[Moment]:
    """Our setup: reference at 30 frames per second, secondary at 15, in turn low and high, pairs as live."""
    world = scene_world(shoot.scene, shoot.width, shoot.height, shoot.seed)
    unit = shoot.reference.light
    reference = Film(world, CameraSpec(1e6 / FPS, (shoot.reference,)), "reference", unit, shoot.seed)
    cycle = CameraSpec(2e6 / FPS, (shoot.low, shoot.high))
    secondary = Film(world, cycle, "secondary", unit, shoot.seed, View(BASELINE_M))
    pairs = [
        Pair(secondary.stamped(seq), secondary.stamped(seq + 1)) for seq in range(0, shoot.frames // 2 + 5, 2)
    ]
    for seq in _filmed(shoot):
        t_ns = reference.stamped(seq).t_ns
        pair = nearest_pair(t_ns, pairs)
        assert pair is not None
        low, high = pair.low.frame.seq, pair.high.frame.seq
        images = secondary.linear(low), reference.linear(seq), secondary.linear(high)
        yield _moment(
            shoot, t_ns, images, (shoot.low.light, unit, shoot.high.light), reference.truth(seq), (low, high)
        )


def alternating_camera(shoot: Shoot, exposures: int = 3) -> Iterator[Moment]:
    """One camera at 30 frames per second that cycles low, medium, high, or with two exposures low, high.

    Each frame is fused with the frame before and the frame after it.
    """
    world = scene_world(shoot.scene, shoot.width, shoot.height, shoot.seed)
    cycle = (shoot.low, shoot.reference, shoot.high) if exposures == 3 else (shoot.low, shoot.high)
    film = Film(world, CameraSpec(1e6 / FPS, cycle), "reference", shoot.reference.light, shoot.seed)
    for seq in _filmed(shoot):
        own = film.exposure(seq).light
        around = (seq - 1, seq + 1)
        darker = [near for near in around if film.exposure(near).light < own]
        brighter = [near for near in around if film.exposure(near).light > own]
        image = film.linear(seq)
        low, low_light = _other(film, image, darker, own, -MISSING_EV)
        high, high_light = _other(film, image, brighter, own, MISSING_EV)
        lights = (low_light, own, high_light)
        yield _moment(
            shoot, film.stamped(seq).t_ns, (low, image, high), lights, film.truth(seq), (seq % len(cycle),)
        )


def _filmed(shoot: Shoot) -> range:
    """From the second frame on: every frame that is judged has a neighbour on either side."""
    return range(1, shoot.frames + 1)


def _other(
    film: Film, image: FloatImage, found: list[int], own: float, missing_ev: float
) -> tuple[FloatImage, float]:
    """The neighbour with the most different exposure and its light; what ``image`` knows of it if none."""
    if not found:
        ratio = 2.0**missing_ev
        return stand_in(image, ratio), own * ratio
    sign = 1.0 if missing_ev > 0 else -1.0
    farthest = max(found, key=lambda seq: sign * film.exposure(seq).light)
    return film.linear(farthest), film.exposure(farthest).light


def _moment(
    shoot: Shoot,
    t_ns: int,
    images: tuple[FloatImage, FloatImage, FloatImage],
    lights: tuple[float, float, float],
    radiance: FloatImage,
    group: tuple[int, ...],
) -> Moment:
    exposure = np.array(lights, np.float32) / np.float32(lights[1])
    # On the scene's scale, not the sample's: no method looks at it, and it is judged with ``to_low``.
    truth = np.clip(radiance * np.float32(shoot.low.light / shoot.reference.light), 0.0, 1.0)
    mean = np.array([gamma_mean(image) for image in images], np.float32)
    to_low = shoot.low.light / lights[0]
    return Moment(t_ns * 1e-9, Sample(*images, truth, exposure, mean), to_low, truth, group)
