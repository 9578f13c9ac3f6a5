"""A camera whose sensor hangs films on, as far as anybody can see who does not look at the noise."""

from __future__ import annotations

import numpy as np

from edge.capture.stuck import StuckPicture
from edge.frames import Exposure, Frame, Image

SECOND_NS = 1_000_000_000


def frame(image: Image) -> Frame:
    return Frame("reference", 0, 0, 0, Exposure(8000.0), image, "bayer_rggb", 12)


def noisy(seed: int) -> Image:
    return np.random.default_rng(seed).integers(90, 110, (48, 64)).astype(np.uint16)


def test_the_same_counts_again_are_no_new_picture() -> None:
    """Else a night is recorded of which one frame is real."""
    stuck = StuckPicture()
    assert [stuck.take(frame(noisy(7)), s * SECOND_NS) for s in range(4)] == [0.0, 1.0, 2.0, 3.0]
    assert stuck.take(frame(noisy(8)), 4 * SECOND_NS) == 0.0


def test_repeating_while_it_alternates_is_found_too() -> None:
    """A secondary camera may repeat a low and a high exposure in turn."""
    stuck = StuckPicture()
    ages = [stuck.take(frame(noisy(s % 2)), s * SECOND_NS) for s in range(6)]
    assert ages == [0.0, 0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_still_scene_a_covered_and_a_blinded_lens_are_none() -> None:
    """Nothing moves in most rooms at night; that is no fault."""
    for images in ([noisy(s) for s in range(5)], [np.zeros((48, 64), np.uint16)] * 5):
        stuck = StuckPicture()
        assert all(stuck.take(frame(image), s * SECOND_NS) == 0.0 for s, image in enumerate(images))
