"""The rows that a network is compared with are what they are called."""

from __future__ import annotations

import numpy as np
import pytest

from export.compare.classic import debevec, mertens, robertson
from export.compare.merges import OnReference, aligned, masked_merge, radiance_merge, reference_only
from export.compare.row import Method
from export.compare.rows import comparison_rows
from export.judging.metrics import psnr_mu
from tests.export.brackets_known import moved, still


@pytest.mark.parametrize(("method", "at_least"), [(debevec, 33.0), (robertson, 30.0), (radiance_merge, 60.0)])
def test_a_still_scene_is_recovered(method: Method, at_least: float) -> None:
    """A merge fed with the wrong times or response would be beaten by anything; 8 bits cost the classics."""
    sample = still()
    answer = np.clip(method(sample), 0.0, 1.0)
    assert psnr_mu(answer, sample.truth) > at_least
    # No scale between them: OpenCV's answers are radiance in units of the times they were given.
    middle = (sample.truth > 0.02) & (sample.truth < 0.2)
    assert np.median(answer[middle] / sample.truth[middle]) == pytest.approx(1.0, abs=0.02)


def test_robertson_answers_where_every_exposure_is_clipped() -> None:
    """Its weights are zero at white and black: NaN would spoil the whole table."""
    sample = still()
    sample.low[:8], sample.reference[:8], sample.high[:8] = 1.0, 1.0, 1.0
    sample.low[8:16], sample.reference[8:16], sample.high[8:16] = 0.0, 0.0, 0.0
    answer = robertson(sample)
    assert np.all(answer[:8] == 1.0)
    assert np.all(answer[8:16] == 0.0)


def test_mertens_is_a_picture_not_radiance() -> None:
    """Judged as radiance it would look like the worst method there is."""
    sample = still()
    picture = mertens(sample)
    assert picture.min() >= 0.0
    assert picture.max() <= 1.0
    assert picture.mean() > 2 * sample.truth.mean()
    (row,) = (row for row in comparison_rows(OnReference()) if row.kind == "display")
    assert row.name == "mertens"
    assert row.note


def test_alignment_helps_what_moved() -> None:
    """The flow-aligned rows are the ones to beat; unaligned they would be a straw man."""
    sample = moved()
    alone = psnr_mu(radiance_merge(sample), sample.truth)
    helped = psnr_mu(aligned(radiance_merge, OnReference())(sample), sample.truth)
    assert helped > alone + 3.0


def test_the_masked_merge_leaves_no_ghost() -> None:
    """A thing that the pair alone saw must not appear."""
    sample = still()
    sample.high[20:28, 20:28] = 1.0 - sample.high[20:28, 20:28]
    there = slice(20, 28), slice(20, 28)
    reference = reference_only(sample)[there]
    assert (
        np.abs(masked_merge(sample)[there] - reference).mean()
        < 0.2 * np.abs(radiance_merge(sample)[there] - reference).mean()
    )


def test_every_row_answers_alike() -> None:
    """One row of another type or size would end the evaluation of all."""
    sample = still(height=50, width=70)
    rows = comparison_rows(OnReference())
    assert len({row.name for row in rows}) == len(rows)
    for row in rows:
        answer = row.method(sample)
        assert answer.shape == (50, 70, 3), row.name
        assert answer.dtype == np.float32, row.name
        assert np.isfinite(answer).all(), row.name


def test_registration_is_done_once_a_sample() -> None:
    """Six rows ask for it, and it costs more than most of them."""
    on_reference, sample = OnReference(), moved()
    assert on_reference(sample) is on_reference(sample)
    assert on_reference(moved()) is not on_reference(sample)
