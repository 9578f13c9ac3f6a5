"""A pool small enough to travel: tiles of all shards in one file, companded, for machines far from the pool.

What is lost is rounding to ``bits`` on the mu-law scale (mu = 5000) that HDR fusion is judged on; nine bits
leave 65 dB PSNR-mu where every value is rounded, more where the exposures clip. The rest is lossless:
differences between neighbours in a row, folded to small positive numbers, their low bytes apart from their
high ones, LZMA. Reading takes numpy and the standard library.

The file is an ``.npz``: ``streams`` (bytes) and ``lengths`` of the tiles' LZMA streams in it; ``shape``
(tiles, 12, S, S), ``bits``; ``exposure`` and ``mean`` as in a shard.
"""

from __future__ import annotations

import lzma
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MU = 5000.0
BITS = 9
_LZMA = [{"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 0, "pb": 0}]


@dataclass(frozen=True, slots=True)
class Packed:
    """``pixels`` (K, 12, S, S) float16 in [0, 1], ``exposure`` (K, 3) and ``mean`` (K, 3) float32."""

    pixels: NDArray[np.float16]
    exposure: NDArray[np.float32]
    mean: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Summary:
    """What ``pack`` has written; ``psnr_mu`` in dB over all values of all tiles."""

    tiles: int
    shards: int
    megabytes: float
    psnr_mu: float


def mu_law(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """log(1 + mu x) / log(1 + mu) for x in [0, 1]."""
    curve: NDArray[np.float32] = np.log1p(np.float32(MU) * x) / np.float32(np.log1p(MU))
    return curve


def compand(x: NDArray[np.float32], bits: int = BITS) -> NDArray[np.uint16]:
    """Values in [0, 1] -> ``bits`` bit codes on the mu-law scale."""
    codes: NDArray[np.uint16] = np.rint(mu_law(np.clip(x, 0.0, 1.0)) * (2**bits - 1)).astype(np.uint16)
    return codes


def expand(codes: NDArray[np.uint16], bits: int = BITS) -> NDArray[np.float32]:
    """Inverse of ``compand``, up to its rounding."""
    table = np.expm1(np.linspace(0.0, 1.0, 2**bits) * np.log1p(MU)) / MU
    values: NDArray[np.float32] = table.astype(np.float32)[codes]
    return values


def encode(codes: NDArray[np.uint16]) -> bytes:
    """One tile (12, S, S), losslessly."""
    step = np.diff(codes.astype(np.int32), axis=-1, prepend=0)
    folded = np.where(step < 0, -2 * step - 1, 2 * step).astype(np.uint16)
    planes = (folded & 255).astype(np.uint8).tobytes() + (folded >> 8).astype(np.uint8).tobytes()
    return lzma.compress(planes, lzma.FORMAT_RAW, filters=_LZMA)


def decode(stream: bytes, shape: tuple[int, int, int]) -> NDArray[np.uint16]:
    """Inverse of ``encode``."""
    planes = np.frombuffer(lzma.decompress(stream, lzma.FORMAT_RAW, filters=_LZMA), np.uint8)
    low, high = planes.reshape(2, *shape).astype(np.int32)
    folded = low + 256 * high
    step = np.where(folded & 1, -(folded + 1) // 2, folded // 2)
    codes: NDArray[np.uint16] = np.cumsum(step, axis=-1).astype(np.uint16)
    return codes


def pack(
    pool: Path,
    out: Path,
    megabytes: float,
    crop: int = 160,
    bits: int = BITS,
    seed: int = 0,
    done: Callable[[float], None] = lambda _: None,
) -> Summary:
    """Write random ``crop`` wide pieces of random tiles, shard after shard in turn, until ``out`` is full.

    ``done`` is told the share that is written. Raises FileNotFoundError without shards and ValueError where
    their tiles are smaller than ``crop``.
    """
    shards = sorted(pool.glob("*.npz"))
    if not shards:
        raise FileNotFoundError(f"{pool}: no training shards; `twinhdr-export render` makes them")
    rng = np.random.default_rng(seed)
    opened = [_Shard(path, rng, crop) for path in shards]
    streams: list[bytes] = []
    exposure, mean = [], []
    size, error, values = 0, 0.0, 0
    while any(shard.order for shard in opened) and size < megabytes * 1e6 * 0.999:
        for shard in opened:
            if not shard.order:
                continue
            tile = shard.draw(rng, crop)
            codes = compand(tile.pixels.astype(np.float32), bits)
            stream = encode(codes)
            if size + len(stream) > megabytes * 1e6 * 0.999:
                size = int(megabytes * 1e6)
                break
            difference = mu_law(expand(codes, bits)) - mu_law(tile.pixels.astype(np.float32))
            error += float(np.square(difference, dtype=np.float64).sum())
            values += difference.size
            size += len(stream)
            streams.append(stream)
            exposure.append(tile.exposure)
            mean.append(tile.mean)
            done(size / (megabytes * 1e6))
    if not streams:
        raise ValueError(f"{megabytes} MB do not hold one tile {crop} wide: give more --megabytes")
    _write(out, streams, np.stack(exposure), np.stack(mean), crop, bits)
    psnr = float(-10.0 * np.log10(max(error / values, 1e-12)))
    return Summary(len(streams), len(shards), out.stat().st_size / 1e6, psnr)


class _Shard:
    """One shard and the order in which its tiles are taken."""

    def __init__(self, path: Path, rng: np.random.Generator, crop: int) -> None:
        self.pixels = np.load(path.with_suffix(".npy"), mmap_mode="r")
        with np.load(path) as file:
            self.exposure, self.mean = file["exposure"], file["mean"]
        if self.pixels.shape[-1] < crop:
            raise ValueError(f"{path}: its tiles are {self.pixels.shape[-1]} wide, less than --crop {crop}")
        self.order = [int(i) for i in rng.permutation(len(self.mean))]

    def draw(self, rng: np.random.Generator, crop: int) -> Packed:
        i = self.order.pop()
        top, left = rng.integers(self.pixels.shape[-1] - crop + 1, size=2)
        piece = self.pixels[i, :, top : top + crop, left : left + crop]
        return Packed(np.array(piece), self.exposure[i], self.mean[i])


def _write(
    out: Path,
    streams: list[bytes],
    exposure: NDArray[np.float32],
    mean: NDArray[np.float32],
    crop: int,
    bits: int,
) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_suffix(".partial")
    with open(partial, "wb") as file:
        np.savez(
            file,
            streams=np.frombuffer(b"".join(streams), np.uint8),
            lengths=np.array([len(s) for s in streams]),
            shape=np.array([len(streams), 12, crop, crop]),
            bits=np.array(bits),
            exposure=exposure.astype(np.float32),
            mean=mean.astype(np.float32),
        )
    os.replace(partial, out)


def unpack(path: Path) -> Packed:
    """Read a packed file. Raises FileNotFoundError or ValueError naming it."""
    try:
        with np.load(path) as file:
            streams, lengths = file["streams"].tobytes(), file["lengths"]
            count, *shape = (int(n) for n in file["shape"])
            bits, exposure, mean = int(file["bits"]), file["exposure"], file["mean"]
        pixels = np.empty((count, *shape), np.float16)
        ends = np.cumsum(lengths)
        for i, (end, length) in enumerate(zip(ends, lengths, strict=True)):
            codes = decode(streams[end - length : end], (shape[0], shape[1], shape[2]))
            pixels[i] = expand(codes, bits)
    except (KeyError, EOFError, IndexError, lzma.LZMAError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path}: not a packed pool ({error}); `twinhdr-export pack` writes them") from error
    return Packed(pixels, exposure, mean)
