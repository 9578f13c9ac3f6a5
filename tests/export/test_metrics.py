"""Metrics mean what the literature means by them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from export.metrics import lsd, mean_luminance, mu_law, psnr_linear, psnr_mu, to_low_scale


def test_mu_law_ends_at_zero_and_one() -> None:
    """mu = 5000; another constant gives PSNR-mu that compare with nobody's."""
    x = np.array([0.0, 1e-3, 1.0], np.float32)
    assert mu_law(x).tolist() == pytest.approx([0.0, math.log(6) / math.log(5001), 1.0])


def test_psnr_of_a_known_error() -> None:
    """20 dB is a tenth of full scale."""
    a = np.full((4, 4, 3), 0.5, np.float32)
    assert psnr_linear(a, a + 0.1) == pytest.approx(20.0, abs=1e-4)
    assert psnr_linear(a, a) == math.inf
    assert psnr_mu(a, a + 0.1) > psnr_linear(a, a + 0.1)  # the mu-law compresses highlights


def test_radiance_in_reference_units_comes_to_the_low_scale() -> None:
    """At -2 EV radiance 4 saturates the low exposure; what lies above was recorded by nothing."""
    radiance = np.array([1.0, 4.0, 9.0], np.float32)
    assert to_low_scale(radiance, 0.25).tolist() == [0.25, 1.0, 1.0]


def test_flicker_is_counted_and_the_scene_is_not() -> None:
    """LSD of a flickering sequence is its deviation; against the truth a fading scene has none."""
    fading = np.linspace(0.3, 0.6, 20)
    assert lsd(fading) > 0.05
    assert lsd(fading + 0.01, fading) == pytest.approx(0.0, abs=1e-12)
    flicker = np.where(np.arange(20) % 2, 0.01, -0.01)
    assert lsd(fading + flicker, fading) == pytest.approx(0.01)
    with pytest.raises(ValueError, match="no frames"):
        lsd([])


def test_mean_luminance_weighs_green_most() -> None:
    """Rec. 709."""
    images = np.zeros((3, 1, 1, 3), np.float32)
    for channel in range(3):
        images[channel, 0, 0, channel] = 1.0
    assert [mean_luminance(i) for i in images] == pytest.approx([0.2126, 0.7152, 0.0722])
