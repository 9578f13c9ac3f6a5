"""Overlapping tiles over an image, and weights that make their seams invisible. Geometry only."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Span:
    """``start`` to ``stop`` of one axis with a weight in [0, 1] for each position; float32."""

    start: int
    stop: int
    weight: NDArray[np.float32]


def spans(length: int, tile: int, multiple: int, margin: int) -> list[Span]:
    """Cut ``length`` into spans of at most ``tile`` whose weights add up to one everywhere.

    Starts are multiples of ``multiple``, so that a network's windows lie where they lie in the whole image.
    Neighbours overlap by more than two margins: within one margin of its cut edges, where a network lacks
    context, a span weighs nothing; over the next margin it fades in linearly. Raises ValueError when
    ``tile`` cannot hold that.
    """
    if length <= tile:
        return [Span(0, length, np.ones(length, np.float32))]
    smallest = smallest_tile(multiple, margin)
    if tile % multiple or tile < smallest:
        raise ValueError(f"a tile of {tile} must be a multiple of {multiple} and at least {smallest}")
    overlap = smallest // 2
    count = math.ceil((length - overlap) / (tile - overlap))
    last = _up(length - tile, multiple)
    starts = [round(k * last / (count - 1) / multiple) * multiple for k in range(count)]
    weights = [_trapezoid(start, min(start + tile, length), length, margin) for start in starts]
    total = np.zeros(length, np.float64)
    for start, weight in zip(starts, weights, strict=True):
        total[start : start + weight.size] += weight
    return [
        Span(start, start + weight.size, (weight / total[start : start + weight.size]).astype(np.float32))
        for start, weight in zip(starts, weights, strict=True)
    ]


def smallest_tile(multiple: int, margin: int) -> int:
    """The smallest tile that ``spans`` takes: two overlaps with room for rounding to the grid."""
    return 2 * (_up(2 * margin, multiple) + 2 * multiple)


def grid(height: int, width: int, tile: int, multiple: int, margin: int) -> Iterator[tuple[Span, Span]]:
    """(rows, columns) of every tile, row by row. See ``spans``."""
    columns = spans(width, tile, multiple, margin)
    for rows in spans(height, tile, multiple, margin):
        for column in columns:
            yield rows, column


def _trapezoid(start: int, stop: int, length: int, margin: int) -> NDArray[np.float64]:
    """0 within ``margin`` of a cut edge, 1 beyond two margins; the image's own edges are not cut."""
    position = np.arange(start, stop) + 0.5
    left = np.full(stop - start, np.inf) if start == 0 else position - start
    right = np.full(stop - start, np.inf) if stop == length else stop - position
    weight: NDArray[np.float64] = np.clip((np.minimum(left, right) - margin) / margin, 0.0, 1.0)
    return weight


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
