"""A dataset as training shards, so that a run takes real brackets in beside rendered ones.

The shards are those of ``export.training.data``: registered as on the device and cut into tiles. Put into a
pool of rendered ones, or into a folder of their own, they are what ``twinhdr-export train --pool`` reads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.register.align import Aligner
from export.layouts.bracket import Bracket, DatasetError
from export.training.brackets import Sample, registered
from export.training.data import TILE, tiles

SHARD_TILES = 288
"""As many as a rendered shard has: 250 MB."""
EVEN = 1e-4
"""Standard deviation of a truth that teaches nothing."""

Prepare = Callable[[Sample], Sample]


def register(sample: Sample) -> Sample:
    """``sample`` with low and high brought onto the reference, as the device does before the network."""
    return registered(sample, Aligner("fine"))


def bracket_shards(
    brackets: Iterable[Bracket],
    pool: Path,
    name: str = "dataset",
    prepare: Prepare = register,
    done: Callable[[Bracket, int], None] = lambda _bracket, _tiles: None,
) -> int:
    """Cut ``brackets`` into tiles and write them as shards ``NAME-00000`` and on of ``pool``; how many.

    One bracket and one shard are in memory at a time. Brackets without ground truth are left out; ``done`` is
    told each bracket and its tiles. Raises DatasetError where such shards are there or nothing is left.
    """
    if any(pool.glob(f"{name}-*.np[yz]")):
        raise DatasetError(f"{pool}: has shards {name}-* already; remove them or choose another folder")
    pool.mkdir(parents=True, exist_ok=True)
    waiting: list[tuple[NDArray[np.float16], NDArray[np.float32], NDArray[np.float32]]] = []
    written = 0
    for bracket in brackets:
        cut = 0
        if bracket.truth is not None:
            sample = prepare(bracket.sample())
            for tile in tiles(sample):
                if float(tile[9:].astype(np.float32).std()) > EVEN:
                    waiting.append((tile, sample.exposure, sample.mean))
                    cut += 1
        done(bracket, cut)
        while len(waiting) >= SHARD_TILES:
            _write(pool / f"{name}-{written:05d}.npz", waiting[:SHARD_TILES])
            del waiting[:SHARD_TILES]
            written += 1
    if waiting:
        _write(pool / f"{name}-{written:05d}.npz", waiting)
        written += 1
    if not written:
        raise DatasetError(
            f"{pool}: no tile to write; training needs brackets with ground truth of at least {TILE} x {TILE}"
        )
    return written


def _write(
    path: Path, rows: list[tuple[NDArray[np.float16], NDArray[np.float32], NDArray[np.float32]]]
) -> None:
    """Pixels first, then the .npz by a rename: a pool takes a shard in when it sees that."""
    pixels, exposure, mean = (np.stack(column) for column in zip(*rows, strict=True))
    try:
        np.save(path.with_suffix(".npy"), pixels)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez(file, exposure=exposure, mean=mean)
        os.replace(partial, path)
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be written: {error.strerror}; check the folder and the disk"
        ) from None
