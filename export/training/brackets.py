"""Brackets with ground truth: real HDR images filmed by the simulator, with what real cameras get wrong.

What is drawn at random: scene exposure, moving objects, pan and shake, time between the frames, EV steps,
motion blur, noise by gain and bit depth, white balance, parallax, registration residual, gain and colour
mismatch of the secondary camera, errors of the reported exposure; raw mosaics, or photographs that some
converter made of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.develop.demosaic import Quality
from edge.develop.linear import DevelopSettings, develop
from edge.frames import Exposure, FloatImage
from edge.register.align import Aligner
from hw.simulator.motion import Motion
from hw.simulator.scene import Stage, World, make_world
from hw.simulator.sensor import Raw, Sensor
from hw.simulator.triples import Triple, film_triple, render_triple, residual_homography

GAMMA = 2.2

PHOTOGRAPHS = 0.4
"""Share of training brackets that are photographs; the others are raw mosaics."""

FAST_DEMOSAIC = 0.3
"""Share of the mosaics that are developed as the device does it live."""

VALIDATION = (
    "blender_courtyard",
    "openexr_CandleGlass",
    "openexr_CrissyField",
    "openexr_Desk",
    "openexr_StillLife",
    "ph_aerodynamics_workshop",
    "ph_autoshop_01",
    "ph_chinese_garden",
    "ph_leadenhall_market",
    "ph_little_paris_eiffel_tower",
    "ph_pmndrs_venice",
    "ph_potsdamer_platz",
    "ph_shanghai_riverside",
    "ph_st_fagans_interior",
    "ph_st_peters_square_night",
    "ph_thatch_chapel",
)
"""Whole images that training never sees: photographs and panoramas, day, dusk and indoors."""


@dataclass(frozen=True, eq=False, slots=True)
class Sample:
    """One bracket ready for the network.

    ``low``, ``reference``, ``high``: (H, W, 3) float32 linear in [0, 1]. ``truth``: (H, W, 3) float32 in
    [0, 1], 1.0 saturates the low exposure. ``exposure``, ``mean``: (3,) float32, see the module docstring.
    """

    low: FloatImage
    reference: FloatImage
    high: FloatImage
    truth: FloatImage
    exposure: NDArray[np.float32]
    mean: NDArray[np.float32]


def split_images(folder: Path) -> tuple[list[Path], list[Path]]:
    """EXR files of ``folder`` as (training, validation), by name. Raises FileNotFoundError without any."""
    files = sorted(folder.glob("*.exr"))
    if not files:
        raise FileNotFoundError(f"{folder}: no .exr radiance images here; name the folder that holds them")
    held = [f for f in files if f.stem in VALIDATION]
    return [f for f in files if f.stem not in VALIDATION], held


def gamma_mean(linear: FloatImage) -> float:
    """Mean of ``linear^(1/2.2)`` over all pixels and channels, as the device computes it."""
    return float(np.mean(np.power(np.maximum(linear, 2.0**-20), 1 / GAMMA)))


def registered(sample: Sample, aligner: Aligner) -> Sample:
    """``sample`` as the network gets it: the pair brought onto the reference, its light as measured.

    Truth follows to the scale of the measured low exposure.
    """
    low_light, unit, high_light = (float(e) for e in sample.exposure)
    aligned = aligner.align(sample.reference, sample.low, sample.high, (low_light, unit, high_light))
    exposure = np.array(aligned.light, np.float32)
    truth = np.clip(sample.truth * (exposure[0] / sample.exposure[0]), 0.0, 1.0)
    images = (aligned.low, sample.reference, aligned.high)
    mean = np.array([gamma_mean(x) for x in images], np.float32)
    return Sample(*images, truth, exposure, mean)


def make_sample(
    triple: Triple,
    mismatch: FloatImage | None = None,
    misreport: tuple[float, float, float] = (1.0, 1.0, 1.0),
    demosaic: Quality = "fine",
) -> Sample:
    """Develop a rendered triple; ``mismatch`` (3,) multiplies the secondary camera's channels.

    ``misreport``: reported over true light of low, reference, high. ``demosaic`` is fine for recordings and
    fast live.
    """
    balance = np.asarray(triple.sensor.response, np.float64)
    gains = tuple(float(g) for g in 1.0 / balance / (1.0 / balance).min())
    settings = DevelopSettings(
        triple.sensor.black, triple.sensor.white, (gains[0], gains[1], gains[2]), demosaic=demosaic
    )

    def linear(raw: Raw) -> FloatImage:
        return develop(raw, triple.sensor.pixel_format, settings)

    low, reference, high = linear(triple.low), linear(triple.reference), linear(triple.high)
    if mismatch is not None:
        low, high = (np.minimum(x * mismatch, 1.0) for x in (low, high))
    light = np.array([e.light for e in triple.exposures], np.float32) * np.array(misreport, np.float32)
    exposure = light / light[1]
    # Balanced channels reach the sensor's own scale only through the weakest gain.
    truth = np.clip(triple.truth * np.float32(balance.max() * exposure[0]), 0.0, 1.0)
    mean = np.array([gamma_mean(x) for x in (low, reference, high)], np.float32)
    return Sample(low, reference, high, truth, exposure, mean)


def random_exposures(
    rng: np.random.Generator, gains_db: Sequence[float] = (0, 0, 6, 12, 18, 24)
) -> tuple[Exposure, Exposure, Exposure]:
    """Low, reference, high: (-2, 0, +2) EV in half the cases, else 1 to 4 EV apart on either side, unequal.

    The high exposure is longer as far as half a 30 fps period allows, then gains take over.
    """
    below, above = (2.0, 2.0) if rng.random() < 0.5 else rng.uniform(1.0, 4.0, 2)
    reference = Exposure(float(np.exp(rng.uniform(np.log(1000), np.log(10000)))), float(rng.choice(gains_db)))
    longest = float(rng.uniform(8_000, 33_000))

    def shifted(ev: float) -> Exposure:
        time = min(reference.exposure_us * 2.0**ev, max(longest, reference.exposure_us))
        gain_db = 20 * math.log10(reference.light * 2.0**ev / time)
        return Exposure(time, gain_db)

    return shifted(-float(below)), reference, shifted(float(above))


def random_sensor(rng: np.random.Generator) -> Sensor:
    """A sensor of any common size, 12 bit most often, sometimes with an unbalanced response."""
    response = (1.0, 1.0, 1.0)
    if rng.random() < 0.35:
        response = (float(rng.uniform(0.5, 1.0)), 1.0, float(rng.uniform(0.5, 1.0)))
    return Sensor(
        full_well_e=float(np.exp(rng.uniform(np.log(4_000), np.log(30_000)))),
        read_noise_e=float(rng.uniform(1.5, 7.0)),
        bit_depth=int(rng.choice((8, 10, 12), p=(0.12, 0.23, 0.65))),
        response=response,
    )


def tinted(rng: np.random.Generator, radiance: FloatImage) -> FloatImage:
    """``radiance`` under coloured light: each channel weaker by a random factor, the strongest kept.

    Scenes in nearly one colour are rare in any set of images; without them the network takes deep red
    shadows for noise and pulls them towards grey.
    """
    factors = np.exp(-rng.exponential(1.2, 3))
    coloured: FloatImage = radiance * (factors / factors.max()).astype(np.float32)
    return coloured


def random_world(
    rng: np.random.Generator, radiance: FloatImage, size: tuple[int, int], clean: bool = False
) -> World:
    """``radiance`` staged at a random exposure, from a few clipped lamps to a mostly clipped reference.

    ``clean`` shifts the mixture to the dark, for the brackets of ``render_view`` that have little noise.
    """
    if rng.random() < 0.5:
        radiance = np.ascontiguousarray(radiance[:, ::-1])
    stage = Stage(
        zoom=float(rng.uniform(0.8, 2.6)),
        percentile=float(rng.choice((90, 95, 98, 99.5) if clean else (50, 70, 80, 90, 95, 98))),
        level=float(np.exp(rng.uniform(np.log(0.08 if clean else 0.35), np.log(2.0)))),
        peak=(None, 4.0, 8.0, 16.0, 64.0)[int(rng.integers(5))],
        objects=int(rng.integers(0, 7)),
        object_size=(0.08, 0.6),
        object_depth_m=(1.5, 20.0),
        focal_px=float(rng.uniform(500, 1100)),
    )
    still = rng.random() < 0.15
    motion = Motion(
        pan_px_s=0.0 if still else float(rng.uniform(0, 90)),
        shake_px=0.0 if still else float(rng.uniform(0, 2.0)),
        roll_deg=float(rng.uniform(0, 0.1)),
        object_px_s=0.0 if still else float(np.exp(rng.uniform(np.log(30), np.log(700)))),
        spin_deg_s=float(rng.uniform(0, 60)),
    )
    return make_world(radiance, *size, seed=int(rng.integers(2**31)), stage=stage, motion=motion)


def _age(rng: np.random.Generator) -> float:
    """Seconds between the reference and one of the pair: simultaneous now and then, else within 0.1 s."""
    return 0.0 if rng.random() < 0.15 else float(rng.uniform(-0.1, 0.1))


def render_view(rng: np.random.Generator, world: World, clean: bool = False, plain: bool = False) -> Sample:
    """Film one bracket of ``world`` with random cameras at a random time; not yet ``registered``.

    ``clean`` is a good camera in good light. Trained on noisy brackets alone, the network takes what is
    really dark for the noise of something black. ``plain`` is a photograph with next to no noise: there the
    aligned pair is nearly right, and a network that has not seen it meddles with it.
    """
    shift = float(np.exp(rng.uniform(np.log(0.05), np.log(3.0))))
    baseline_m = float(rng.choice((0.0, 1.0))) * float(rng.uniform(0.02, 0.1))
    residual = residual_homography(rng, world.width, world.height, shift, 0.5 * shift)
    exposures = random_exposures(rng, (0, 0, 0, 6)) if clean else random_exposures(rng)
    moment = (float(rng.uniform(0, 30)), _age(rng), _age(rng))
    mismatch = np.exp(rng.normal(0, 0.015) + rng.normal(0, 0.008, 3)).astype(np.float32)
    low, high = np.exp(rng.normal(0, 0.05, 2)) if rng.random() < 0.3 else (1.0, 1.0)
    misreport = (float(low), 1.0, float(high))
    if plain or rng.random() < PHOTOGRAPHS:
        filmed = film_triple(world, *moment, exposures, baseline_m, residual)
        return photograph(rng, filmed, exposures, mismatch, misreport, plain)
    sensor = Sensor() if clean else random_sensor(rng)
    seed = int(rng.integers(2**31))
    triple = render_triple(world, sensor, *moment, exposures, seed, baseline_m, residual)
    quality: Quality = "fast" if rng.random() < FAST_DEMOSAIC else "fine"
    return make_sample(triple, mismatch, misreport, quality)


def photograph(
    rng: np.random.Generator,
    filmed: tuple[FloatImage, FloatImage, FloatImage],
    exposures: tuple[Exposure, Exposure, Exposure],
    mismatch: FloatImage,
    misreport: tuple[float, float, float],
    plain: bool = False,
) -> Sample:
    """Brackets as converters and datasets give them: all colours at each pixel, gamma-coded in 8 or 16 bits.

    Noise is what a large sensor or a reduced picture has left; where ``plain``, of a tenth to none of that.
    """
    full_well = float(np.exp(rng.uniform(np.log(2e4), np.log(1e6)))) * (100.0 if plain else 1.0)
    read = 0.0 if rng.random() < 0.5 else float(rng.uniform(0, 4)) / full_well
    white = 255.0 if rng.random() < 0.4 else 65535.0
    unit = exposures[1].light
    images = []
    for number, (radiance, exposure) in enumerate(zip(filmed, exposures, strict=True)):
        value = radiance * np.float32(exposure.light / unit)
        if read:
            noise = rng.standard_normal(value.shape, np.float32)
            value = value + noise * np.sqrt(value / np.float32(full_well) + np.float32(read**2))
        if number != 1:
            value = value * mismatch
        coded = np.round(np.power(np.clip(value, 0.0, 1.0), np.float32(1 / GAMMA)) * np.float32(white))
        images.append(np.power(coded / np.float32(white), np.float32(GAMMA)))
    light = np.array([e.light for e in exposures], np.float32) * np.array(misreport, np.float32)
    exposure = light / light[1]
    truth = np.clip(filmed[1] * exposure[0], 0.0, 1.0)
    mean = np.array([gamma_mean(x) for x in images], np.float32)
    return Sample(images[0], images[1], images[2], truth, exposure, mean)
