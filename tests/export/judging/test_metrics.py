"""Metrics mean what the literature means by them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio

from edge.errors import ImageError
from export.judging import metrics
from export.judging.metrics import mu_law, psnr_linear, psnr_mu, to_low_scale

FOUR_DIGITS = 5e-5


def by_the_formula(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """The mu-law as printed, in float64."""
    wide: NDArray[np.float64] = np.log(1.0 + 5000.0 * x.astype(np.float64)) / math.log(5001.0)
    return wide


def test_mu_law_ends_at_zero_and_one() -> None:
    """mu = 5000; another constant gives PSNR-mu that compare with nobody's."""
    x = np.array([0.0, 1e-3, 1.0], np.float32)
    assert mu_law(x).tolist() == pytest.approx([0.0, math.log(6) / math.log(5001), 1.0])


@pytest.mark.parametrize("error", [0.3, 1e-2, 1e-4])
def test_psnr_is_that_of_another_library(error: float) -> None:
    """To four digits, from a poor picture to one that differs in the last bits of ten."""
    rng = np.random.default_rng(1)
    a = rng.random((40, 50, 3), np.float32) ** 3
    b = np.clip(a + rng.normal(0, error, a.shape), 0, 1).astype(np.float32)
    wide = a.astype(np.float64), b.astype(np.float64)
    assert psnr_linear(b, a) == pytest.approx(peak_signal_noise_ratio(*wide, data_range=1.0), rel=FOUR_DIGITS)
    wide = by_the_formula(a), by_the_formula(b)
    assert psnr_mu(b, a) == pytest.approx(peak_signal_noise_ratio(*wide, data_range=1.0), rel=FOUR_DIGITS)


def test_psnr_of_a_known_error() -> None:
    """20 dB is a tenth of full scale."""
    a = np.full((4, 4, 3), 0.5, np.float32)
    assert psnr_linear(a, a + 0.1) == pytest.approx(20.0, abs=1e-4)
    assert psnr_linear(a, a) == psnr_mu(a, a) == math.inf
    assert psnr_mu(a, a + 0.1) > psnr_linear(a, a + 0.1)  # the mu-law compresses highlights


def test_one_row_is_not_compared_with_every_row() -> None:
    """numpy would stretch the smaller image and answer with a figure that means nothing."""
    a = np.zeros((4, 4, 3), np.float32)
    for metric in (psnr_mu, psnr_linear):
        with pytest.raises(ImageError, match=r"\(4, 4, 3\) and \(1, 4, 3\)"):
            metric(a, a[:1])


def test_radiance_in_reference_units_comes_to_the_low_scale() -> None:
    """At -2 EV radiance 4 saturates the low exposure; what lies above was recorded by nothing."""
    radiance = np.array([1.0, 4.0, 9.0], np.float32)
    assert to_low_scale(radiance, 0.25).tolist() == [0.25, 1.0, 1.0]


def test_every_figure_says_what_it_is() -> None:
    """A number in a table is worth nothing to who cannot look up its definition."""
    assert [name for name in metrics.__all__ if not getattr(metrics, name).__doc__] == []
