"""Training patches: real HDR images filmed by the simulator, with what a pair of real cameras gets wrong.

One ``render_view`` films one bracket at 576x384 and cuts it into six tiles of 192x192. A pool on disk is
filled by a process of its own while training reads it, so that a training step never waits for a render.

A shard is two files. ``NNNNN.npy``: (K, 12, S, S) float16, read through a memory map; channels low,
reference, high (linear sensor values in [0, 1]) and truth (the network's domain: 1.0 saturates the low
exposure). ``NNNNN.npz``, written last: ``exposure`` (K, 3), light of low, reference, high over the
reference's, and ``mean`` (K, 3), gamma domain means of the whole view.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.develop import DevelopSettings, develop
from edge.frames import Exposure, FloatImage
from hw.simulator.motion import Motion
from hw.simulator.radiance import load_radiance
from hw.simulator.scene import Stage, World, make_world
from hw.simulator.sensor import Raw, Sensor
from hw.simulator.triples import Triple, render_triple, residual_homography

TILE = 192
VIEW = (576, 384)
GAMMA = 2.2

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


def make_sample(triple: Triple, mismatch: FloatImage | None = None) -> Sample:
    """Develop a rendered triple; ``mismatch`` (3,) multiplies the secondary camera's channels."""
    balance = np.asarray(triple.sensor.response, np.float64)
    gains = tuple(float(g) for g in 1.0 / balance / (1.0 / balance).min())
    settings = DevelopSettings(triple.sensor.black, triple.sensor.white, (gains[0], gains[1], gains[2]))

    def linear(raw: Raw) -> FloatImage:
        return develop(raw, triple.sensor.pixel_format, settings)

    low, reference, high = linear(triple.low), linear(triple.reference), linear(triple.high)
    if mismatch is not None:
        low, high = (np.minimum(x * mismatch, 1.0) for x in (low, high))
    light = np.array([e.light for e in triple.exposures], np.float32)
    exposure = light / light[1]
    # Balanced channels reach the sensor's own scale only through the weakest gain.
    truth = np.clip(triple.truth * np.float32(balance.max() * exposure[0]), 0.0, 1.0)
    mean = np.array([gamma_mean(x) for x in (low, reference, high)], np.float32)
    return Sample(low, reference, high, truth, exposure, mean)


def random_exposures(
    rng: np.random.Generator, gains_db: Sequence[float] = (0, 0, 6, 12, 18, 24)
) -> tuple[Exposure, Exposure, Exposure]:
    """Low, reference, high: (-2, 0, +2) EV most often, else 1 to 3 EV apart on either side, unequal.

    The high exposure is longer as far as half a 30 fps period allows, then gains take over.
    """
    below, above = (2.0, 2.0) if rng.random() < 0.55 else rng.choice((1.0, 1.5, 2.0, 2.5, 3.0), 2)
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


def render_view(rng: np.random.Generator, world: World, clean: bool = False) -> Sample:
    """Film one bracket of ``world`` with random cameras at a random time.

    ``clean`` is a good camera in good light. Trained on noisy brackets alone, the network takes what is
    really dark for the noise of something black.
    """
    shift = float(np.exp(rng.uniform(np.log(0.05), np.log(3.0))))
    triple = render_triple(
        world,
        Sensor() if clean else random_sensor(rng),
        float(rng.uniform(0, 30)),
        _age(rng),
        _age(rng),
        random_exposures(rng, (0, 0, 0, 6)) if clean else random_exposures(rng),
        seed=int(rng.integers(2**31)),
        baseline_m=float(rng.choice((0.0, 1.0))) * float(rng.uniform(0.02, 0.1)),
        secondary_homography=residual_homography(rng, world.width, world.height, shift, 0.5 * shift),
    )
    mismatch = np.exp(rng.normal(0, 0.015) + rng.normal(0, 0.008, 3)).astype(np.float32)
    return make_sample(triple, mismatch)


def tiles(sample: Sample, size: int = TILE) -> Iterator[NDArray[np.float16]]:
    """``sample`` cut into (12, size, size) float16 tiles, row by row."""
    stack = np.concatenate((sample.low, sample.reference, sample.high, sample.truth), axis=2)
    rows, columns = stack.shape[0] // size, stack.shape[1] // size
    for i in range(rows):
        for j in range(columns):
            tile = stack[i * size : (i + 1) * size, j * size : (j + 1) * size]
            yield np.ascontiguousarray(tile.transpose(2, 0, 1)).astype(np.float16)


def render_shard(
    images: Sequence[FloatImage], seed: tuple[int, ...], views: int, clean: bool = False
) -> dict[str, NDArray[np.generic]]:
    """Two brackets each of ``views // 2`` random worlds, as the arrays of one shard."""
    rng = np.random.default_rng(seed)
    pixels, exposure, mean = [], [], []
    for _ in range(views // 2):
        world = random_world(rng, images[int(rng.integers(len(images)))], VIEW, clean)
        for _ in range(2):
            sample = render_view(rng, world, clean)
            for tile in tiles(sample):
                if float(tile[9:].astype(np.float32).std()) > 1e-4:  # an even wall teaches nothing
                    pixels.append(tile)
                    exposure.append(sample.exposure)
                    mean.append(sample.mean)
    return {"pixels": np.stack(pixels), "exposure": np.stack(exposure), "mean": np.stack(mean)}


def fill_pool(
    folder: Path,
    images: Path,
    seed: int,
    shards: int,
    clean: int = 16,
    views: int = 48,
    done: Callable[[int], None] = lambda _: None,
) -> None:
    """Render into ``folder`` until there are ``shards`` mixed shards and ``clean`` clean ones after them.

    Shards already there are kept. ``done`` is told the index of each shard that is there.
    """
    cv2.setNumThreads(1)
    training, _ = split_images(images)
    loaded = [load_radiance(f) for f in training]
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(shards + clean):
        path = folder / f"{index:05d}.npz"
        if path.exists():
            done(index)
            continue
        arrays = render_shard(loaded, (seed, index), views, index >= shards)
        np.save(path.with_suffix(".npy"), arrays["pixels"])
        partial = path.with_suffix(".partial")
        with open(partial, "wb") as file:
            np.savez(file, exposure=arrays["exposure"], mean=arrays["mean"])
        os.replace(partial, path)
        done(index)


class Pool:
    """Shards of a folder, growing as ``refresh`` finds new ones; draws augmented patches."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: list[str] = []
        self._shards: list[dict[str, NDArray[np.generic]]] = []
        self._index: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._index)

    def refresh(self, names: Sequence[str] | None = None) -> None:
        """Take in new shards, in the order of their names, or exactly ``names`` (a resumed run's)."""
        found = sorted(p.name for p in self.folder.glob("*.npz")) if names is None else list(names)
        for name in found:
            if name in self.names:
                continue
            path = self.folder / name
            with np.load(path) as file:
                shard = {key: file[key] for key in ("exposure", "mean")}
            shard["pixels"] = np.load(path.with_suffix(".npy"), mmap_mode="r")
            self._index += [(len(self._shards), i) for i in range(len(shard["mean"]))]
            self._shards.append(shard)
            self.names.append(name)

    def draw(self, rng: np.random.Generator, batch: int, size: int) -> tuple[NDArray[np.float32], ...]:
        """(batch, 12, size, size), exposure (batch, 3), mean (batch, 3), all float32.

        Random crop, flip, quarter turn and channel permutation. Raises LookupError on an empty pool.
        """
        if not self._index:
            raise LookupError(f"{self.folder}: no training shards yet; start `twinhdr-export render` first")
        picks = rng.integers(len(self._index), size=batch)
        pixels = np.empty((batch, 12, size, size), np.float32)
        exposure, mean = np.empty((batch, 3), np.float32), np.empty((batch, 3), np.float32)
        for row, pick in enumerate(picks):
            s, i = self._index[int(pick)]
            shard = self._shards[s]
            pixels[row] = _augment(rng, shard["pixels"][i], size)
            exposure[row], mean[row] = shard["exposure"][i], shard["mean"][i]
        return pixels, exposure, mean


def _augment(rng: np.random.Generator, tile: NDArray[np.generic], size: int) -> NDArray[np.generic]:
    room = tile.shape[1] - size + 1
    top, left = rng.integers(room, size=2)
    patch = tile[:, top : top + size, left : left + size]
    patch = np.rot90(patch, int(rng.integers(4)), axes=(1, 2))
    if rng.random() < 0.5:
        patch = patch[:, :, ::-1]
    colours = rng.permutation(3)
    return patch.reshape(4, 3, size, size)[:, colours].reshape(12, size, size)


def digest(names: Sequence[str]) -> str:
    """Short name of a list of shards, for logs."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:12]
