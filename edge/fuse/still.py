"""Still exposures to one radiance image: ``twinhdr fuse``.

The network sees the whole image where memory allows, as in the video. A larger image goes through in
overlapping tiles with the exposure means of the whole. The network also pools features over what it sees, so
tiles differ a little from the whole; the seams are faded over and the difference stays smooth.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from edge.engines import Engine, Light, SizedEngine, mean_gamma
from edge.errors import EX_DATAERR, ImageError, TwinhdrError
from edge.frames import FloatImage
from edge.fuse.tiles import Span, grid, smallest_tile
from edge.images.imageio import read_linear
from edge.register.align import Aligner

Evs: TypeAlias = tuple[float, float, float]
"""EV (stops) of low, reference and high on any common scale, such as (-2, 0, 2)."""
Progress: TypeAlias = Callable[[int, int], None]
"""Called with (tiles done, tiles in all)."""

MAX_EV_STEP = 12.0
TILE_MARGIN = 64
MIN_TILE_PIXELS = 512 * 512
MEMORY_SHARE = 0.5
BYTES_PER_PIXEL = {"eafnet-xs": 1000, "eafnet-s": 1000, "eafnet-m": 1600, "eafnet-l": 5000}
"""Working memory under ONNX Runtime in float32, measured at one megapixel (S 786, M 1034, L 4110 bytes)
with room for the pair cache."""


class StillError(TwinhdrError):
    """Exposures that do not belong together. The text names the values and the next step."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class Bracket:
    """Exposures of one view, linear (H, W, 3) float32 in [0, 1], 1.0 = saturation of each.

    ``low`` or ``high`` may be missing, not both.
    """

    low: FloatImage | None
    reference: FloatImage
    high: FloatImage | None

    def given(self) -> list[tuple[str, FloatImage]]:
        """The images there are, by name, rising in exposure."""
        named = (("low", self.low), ("reference", self.reference), ("high", self.high))
        return [(name, image) for name, image in named if image is not None]


def read_bracket(low: Path | None, reference: Path, high: Path | None) -> Bracket:
    """Read files of one size. Raises ImageError, and StillError where neither low nor high is given."""
    if low is None and high is None:
        raise StillError(
            "a low or a high exposure is needed beside the reference: give --low, --high or both"
        )
    bracket = Bracket(
        None if low is None else read_linear(low),
        read_linear(reference),
        None if high is None else read_linear(high),
    )
    sizes = {name: f"{image.shape[1]}x{image.shape[0]}" for name, image in bracket.given()}
    if len({*sizes.values()}) != 1:
        paths = {"low": low, "reference": reference, "high": high}
        listed = ", ".join(f"{name} {paths[name]} is {size}" for name, size in sizes.items())
        raise ImageError(f"the exposures differ in size: {listed}; crop or export them alike")
    return bracket


def relative_light(ev: Evs) -> Light:
    """Light of low, reference and high relative to the reference. Raises StillError on a wrong order."""
    low, reference, high = ev
    if not all(math.isfinite(value) for value in ev) or not low < reference < high:
        raise StillError(
            f"EV {low:g} {reference:g} {high:g}: they must rise from low over reference to high, "
            "for example --ev -2 0 2"
        )
    if max(reference - low, high - reference) > MAX_EV_STEP:
        raise StillError(
            f"EV {low:g} {reference:g} {high:g}: more than {MAX_EV_STEP:g} EV apart; give stops, not seconds"
        )
    return 2.0 ** (low - reference), 1.0, 2.0 ** (high - reference)


def doubts(bracket: Bracket) -> list[str]:
    """What looks wrong though it can be fused, one line each."""
    means = [(name, mean_gamma(image)) for name, image in bracket.given()]
    if means == sorted(means, key=lambda named: named[1]):
        return []
    listed = ", ".join(f"{name} {mean:.3f}" for name, mean in means)
    return [f"the mean brightness does not rise with the exposure ({listed}); were the files swapped?"]


def fuse_still(
    bracket: Bracket,
    ev: Evs,
    engine: Engine,
    *,
    aligner: Aligner | None = None,
    max_pixels: int | None = None,
    progress: Progress | None = None,
) -> FloatImage:
    """Fuse a bracket into radiance (H, W, 3) float32, >= 0, 1.0 = what saturates the reference.

    Images are of one size, any size. ``aligner`` brings low and high onto the reference and stands in for a
    missing one; without it both are needed and taken as they are. ``max_pixels`` is what the network may see
    at once (None: what the free memory allows); an engine of one size sees it whole. Raises StillError and
    EngineError.
    """
    light = relative_light(ev)
    shapes = [image.shape for _, image in bracket.given()]
    if len({*shapes}) != 1:
        raise StillError(f"the exposures differ in size: {', '.join(map(str, shapes))}")
    low, reference, high = bracket.low, bracket.reference, bracket.high
    if aligner is not None:
        aligned = aligner.align(reference, low, high, light)
        low, high, light = aligned.low, aligned.high, aligned.light
    if low is None or high is None:
        raise StillError("a missing exposure can only be stood in for with --align fine or --align fast")
    means = mean_gamma(low), mean_gamma(reference), mean_gamma(high)
    height, width = reference.shape[:2]
    whole = height * width if isinstance(engine, SizedEngine) else None
    tile = _tile((height, width), engine, whole or max_pixels or affordable_pixels(engine.name))
    tiles = list(grid(height, width, tile, engine.multiple, TILE_MARGIN))
    radiance = np.zeros(reference.shape, np.float32)
    for done, (rows, columns) in enumerate(tiles):
        if progress:
            progress(done, len(tiles))
        window = slice(rows.start, rows.stop), slice(columns.start, columns.stop)
        cache = engine.encode_pair(low[window], high[window], light, means[1], (means[0], means[2]))
        fused = engine.fuse(cache, reference[window])
        radiance[window] += fused * _weight(rows, columns)
    if progress:
        progress(len(tiles), len(tiles))
    return radiance


def affordable_pixels(engine_name: str, meminfo: Path = Path("/proc/meminfo")) -> int:
    """Pixels that half of the free memory lets this network see at once."""
    per_pixel = BYTES_PER_PIXEL.get(engine_name, max(BYTES_PER_PIXEL.values()))
    return max(MIN_TILE_PIXELS, int(MEMORY_SHARE * _free_bytes(meminfo) / per_pixel))


def _free_bytes(meminfo: Path) -> int:
    for line in meminfo.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _tile(size: tuple[int, ...], engine: Engine, max_pixels: int) -> int:
    """Side of square tiles of at most ``max_pixels`` (but a few hundred); all of a small image."""
    if size[0] * size[1] <= max_pixels:
        return max(size)
    return max(
        math.isqrt(max_pixels) // engine.multiple * engine.multiple,
        smallest_tile(engine.multiple, TILE_MARGIN),
    )


def _weight(rows: Span, columns: Span) -> FloatImage:
    return (rows.weight[:, None] * columns.weight[None, :])[..., None]
