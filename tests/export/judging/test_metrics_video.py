"""Flicker is counted, and what the scene does is not."""

from __future__ import annotations

import math
import statistics
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

import edge.judge.flicker
from export.judging.metrics import (
    l_avg,
    lsd,
    luminance_step,
    luminances,
    mean_luminance,
    t_ssim,
    temporal_ssims,
)

FOUR_DIGITS = 5e-5


def moving(count: int = 5, noise: float = 0.0, gain: float = 0.0) -> list[NDArray[np.float32]]:
    """A texture that pans by two pixels a frame, its light alternating by +-gain."""
    rng = np.random.default_rng(6)
    scene = np.repeat(np.repeat(rng.random((12, 24, 3)), 4, 0), 4, 1) ** 4
    frames = []
    for k in range(count):
        frame = scene[:, 2 * k : 2 * k + 64] * 0.5 * (1.0 + gain * (-1) ** k)
        frames.append(np.clip(frame + rng.normal(0, noise, frame.shape), 0, 1).astype(np.float32))
    return frames


def mu_of(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """The mu-law as printed, in float64."""
    wide: NDArray[np.float64] = np.log1p(5000.0 * x.astype(np.float64)) / math.log(5001.0)
    return wide


def test_luminance_agrees_with_the_formula_and_with_the_recorder() -> None:
    """Else a figure of the laboratory and the gauge on the live page are two different things."""
    for image in moving(noise=0.01):
        y = 0.2126 * image[..., 0] + 0.7152 * image[..., 1] + 0.0722 * image[..., 2]
        assert mean_luminance(image) == pytest.approx(float(mu_of(y).mean()), rel=FOUR_DIGITS)
        recorder = edge.judge.flicker.mean_mu_luminance(image * np.float32(4.0), full_scale=4.0)
        assert mean_luminance(image) == pytest.approx(recorder, rel=FOUR_DIGITS)


def test_mean_luminance_weighs_green_most() -> None:
    """Rec. 709, weighed before the mu-law: luminance is a sum of light."""
    images = np.zeros((3, 1, 1, 3), np.float32)
    for channel in range(3):
        images[channel, 0, 0, channel] = 1.0
    expected = [math.log1p(5000 * w) / math.log(5001) for w in (0.2126, 0.7152, 0.0722)]
    assert [mean_luminance(i) for i in images] == pytest.approx(expected)


def test_l_avg_and_lsd_agree_with_the_statistics_of_python() -> None:
    """To four digits, from frames to figure."""
    frames = moving(gain=0.1)
    curve = luminances(frames)
    weights = np.array([0.2126, 0.7152, 0.0722])
    other = [float(mu_of(f.astype(np.float64) @ weights).mean()) for f in frames]
    assert l_avg(curve) == pytest.approx(statistics.fmean(other), rel=FOUR_DIGITS)
    assert lsd(curve) == pytest.approx(statistics.pstdev(other), rel=FOUR_DIGITS)
    truth = luminances(moving())
    assert lsd(curve, truth) == pytest.approx(edge.judge.flicker.lsd(curve, truth))


def test_flicker_is_counted_and_the_scene_is_not() -> None:
    """LSD of a flickering sequence is its deviation; against the truth a fading scene has none."""
    fading = np.linspace(0.3, 0.6, 20)
    assert lsd(fading) > 0.05
    assert lsd(fading + 0.01, fading) == pytest.approx(0.0, abs=1e-12)
    flicker = np.where(np.arange(20) % 2, 0.01, -0.01)
    assert lsd(fading + flicker, fading) == pytest.approx(0.01)


def test_one_visible_step_is_not_averaged_away() -> None:
    """A low/high pair that changes once in a minute hardly moves LSD, and a person sees it."""
    fading = np.linspace(0.3, 0.6, 1800)
    stepped = fading + np.where(np.arange(1800) == 900, 0.004, 0.0)
    assert lsd(stepped, fading) < 0.0002
    assert luminance_step(stepped, fading) == pytest.approx(0.004)
    assert luminance_step([0.2]) == 0.0


def test_t_ssim_agrees_with_another_implementation() -> None:
    """To four digits, pair by pair."""
    frames = moving(noise=0.01)
    other = [
        structural_similarity(
            mu_of(before),
            mu_of(after),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
            channel_axis=2,
        )
        for before, after in pairwise(frames)
    ]
    assert list(temporal_ssims(frames)) == pytest.approx(other, abs=FOUR_DIGITS)
    assert t_ssim(frames) == pytest.approx(statistics.fmean(other), abs=FOUR_DIGITS)


def test_t_ssim_falls_with_flicker_noise_and_motion() -> None:
    """A still picture is 1; a moving truth is not, which is why it has to stand beside the figure."""
    still = [moving()[0]] * 3
    assert t_ssim(still) == 1.0
    assert t_ssim(moving()) < 0.9
    assert t_ssim(moving(gain=0.3)) < t_ssim(moving())
    assert t_ssim(moving(noise=0.03)) < t_ssim(moving())


def test_sequences_are_read_once() -> None:
    """An hour of frames fits in no memory: a generator must do."""
    frames = moving()
    assert t_ssim(frame for frame in frames) == t_ssim(frames)
    assert luminances(frame for frame in frames) == luminances(frames)


def test_too_few_or_unequal_frames_are_named() -> None:
    """Not a figure of NaN in a table."""
    for figure in (lsd, l_avg, luminance_step):
        with pytest.raises(ValueError, match="no frames"):
            figure([])
    for compared in (lsd, luminance_step):
        with pytest.raises(ValueError, match="3 frames against 1"):
            compared([0.1, 0.2, 0.3], [0.1])
    with pytest.raises(ValueError, match="fewer than two"):
        t_ssim(moving(1))
