"""The simulated scene as a loop of prepared pictures, cheap enough to be filmed beside a recorder.

A loop plays forwards and backwards, so that it has no cut, by the machine's monotonic clock: two cameras of
one machine show the same instant without knowing of each other, also after one of them was restarted.
Pictures are linear radiance of one mosaic (1.0 saturates the reference exposure), so every exposure and gain
is taken of them when a frame is. What they leave out: a picture's own motion blur is that of ``blur_s``, and
time has the grain of ``step_s``.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hw.simulator.library import scene_world
from hw.simulator.rig import true_homography
from hw.simulator.scene import REFERENCE_VIEW, View
from hw.simulator.sensor import Sensor, mosaic
from hw.simulator.spec import Geometry, SimulatorSpec

Film = NDArray[np.float16]
NOISE_TABLE = 1 << 21


@dataclass(frozen=True, slots=True)
class FilmSpec:
    """What is prepared: ``pictures`` instants of a scene as one camera of the rig sees it."""

    scene: str = "workshop"
    width: int = 960
    height: int = 540
    seed: int = 1
    secondary: bool = False
    rectified: bool = False
    pictures: int = 60
    step_s: float = 1 / 30
    blur_s: float = 0.008


def render(spec: FilmSpec) -> Film:
    """(pictures, H, W) float16 radiance behind an RGGB mosaic. Raises SceneError."""
    rig = SimulatorSpec(
        spec.scene, spec.width, spec.height, spec.seed, geometry=Geometry(rectified=spec.rectified)
    )
    world = scene_world(rig.scene, rig.width, rig.height, rig.seed)
    view = View(rig.geometry.baseline_m, true_homography(rig)) if spec.secondary else REFERENCE_VIEW
    sensor = Sensor()
    film = np.empty((spec.pictures, spec.height, spec.width), np.float16)
    for number in range(spec.pictures):
        film[number] = mosaic(world.exposed(number * spec.step_s, spec.blur_s, view), sensor)
    return film


def load(spec: FilmSpec, cache: Path | None) -> Film:
    """The film, from ``cache`` where it was rendered before. Raises SceneError, OSError."""
    if cache is None:
        return render(spec)
    path = cache / f"{hashlib.sha256(repr(spec).encode()).hexdigest()[:16]}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.stem}.{os.getpid()}.npy")
        np.save(part, render(spec))
        part.replace(path)  # whole or not at all: another camera may be reading
    film: Film = np.load(path, mmap_mode="r")
    return film


def picture_at(t_ns: int, spec: FilmSpec) -> int:
    """Which picture shows the instant ``t_ns``: 0 to the last and back again."""
    if spec.pictures == 1:
        return 0
    turn = 2 * (spec.pictures - 1)
    place = round(t_ns / (spec.step_s * 1e9)) % turn
    return min(place, turn - place)


class Noise:
    """A sensor's noise from a table: drawing half a million normal numbers a frame would cost a core.

    A frame reads the table from a random place on, so noise repeats in no fixed pattern.
    """

    def __init__(self, sensor: Sensor, seed: int) -> None:
        self._sensor = sensor
        self._rng = np.random.Generator(np.random.SFC64(seed))
        self._table = self._rng.standard_normal(NOISE_TABLE, np.float32)

    def expose(self, picture: Film, light_ratio: float, gain: float, bit_depth: int) -> NDArray[np.uint16]:
        """Counts (H, W) of ``bit_depth`` bits; see ``hw.simulator.sensor.expose`` for the model."""
        sensor = self._sensor
        value = picture.astype(np.float32)
        value *= np.float32(light_ratio)
        np.minimum(value, np.float32(gain), out=value)
        spread = value * np.float32(gain / sensor.full_well_e)
        spread += np.float32((sensor.read_noise_e * gain / sensor.full_well_e) ** 2)
        np.sqrt(spread, out=spread)
        spread *= self._draw(value.size).reshape(value.shape)
        value += spread
        white = (1 << bit_depth) - 1
        black = 1 << (bit_depth - 6)
        np.minimum(value, np.float32(gain), out=value)
        value *= np.float32(white - black)
        value += np.float32(black + 0.5)
        np.clip(value, 0.0, white, out=value)
        return value.astype(np.uint16)

    def _draw(self, count: int) -> NDArray[np.float32]:
        if count > self._table.size // 2:
            self._table = self._rng.standard_normal(4 * count, np.float32)
        begin = int(self._rng.integers(self._table.size - count))
        return self._table[begin : begin + count]
