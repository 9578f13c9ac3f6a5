"""Training patches: a pool of rendered brackets on disk, and what a training step draws from it.

One view is cut into six tiles, 576x384 into tiles of 192x192 unless asked otherwise. The pool is filled by a
process of its own while training reads it, so that a training step never waits for a render. Brackets are
registered as on the device before they are cut: the network learns what the alignment leaves.

A shard is two files. ``NNNNN.npy``: (K, 12, S, S) float16, read through a memory map; channels low,
reference, high (linear sensor values in [0, 1]) and truth (the network's domain: 1.0 saturates the low
exposure). ``NNNNN.npz``, written last: ``exposure`` (K, 3), light of low, reference, high over the
reference's, and ``mean`` (K, 3), gamma domain means of the whole view.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.frames import FloatImage
from edge.register.align import Aligner, stand_in
from export.training.brackets import (
    Sample,
    gamma_mean,
    random_world,
    registered,
    render_view,
    split_images,
    tinted,
)
from export.training.recipe import MISSING
from hw.simulator.radiance import load_radiance

TILE = 192

Kind: TypeAlias = Literal["mixed", "clean", "tinted", "plain"]
"""Of a shard: any camera and light; a good camera and dark scenes; the same in coloured light; photographs
with next to no noise."""


def tiles(sample: Sample, size: int = TILE) -> Iterator[NDArray[np.float16]]:
    """``sample`` cut into (12, size, size) float16 tiles, row by row."""
    stack = np.concatenate((sample.low, sample.reference, sample.high, sample.truth), axis=2)
    rows, columns = stack.shape[0] // size, stack.shape[1] // size
    for i in range(rows):
        for j in range(columns):
            tile = stack[i * size : (i + 1) * size, j * size : (j + 1) * size]
            yield np.ascontiguousarray(tile.transpose(2, 0, 1)).astype(np.float16)


def render_shard(
    images: Sequence[FloatImage],
    seed: tuple[int, ...],
    views: int,
    kind: Kind = "mixed",
    side: int = TILE,
) -> dict[str, NDArray[np.generic]]:
    """Two brackets each of ``views // 2`` random worlds, as the arrays of one shard."""
    rng = np.random.default_rng(seed)
    clean = kind in ("clean", "tinted")
    aligners = Aligner("fine"), Aligner("fine" if rng.random() < 0.5 else "fast")
    pixels, exposure, mean = [], [], []
    for _ in range(views // 2):
        radiance = images[int(rng.integers(len(images)))]
        if kind == "tinted":
            radiance = tinted(rng, radiance)
        world = random_world(rng, radiance, (3 * side, 2 * side), clean)
        for aligner in aligners:
            sample = registered(render_view(rng, world, clean, kind == "plain"), aligner)
            for tile in tiles(sample, side):
                if float(tile[9:].astype(np.float32).std()) > 1e-4:  # an even wall teaches nothing
                    pixels.append(tile)
                    exposure.append(sample.exposure)
                    mean.append(sample.mean)
    return {"pixels": np.stack(pixels), "exposure": np.stack(exposure), "mean": np.stack(mean)}


DEFAULT_COUNTS: dict[Kind, int] = {"mixed": 36, "plain": 16, "clean": 16, "tinted": 12}


def fill_pool(
    folder: Path,
    images: Path,
    seed: int,
    counts: Mapping[Kind, int] = DEFAULT_COUNTS,
    views: int = 48,
    side: int = TILE,
    done: Callable[[int], None] = lambda _: None,
) -> None:
    """Render into ``folder`` until there are ``counts`` shards of each kind, evenly mixed from the first on.

    Shards already there are kept. ``side`` is that of a tile, and of the largest patch that can be drawn.
    ``done`` is told the index of each shard that is there.
    """
    cv2.setNumThreads(1)
    training, _ = split_images(images)
    loaded = [load_radiance(f) for f in training]
    folder.mkdir(parents=True, exist_ok=True)
    places = [((n + 0.5) / count, kind) for kind, count in counts.items() for n in range(count)]
    kinds = [kind for _, kind in sorted(places)]
    for index, kind in enumerate(kinds):
        path = folder / f"{index:05d}.npz"
        if not path.exists():
            arrays = render_shard(loaded, (seed, index), views, kind, side)
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

        Random crop, flip, quarter turn and channel permutation; now and then low or high is missing and
        made from the reference, as ``edge.register.align`` does. Raises LookupError on an empty pool.
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
            lost = rng.random()
            if lost < MISSING:
                side, at = (0, 0) if lost < MISSING / 2 else (2, 6)
                made = stand_in(pixels[row, 3:6], float(exposure[row, side]))
                mean[row, side] *= float(gamma_mean(made) / max(gamma_mean(pixels[row, at : at + 3]), 1e-3))
                pixels[row, at : at + 3] = made
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
