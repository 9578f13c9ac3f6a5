"""Mean luminance against time as a picture, drawn with OpenCV: what flickers is seen at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import cv2
import numpy as np

from edge.images.panel import BACKGROUND, INK
from edge.tone.sdr import Rgb8

SIZE = (960, 300)
LEFT, RIGHT, TOP, BOTTOM = 70, 12, 44, 30
COLOURS = ((225, 225, 225), (255, 170, 60), (90, 190, 255), (140, 230, 120), (235, 120, 200), (200, 200, 80))
LEAST_SPAN = 0.01
"""Of the vertical axis: a curve that is steady shall look so."""

Curve = tuple[Sequence[float], Sequence[float]]
"""Times in seconds and values."""


def curve_picture(title: str, curves: Mapping[str, Curve], span: tuple[float, float] | None = None) -> Rgb8:
    """Each curve in its colour with its name; ``span`` of the vertical axis, None to fit."""
    picture = np.full((SIZE[1], SIZE[0], 3), BACKGROUND, np.uint8)
    low, high = span or value_span(curves.values())
    times = [t for curve in curves.values() for t in curve[0]]
    first, last = min(times), max(max(times), min(times) + 1e-9)
    right, bottom = SIZE[0] - RIGHT, SIZE[1] - BOTTOM

    def place(t: float, value: float) -> tuple[float, float]:
        x = LEFT + (t - first) / (last - first) * (right - LEFT)
        return x, bottom - (min(max(value, low), high) - low) / (high - low) * (bottom - TOP)

    for value in np.linspace(low, high, 5):
        y = round(place(first, float(value))[1])
        cv2.line(picture, (LEFT, y), (right, y), (60, 60, 60), 1)
        _write(picture, f"{value:.3f}", 8, y + 4)
    _write(picture, title, LEFT, 16)
    _write(picture, f"{last - first:.1f} s", right - 40, SIZE[1] - 10)
    x = LEFT
    for number, (name, (when, values)) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = np.array([place(t, v) for t, v in zip(when, values, strict=True)])
        cv2.polylines(picture, [np.rint(points * 16).astype(np.int32)], False, colour, 1, cv2.LINE_AA, 4)
        _write(picture, name, x, 34, colour)
        x += 10 + cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)[0][0]
    return picture


def value_span(curves: Iterable[Curve]) -> tuple[float, float]:
    """A common vertical axis: all values with a margin."""
    values = np.array([v for _, vs in curves for v in vs], np.float64)
    middle, half = 0.5 * (values.max() + values.min()), 0.55 * max(float(np.ptp(values)), LEAST_SPAN)
    return float(middle - half), float(middle + half)


def _write(picture: Rgb8, text: str, x: int, y: int, colour: tuple[int, int, int] = INK) -> None:
    cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)
