"""PSNR in the domain of the literature."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.judge.quality import mu_law, psnr, psnr_linear, psnr_mu


def test_mu_law_is_the_published_curve() -> None:
    """Else our PSNR-mu compares with nobody's."""
    x = np.array([[[0.0, 0.01, 1.0]]], np.float32)
    expected = [math.log(1 + 5000 * v) / math.log(5001) for v in (0.0, 0.01, 1.0)]
    assert mu_law(x)[0, 0] == pytest.approx(expected, rel=1e-5)


def test_psnr_of_a_known_error() -> None:
    """Else every figure in the README is off."""
    truth = np.full((4, 5, 3), 0.5, np.float32)
    assert psnr(truth + np.float32(0.1), truth) == pytest.approx(20.0, abs=1e-4)
    assert psnr(truth, truth) == math.inf


def test_what_no_exposure_recorded_is_not_judged() -> None:
    """Else a sun that clips the low exposure decides every comparison."""
    truth = np.full((2, 2, 3), 100.0, np.float32)
    output = np.full((2, 2, 3), 4.0, np.float32)
    assert psnr_linear(output, truth, 4.0) == math.inf
    assert psnr_mu(output, truth, 4.0) == math.inf


def test_full_scale_is_the_unit() -> None:
    """Else brackets of different width are judged on different scales by mistake."""
    truth = np.full((2, 2, 3), 2.0, np.float32)
    output = np.full((2, 2, 3), 2.4, np.float32)
    assert psnr_linear(output, truth, 4.0) == pytest.approx(20.0, abs=1e-4)
