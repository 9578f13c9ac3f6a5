"""Clipping marks, exposure histogram and focus figure: what a person trusts when setting up a camera."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.frames import FloatImage
from edge.viewfinder.aids import BIN_EV, BINS, clipped_marks, histogram, largest_channel, sharpness


def grey(level: float, height: int = 540, width: int = 960) -> FloatImage:
    return np.full((height, width, 3), level, np.float32)


def largest(*values: float) -> NDArray[np.float32]:
    return np.array([values], np.float32)


def marks_of(picture: FloatImage, ceiling: float = 1.0) -> NDArray[np.uint8]:
    marks = cv2.imdecode(np.frombuffer(clipped_marks(picture, ceiling), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert marks is not None
    return np.asarray(marks, np.uint8)


def test_a_histogram_puts_light_where_it_belongs() -> None:
    """A stop is four bins; what clips is in the last; what is too dark for the axis in the first."""
    assert histogram(largest(1.0, 4.0))[-1] == 1.0
    assert histogram(largest(0.26))[BINS - 1 - 7] == 1.0, "1.94 stops below full scale"
    assert histogram(largest(0.0, -1.0))[0] == 1.0
    assert histogram(largest(4.0), ceiling=4.0)[-1] == 1.0
    assert histogram(largest(0.9 * 2**-9.6))[0] + histogram(largest(2**-9.6))[1] == 2.0
    assert pytest.approx(10) == BINS * BIN_EV


def test_a_small_lamp_is_marked() -> None:
    """One clipped pixel of a 4K picture must not vanish when the marks are made small."""
    picture = grey(0.2, 2160, 3840)
    picture[1001, 2003] = (0.1, 0.99, 0.1)
    marks = marks_of(picture)
    assert marks.shape == (270, 480)
    y, x = np.unravel_index(int(marks.argmax()), marks.shape)
    assert marks[y, x] > 200
    assert (abs(int(y) - 1001 // 8), abs(int(x) - 2003 // 8)) <= (1, 1)
    assert (marks > 128).sum() <= 4


def test_marks_know_the_ceiling_of_the_fused_picture() -> None:
    """The fused picture reaches beyond the reference: there 1.0 is not clipped."""
    assert marks_of(grey(1.5), 4.0).max() < 10
    assert marks_of(grey(4.0), 4.0).min() > 240


def test_sharpness_falls_with_every_step_out_of_focus() -> None:
    """One turns the ring and watches the figure: it must have one best place."""
    noise = np.random.default_rng(7).uniform(0.05, 0.9, (540, 960, 1)).astype(np.float32)
    scene = cv2.GaussianBlur(np.repeat(noise, 3, axis=2), (0, 0), 1.0)
    figures = [sharpness(cv2.GaussianBlur(scene, (0, 0), blur)) for blur in (0.4, 0.8, 1.5, 3.0, 6.0)]
    assert figures == sorted(figures, reverse=True)
    assert figures[0] > 2 * figures[2]
    assert sharpness(scene * 0.5) == pytest.approx(sharpness(scene), rel=0.1), "another exposure, same focus"
    assert sharpness(grey(0.5)) == 0


def test_the_largest_channel_decides() -> None:
    """A red lamp clips in red alone."""
    picture = grey(0.1, 4, 4)
    picture[0, 0, 0] = 1.0
    assert largest_channel(picture)[0, 0] == 1.0
    assert largest_channel(picture, step=2).shape == (2, 2)
