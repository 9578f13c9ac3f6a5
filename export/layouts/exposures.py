"""How much light each picture got, as datasets write it: stops or seconds, one a line, or in the file names.

The usual ``exposure.txt`` holds stops (EV, base 2) relative to any picture: ``0 2 4`` and ``-2 0 2`` are the
same. Others hold seconds (``0.0167`` or ``1/60``). A file's name may say which (ExposureTimes.txt,
ExposureBias.txt); a value of zero or below can only be a stop; a fraction can only be a time; and where
numbers alone leave both open (``1 2 4``), the pictures decide.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from edge.frames import FloatImage
from export.layouts.bracket import DatasetError
from export.layouts.files import files

LARGEST_FILE = 2**16
MOST_STOPS = 32.0
"""Between the darkest and the brightest picture: more than any camera can do."""

USUAL_NAMES = (
    "exposure.txt",
    "exposures.txt",
    "input_exp.txt",
    "ExposureTimes.txt",
    "ExposureBias.txt",
    "ExpoBias.txt",
)

WELL_EXPOSED = (0.02, 0.8)
"""Linear range in which two pictures are compared."""
FEWEST = 50
"""Values in that range in both pictures, to say anything."""

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_VALUE = re.compile(rf"({_NUMBER})(?:/({_NUMBER}))?(s?)")
_STOPS_IN_NAME = re.compile(r"(?<![a-z])ev[_ =]?([+-]?\d+(?:\.\d+)?)|([+-]?\d+(?:\.\d+)?)ev(?![a-z])", re.I)
"""``EV-2`` or ``+2EV``."""
_SECONDS_IN_NAME = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)(?:_(\d+))?s(?:ec)?(?![a-z])", re.I)
"""``0.0167s`` or ``1_60s``."""


def exposure_file(folder: Path) -> Path | None:
    """The text file of ``folder`` that holds exposures: by its usual names, else the only text file."""
    texts = files(folder, (".txt",)) if folder.is_dir() else []
    rank = {name.lower(): number for number, name in enumerate(USUAL_NAMES)}
    known = [path for path in texts if path.name.lower() in rank]
    if known:
        return min(known, key=lambda path: rank[path.name.lower()])
    return texts[0] if len(texts) == 1 else None


def read_light(path: Path, names: Sequence[str], images: Sequence[FloatImage]) -> list[float]:
    """Light of each of ``images``, files ``names``, over the darkest's, as the text file ``path`` states it.

    One value a line in the order of the file names, or lines of a name and its value. Raises DatasetError.
    """
    values, seconds = _values(path, names)
    if len(values) != len(names):
        raise DatasetError(
            f"{path}: {len(values)} exposures for {len(names)} pictures ({', '.join(names)}); "
            "write one value a line for each of them"
        )
    hint = path.name.lower()
    stops, times = _as_stops(values), _as_seconds(values)
    if seconds or "time" in hint:
        stops = None
    elif "bias" in hint:
        times = None
    light = stops or times
    if light is None:
        raise DatasetError(
            f"{path}: neither stops within {MOST_STOPS:g} EV of each other nor times above zero; correct it"
        )
    if stops is None or times is None:
        return light
    measured = measured_stops(images, sorted(range(len(values)), key=values.__getitem__))
    return min((stops, times), key=lambda stated: _distance(stated, measured))


def light_in_names(names: Sequence[str]) -> list[float] | None:
    """Relative light where every file name states stops, or every one seconds; else None."""
    stems = [Path(name).stem for name in names]
    stops = [match for match in map(_STOPS_IN_NAME.search, stems) if match]
    if len(stops) == len(stems):
        return _as_stops([float(match[1] or match[2]) for match in stops])
    times = [match for match in map(_SECONDS_IN_NAME.search, stems) if match]
    if len(times) == len(stems):
        pairs = [(float(match[1]), float(match[2] or 1)) for match in times]
        return _as_seconds([above / below if below else 0.0 for above, below in pairs])
    return None


def measured_stops(images: Sequence[FloatImage], order: Sequence[int]) -> list[float | None]:
    """Stops from each image of ``order`` to the next: the median over what both expose well, None without."""
    steps: list[float | None] = []
    low, high = WELL_EXPOSED
    for darker, brighter in pairwise(order):
        a, b = images[darker][::2, ::2], images[brighter][::2, ::2]
        both = (a > low) & (a < high) & (b > low) & (b < high)
        enough = np.count_nonzero(both) >= FEWEST
        steps.append(float(np.median(np.log2(b[both] / a[both]))) if enough else None)
    return steps


def _distance(light: Sequence[float], measured: Sequence[float | None]) -> float:
    """How far stated light is from the measured steps, in stops; 0 where nothing could be measured."""
    stated = [math.log2(b / a) for a, b in pairwise(sorted(light))]
    return sum(abs(a - b) for a, b in zip(stated, measured, strict=True) if b is not None)


def _values(path: Path, names: Sequence[str]) -> tuple[list[float], bool]:
    """Values in the order of ``names``, and whether they are written as seconds or fractions of one."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}; check the path") from None
    if len(data) > LARGEST_FILE:
        raise DatasetError(f"{path}: {len(data)} bytes; exposures are one short number a line")
    text = data.decode("utf-8-sig", "replace")
    lines = [line.partition("#")[0].replace(",", " ").split() for line in text.splitlines()]
    found = [_number(word) for line in lines for word in line]
    if None in found or not found:
        named = {line[0].lower(): _number(line[1]) for line in lines if len(line) == 2}
        found = [named.get(name.lower(), named.get(Path(name).stem.lower())) for name in names]
    numbers = [value for value in found if value is not None]
    if not numbers or len(numbers) < len(found):
        raise DatasetError(
            f"{path}: no exposures that can be read; write one value a line, stops (0, 2, 4) or times (1/60)"
        )
    return [value for value, _ in numbers], any(seconds for _, seconds in numbers)


def _number(word: str) -> tuple[float, bool] | None:
    match = _VALUE.fullmatch(word)
    if match is None:
        return None
    below = float(match[2]) if match[2] else 1.0
    value = float(match[1]) / below if below > 0 else math.inf
    return (value, bool(match[2] or match[3])) if math.isfinite(value) else None


def _as_stops(values: Sequence[float]) -> list[float] | None:
    darkest = min(values)
    return None if max(values) - darkest > MOST_STOPS else [2.0 ** (value - darkest) for value in values]


def _as_seconds(values: Sequence[float]) -> list[float] | None:
    shortest = min(values)
    if shortest <= 0 or max(values) / shortest > 2.0**MOST_STOPS:
        return None
    return [value / shortest for value in values]
