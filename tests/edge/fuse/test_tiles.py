"""Tiles cover an image of any size and leave no trace of themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.fuse.tiles import grid, smallest_tile, spans

MARGIN = 20


@given(
    length=st.integers(1, 5000),
    multiple=st.sampled_from([1, 16, 32, 64]),
    steps=st.integers(0, 20),
)
def test_every_position_is_covered_with_a_total_weight_of_one(length: int, multiple: int, steps: int) -> None:
    """A still of some width would have a dark line, a bright one, or a hole."""
    tile = -(-smallest_tile(multiple, MARGIN) // multiple) * multiple + steps * multiple
    total = np.zeros(length)
    for span in spans(length, tile, multiple, MARGIN):
        assert span.start % multiple == 0
        assert 0 < span.stop - span.start <= tile
        assert span.weight.min() >= 0
        if span.start > 0:
            assert not span.weight[:MARGIN].any(), "pixels without context on the left are used"
        if span.stop < length:
            assert not span.weight[-MARGIN:].any(), "pixels without context on the right are used"
        total[span.start : span.stop] += span.weight
    np.testing.assert_allclose(total, 1.0, atol=1e-6)


def test_no_more_tiles_than_needed() -> None:
    """A second tile that covers nothing new doubles the time."""
    assert len(spans(1024, 1024, 32, 64)) == 1
    assert len(spans(1025, 1024, 32, 64)) == 2
    assert len(list(grid(4000, 6000, 1600, 32, 64))) == 3 * 5


def test_a_tile_too_small_for_its_margins_is_refused() -> None:
    """Tiles without a usable inside would divide by zero."""
    with pytest.raises(ValueError, match="at least"):
        spans(1000, 64, 32, 64)
