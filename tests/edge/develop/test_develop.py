"""Raw counts to linear light: a wrong black level, channel or scale colours everything that follows."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.develop.demosaic import demosaic
from edge.develop.linear import IDENTITY, DevelopSettings, develop
from edge.frames import Image, PixelFormat
from hw.simulator.sensor import Sensor, expose

FORMATS: tuple[PixelFormat, ...] = ("bayer_rggb", "bayer_bggr", "bayer_grbg", "bayer_gbrg")
COLOUR = (0.7, 0.4, 0.2)
PLAIN = DevelopSettings(64, 4095)


def flat(colour: tuple[float, float, float], side: int = 32) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.float32), (side, side, 3)).copy()


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize("bits", [8, 10, 12])
def test_every_mosaic_gives_back_its_colour(pixel_format: PixelFormat, bits: int) -> None:
    """Red and blue swapped is the classic; the simulator's mosaic knows nothing of OpenCV's names."""
    sensor = Sensor(pixel_format=pixel_format, bit_depth=bits)
    raw = expose(flat(COLOUR), sensor, 1.0)
    out = develop(raw, pixel_format, DevelopSettings(sensor.black, sensor.white))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out[4:-4, 4:-4], flat(COLOUR)[4:-4, 4:-4], atol=1.5 / 2**bits)


def test_a_picture_in_colour_and_one_in_grey_pass() -> None:
    """Cameras that demosaic themselves, and monochrome ones."""
    rgb = np.array([[[64, 4095, 2079]]], np.uint16)
    np.testing.assert_allclose(develop(rgb, "rgb", PLAIN), [[[0.0, 1.0, 0.49988]]], atol=1e-4)
    grey = develop(np.full((3, 5), 4095, np.uint16), "mono", PLAIN)
    assert grey.shape == (3, 5, 3)
    assert (grey == 1.0).all()


def test_zero_is_black_and_one_is_what_saturates() -> None:
    """All exposures are put on one scale by this."""
    for counts, value in ((0, 0.0), (64, 0.0), (4095, 1.0), (65535, 1.0)):
        out = develop(np.full((8, 8), counts, np.uint16), "bayer_rggb", PLAIN)
        assert (out == value).all()


def test_clipped_white_stays_white_whatever_the_white_balance() -> None:
    """Else every lamp turns magenta: a channel that saturates must stay at 1.0 or above before the clip."""
    raw = np.full((8, 8), 4095, np.uint16)
    for gains in ((1.8, 1.0, 1.5), (0.5, 1.0, 0.8), (1.0, 2.0, 1.0)):
        assert (develop(raw, "bayer_rggb", DevelopSettings(64, 4095, gains)) == 1.0).all()


def test_white_balance_makes_grey_of_what_the_sensor_sees_coloured() -> None:
    """The gains are on R, G, B in this order, relative to the smallest."""
    sensor = Sensor(response=(0.5, 1.0, 0.8))
    raw = expose(flat((0.4, 0.4, 0.4)), sensor, 1.0)
    out = develop(raw, "bayer_rggb", DevelopSettings(64, 4095, (2.0, 1.0, 1.25)))
    np.testing.assert_allclose(out[4:-4, 4:-4], 0.4, atol=1e-3)


def test_the_colour_matrix_maps_balanced_camera_rgb() -> None:
    """Rows are outputs, columns inputs; transposed it would swap the casts."""
    matrix = ((1.5, -0.4, -0.1), (-0.2, 1.4, -0.2), (0.1, -0.6, 1.5))
    raw = expose(flat(COLOUR), Sensor(), 1.0)
    out = develop(raw, "bayer_rggb", DevelopSettings(64, 4095, (1.0, 1.0, 1.0), matrix))
    want = np.clip(np.array(matrix) @ np.array(COLOUR), 0, 1)
    np.testing.assert_allclose(out[16, 16], want, atol=2e-3)


def test_both_ways_of_scaling_agree() -> None:
    """The short way for plain settings must not be another picture."""
    raw = np.random.default_rng(1).integers(0, 4096, (32, 48)).astype(np.uint16)
    nearly = ((1.0, 0.0, 1e-12), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    assert nearly != IDENTITY
    long = develop(raw, "bayer_grbg", DevelopSettings(64, 4095, (1.0, 1.0, 1.0), nearly))
    np.testing.assert_allclose(develop(raw, "bayer_grbg", PLAIN), long, atol=1e-6)


@pytest.mark.parametrize("transfer", ["gamma22", "srgb"])
def test_coded_pictures_become_linear(transfer: str) -> None:
    """Someone else's frames are rarely linear; read as if they were, the merge finds no agreement."""
    coded = np.array([[[0, 128, 255]]], np.uint8)
    out = develop(coded, "rgb", DevelopSettings(0, 255, transfer=transfer))  # type: ignore[arg-type]
    middle = (128 / 255) ** 2.2 if transfer == "gamma22" else ((128 / 255 + 0.055) / 1.055) ** 2.4
    np.testing.assert_allclose(out[0, 0], [0.0, middle, 1.0], atol=1e-6)


@pytest.mark.parametrize(("black", "white"), [(-1, 255), (64, 64), (100, 64)])
def test_levels_that_cannot_be_are_refused(black: int, white: int) -> None:
    """Division by zero, or a negative picture."""
    with pytest.raises(ValueError, match="black level"):
        DevelopSettings(black, white)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(2, 9),
    st.integers(2, 9),
    st.sampled_from([*FORMATS, "mono"]),
    st.booleans(),
    st.integers(0, 99),
)
def test_any_size_and_count_stays_within_the_range(
    height: int, width: int, pixel_format: PixelFormat, eight: bool, seed: int
) -> None:
    """Odd sizes come with foreign recordings; the network wants [0, 1] and nothing else."""
    dtype = np.uint8 if eight else np.uint16
    raw: Image = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (height, width)).astype(dtype)
    before = raw.copy()
    out = develop(raw, pixel_format, DevelopSettings(16, 235, (1.3, 1.0, 2.0)))
    assert out.shape == (height, width, 3)
    assert np.isfinite(out).all()
    assert 0.0 <= out.min() <= out.max() <= 1.0
    np.testing.assert_array_equal(raw, before)


def test_the_mosaic_is_filled_better_than_by_repeating_pixels() -> None:
    """Edges in colour fringes cost the network more than noise does."""
    noise = np.random.default_rng(2).random((96, 96, 3), np.float32)
    scene = cv2.GaussianBlur(noise, (0, 0), 2.5)
    scene = (scene - scene.min()) / np.ptp(scene) * 0.9
    raw = expose(scene, Sensor(), 1.0)
    out = develop(raw, "bayer_rggb", PLAIN)
    repeated = np.dstack(
        [np.repeat(np.repeat(raw[r::2, c::2], 2, 0), 2, 1) for r, c in ((0, 0), (0, 1), (1, 1))]
    )
    crude = develop(repeated, "rgb", PLAIN)
    inner = (slice(4, -4), slice(4, -4))
    assert np.mean((out - scene)[inner] ** 2) < 0.3 * np.mean((crude - scene)[inner] ** 2)


def test_it_keeps_up_with_video() -> None:
    """CPU time of 12 bits at 960x540 on one core: 2 to 3 ms on a busy machine, asserted with room."""
    raw = np.random.default_rng(1).integers(0, 4096, (540, 960)).astype(np.uint16)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        costs = []
        for _ in range(12):
            begin = time.thread_time()
            develop(raw, "bayer_rggb", PLAIN)
            costs.append(time.thread_time() - begin)
    finally:
        cv2.setNumThreads(threads)
    assert min(costs) < 0.010
    assert demosaic(raw, "bayer_rggb").dtype == np.uint16
