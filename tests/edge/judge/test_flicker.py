"""The flicker figure is the product's promise; it must measure flicker and nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.judge.flicker import FlickerGauge, lsd, mean_mu_luminance


def test_mean_mu_luminance_by_hand() -> None:
    """The figure that is published must be the one that is defined."""
    radiance = np.zeros((2, 2, 3), np.float32)
    radiance[0, 0] = (4.0, 4.0, 4.0)
    radiance[0, 1] = (0.0, 1.0, 0.0)
    green = math.log1p(5000 * 0.7152 / 4) / math.log1p(5000)
    assert mean_mu_luminance(radiance) == pytest.approx((1.0 + green) / 4, abs=1e-6)
    assert mean_mu_luminance(radiance, full_scale=1.0) == pytest.approx(
        (1.0 + math.log1p(5000 * 0.7152) / math.log1p(5000)) / 4, abs=1e-6
    )
    assert mean_mu_luminance(radiance, step=2) == pytest.approx(1.0)


def test_bad_pixels_do_not_poison_the_figure() -> None:
    """One NaN would turn the live gauge off for the rest of the recording."""
    radiance = np.full((4, 4, 3), 0.5, np.float32)
    good = mean_mu_luminance(radiance)
    radiance[0, 0] = np.nan
    radiance[0, 1] = np.inf
    radiance[0, 2] = -1.0
    assert mean_mu_luminance(radiance) == pytest.approx((13 * good + 1.0) / 16, abs=1e-5)


def test_lsd_ignores_constant_error_and_the_scene() -> None:
    """A scene that changes and a picture that is evenly too dark are no flicker; an alternation is."""
    truth = [0.3 + 0.01 * i for i in range(40)]
    assert lsd([t - 0.05 for t in truth], truth) == pytest.approx(0.0, abs=1e-12)
    assert lsd([t + (0.004 if i % 2 else -0.004) for i, t in enumerate(truth)], truth) == pytest.approx(0.004)
    with pytest.raises(ValueError, match="one length"):
        lsd([0.1], [])
    with pytest.raises(ValueError, match="one length"):
        lsd([], [])


def test_gauge_tells_a_pan_from_flicker() -> None:
    """The live gauge has no truth: a slow pan into the light must not raise an alarm, an alternation must."""
    pan = flicker = FlickerGauge()
    for i in range(100):
        pan = pan.step(0.3 + 0.002 * i)
        flicker = flicker.step(0.3 + (0.004 if i % 2 else -0.004))
    assert pan.level < 1e-9
    assert flicker.level == pytest.approx(0.008, rel=0.01)
