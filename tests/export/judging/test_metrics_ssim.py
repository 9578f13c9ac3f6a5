"""SSIM is that of the paper, to four digits by two other implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.signal import convolve2d
from skimage.metrics import structural_similarity

from edge.errors import ImageError
from export.judging.metrics import ssim, ssim_linear, ssim_map, ssim_mu

FOUR_DIGITS = 5e-5
Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


def of_scikit_image(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The settings of Wang et al. 2004 in the words of scikit-image."""
    return float(
        structural_similarity(
            a,
            b,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
            channel_axis=2,
        )
    )


def by_the_formula(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Equations 13 to 16 of Wang et al. 2004 as printed, with an 11 x 11 window that is not separated."""
    steps = np.arange(-5, 6)
    window = np.exp(-(steps[:, None] ** 2 + steps[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for x, y in zip(np.moveaxis(a, 2, 0), np.moveaxis(b, 2, 0), strict=True):
        mu_x, mu_y = convolve2d(x, window, "valid"), convolve2d(y, window, "valid")
        var_x = convolve2d(x * x, window, "valid") - mu_x**2
        var_y = convolve2d(y * y, window, "valid") - mu_y**2
        cov = convolve2d(x * y, window, "valid") - mu_x * mu_y
        above = (2 * mu_x * mu_y + 0.01**2) * (2 * cov + 0.03**2)
        values.append(np.mean(above / ((mu_x**2 + mu_y**2 + 0.01**2) * (var_x + var_y + 0.03**2))))
    return float(np.mean(values))


def textured(noise: float) -> Pair:
    """Coloured blobs over three decades of light, and the same with noise."""
    rng = np.random.default_rng(3)
    blobs = gaussian_filter(rng.normal(size=(60, 70, 3)), (4, 4, 0))
    a = np.clip(10.0 ** (blobs * 12 - 1.5), 0, 1).astype(np.float32)
    return a, np.clip(a + rng.normal(0, noise, a.shape), 0, 1).astype(np.float32)


def flat_and_bright() -> Pair:
    """The hardest case of float32: variances far smaller than the squares they are the difference of."""
    rng = np.random.default_rng(4)
    a = (0.95 + rng.normal(0, 3e-4, (60, 70, 3))).astype(np.float32)
    return a, (a + rng.normal(0, 3e-4, a.shape)).astype(np.float32)


CASES = {
    "clean": textured(1e-3),
    "noisy": textured(0.1),
    "another picture": (textured(0.0)[0], textured(0.0)[0][::-1].copy()),
    "flat and bright": flat_and_bright(),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("other", [of_scikit_image, by_the_formula])
def test_ssim_agrees_with_other_implementations(case: str, other: object) -> None:
    """Linear and mu; else our SSIM compares with nobody's."""
    assert callable(other)
    a, b = CASES[case]
    wide = a.astype(np.float64), b.astype(np.float64)
    assert ssim_linear(a, b) == pytest.approx(other(*wide), abs=FOUR_DIGITS)
    wide = tuple(np.log1p(5000.0 * x) / math.log(5001.0) for x in wide)
    assert ssim_mu(a, b) == pytest.approx(other(*wide), abs=FOUR_DIGITS)


def test_two_flat_images_by_hand() -> None:
    """Without structure only the means count: (2 * 0.5 * 0.6 + C1) / (0.25 + 0.36 + C1)."""
    a = np.full((11, 11, 3), 0.5, np.float32)
    assert ssim(a, a + np.float32(0.1)) == pytest.approx(0.6001 / 0.6101, abs=1e-6)
    assert ssim_map(a, a).shape == (1, 1, 3)


@settings(deadline=None, max_examples=40)
@given(arrays(np.float32, (2, 12, 13, 3), elements=st.floats(0, 1, width=32)))
def test_equal_is_one_and_no_order_matters(pair: NDArray[np.float32]) -> None:
    """Else the order of arguments, or a picture of noise, would change who wins."""
    a, b = pair
    assert ssim(a, a) == 1.0
    assert ssim(a, b) == pytest.approx(ssim(b, a), abs=1e-6)
    assert -1.0001 <= ssim(a, b) <= 1.0001


def test_more_noise_is_worse() -> None:
    """Else a table ranks methods the wrong way round."""
    scores = [ssim_mu(*textured(noise)) for noise in (0.0, 0.01, 0.03, 0.1, 0.3)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == 1.0
    assert scores[-1] < 0.3


def test_mu_sees_the_shadows_that_linear_cannot() -> None:
    """Noise in the dark is what the mu domain is for."""
    dark = textured(0.0)[0] * np.float32(0.02)
    noisy = np.clip(dark + np.random.default_rng(5).normal(0, 1e-3, dark.shape), 0, 1).astype(np.float32)
    assert ssim_linear(dark, noisy) > 0.99
    assert ssim_mu(dark, noisy) < 0.9


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        ((20, 20, 3), (20, 21, 3), r"\(20, 20, 3\) and \(20, 21, 3\)"),
        ((10, 40, 3), (10, 40, 3), "at least 11 x 11"),
    ],
)
def test_images_that_do_not_fit_are_named(a: tuple[int, ...], b: tuple[int, ...], says: str) -> None:
    """Not an error of OpenCV from deep inside."""
    with pytest.raises(ImageError, match=says):
        ssim(np.zeros(a, np.float32), np.zeros(b, np.float32))
