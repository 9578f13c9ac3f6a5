"""Golden scenes: a handful of small brackets on which an exported network must agree with itself.

Rendered on the fly from the scenes that ship with the simulator, the same in every process: a square at night
under street lamps, a garden against the sun, a workshop with sunlit windows, each with objects that move and
with noise, at +-2, +-3 and +-4 EV. At +-4 EV high has 256 times the light of low, and the radiance of its
darkest count is a subnormal number in FP16.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edge.frames import Exposure, FloatImage
from edge.judge.quality import mu_law, psnr
from edge.register.align import Aligner
from export.training.brackets import Sample, make_sample, registered
from hw.simulator.library import scene_stage, scene_world
from hw.simulator.sensor import Sensor
from hw.simulator.triples import render_triple

SIZE = (256, 192)
"""(width, height): multiples of every variant's."""

STEPS_EV = (2, 3, 4)
REFERENCE_US = 6000.0
LONGEST_US = 16_000.0

Frames = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Light:
    """A shipped scene, its brightest radiance in reference units, how bright it is, and the camera's gain."""

    scene: str
    peak: float
    level: float = 1.0
    gain_db: float = 0.0


LIGHTS = {
    "night": Light("square", peak=64.0, level=0.35, gain_db=12.0),
    "sun": Light("garden", peak=4000.0, level=1.5),
    "windows": Light("workshop", peak=16.0),
}

NAMES = tuple(f"{name}-ev{step}" for name in LIGHTS for step in STEPS_EV)
"""Every golden scene."""


@lru_cache(maxsize=4)
def golden(size: tuple[int, int] = SIZE, names: tuple[str, ...] | None = None) -> dict[str, Sample]:
    """The brackets for pictures of ``size`` (width, height), by ``names`` such as ``night-ev4``; None: all.

    Raises ValueError for a name that there is not.
    """
    unknown = set(names or ()) - set(NAMES)
    if unknown:
        raise ValueError(f"no golden scene {sorted(unknown)[0]!r}; there are {', '.join(NAMES)}")
    samples = {}
    for number, (name, light) in enumerate(LIGHTS.items()):
        steps = [step for step in STEPS_EV if names is None or f"{name}-ev{step}" in names]
        if not steps:
            continue
        stage = replace(scene_stage(light.scene, size[0]), peak=light.peak, level=light.level)
        world = scene_world(light.scene, *size, seed=number, stage=stage)
        for step in steps:
            bracket = _exposures(step, light.gain_db)
            triple = render_triple(world, Sensor(), 2.0, 0.03, -0.02, bracket, (number, step), 0.03)
            samples[f"{name}-ev{step}"] = registered(make_sample(triple), Aligner("fine"))
    return samples


def _exposures(step: int, gain_db: float) -> tuple[Exposure, Exposure, Exposure]:
    """Low, reference, high. Beyond half a frame's time the high exposure turns to gain, as cameras do."""
    low, high_us = REFERENCE_US * 2.0**-step, min(REFERENCE_US * 2.0**step, LONGEST_US)
    more_db = 20 * math.log10(REFERENCE_US * 2.0**step / high_us)
    return Exposure(low, gain_db), Exposure(REFERENCE_US, gain_db), Exposure(high_us, gain_db + more_db)


def frames(sample: Sample, multiple: int) -> Frames:
    """``sample`` as the inputs of the ONNX contract, mirrored to multiples of ``multiple``."""

    def planes(image: FloatImage) -> NDArray[np.float32]:
        height, width = image.shape[:2]
        padding = ((0, 0), (0, -height % multiple), (0, -width % multiple))
        return np.ascontiguousarray(np.pad(image.transpose(2, 0, 1), padding, mode="reflect")[None])

    fed = {"low": planes(sample.low), "reference": planes(sample.reference), "high": planes(sample.high)}
    return {**fed, "exposure": sample.exposure, "mean": sample.mean, "mean_reference": sample.mean[1:2]}


def agreement(
    radiance: NDArray[np.float32], expected: NDArray[np.float32], exposure: NDArray[np.float32]
) -> float:
    """PSNR-mu in dB between two answers (1, 3, H, W) in reference units; 1.0 saturates the low exposure."""
    to_low = np.float32(exposure[0] / exposure[1])
    a, b = (mu_law(np.clip(x * to_low, 0.0, 1.0)) for x in (radiance, expected))
    return psnr(a, b)
