"""The sensor model: what the fusion's exposure arithmetic and the training's noise rest on."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.frames import FloatImage
from hw.simulator.sensor import BAYER, Sensor, expose, mosaic


def flat(level: float, side: int = 256) -> FloatImage:
    return np.full((side, side, 3), level, np.float32)


def rng() -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(7))


@pytest.mark.parametrize("bit_depth", [8, 10, 12])
def test_counts_follow_light(bit_depth: int) -> None:
    """Without linearity the radiances of three exposures would not agree and every merge would show seams."""
    sensor = Sensor(bit_depth=bit_depth)
    levels = np.linspace(0.0, 0.9, 91, dtype=np.float32)
    ramp = np.repeat(np.repeat(levels[None, :, None], 2, 0), 3, 2)
    for light_ratio in (0.25, 1.0):
        counts = expose(ramp, sensor, light_ratio)[0].astype(float)
        expected = sensor.black + levels * light_ratio * (sensor.white - sensor.black)
        assert np.abs(counts - expected).max() <= 0.5 + 1e-3


def test_the_same_radiance_from_every_exposure() -> None:
    """A bracket whose frames disagree about radiance would make the fused video flicker with the pair."""
    sensor = Sensor()
    radiance = flat(0.2)
    found = []
    for light_ratio in (0.25, 1.0, 4.0):
        counts = expose(radiance, sensor, light_ratio, rng=rng()).astype(float)
        found.append((counts.mean() - sensor.black) / (sensor.white - sensor.black) / light_ratio)
    # standard error of the mean of 65536 pixels: 0.2 * 2 % / 256 for the low frame
    assert np.allclose(found, 0.2, atol=2e-4)


@pytest.mark.parametrize("level", [0.0, 0.05, 0.5, 0.75])
@pytest.mark.parametrize("gain_db", [0.0, 6.0, 18.0])
def test_noise_has_the_variance_of_photons_and_readout(level: float, gain_db: float) -> None:
    """Noise of another strength would train the network for cameras that do not exist."""
    sensor = Sensor(black_level=512)  # high enough that nothing is cut at zero
    gain = 10 ** (gain_db / 20)
    span = sensor.white - sensor.black
    per_e = gain / sensor.full_well_e
    expected = span**2 * (level * per_e + (sensor.read_noise_e * per_e) ** 2) + 1 / 12
    counts = expose(flat(level, 512), sensor, 1.0, gain_db, rng()).astype(float)
    # relative standard error of a variance from 2^18 pixels is 0.28 %
    assert counts.var() == pytest.approx(expected, rel=0.015)


def test_full_well_clips_at_white_and_below_it_under_0_db() -> None:
    """A frame that clips elsewhere than promised would give blown highlights a false colour."""
    sensor = Sensor(bit_depth=10)
    assert (expose(flat(50.0), sensor, 1.0, rng=rng()) == sensor.white).mean() > 0.45
    assert (expose(flat(50.0), sensor, 1.0) == 1023).all()
    half = expose(flat(50.0), sensor, 1.0, gain_db=-6.0206)
    assert np.abs(half.astype(float) - (sensor.black + 0.5 * (sensor.white - sensor.black))).max() <= 1.0


def test_darkness_reads_the_black_level_with_noise_on_both_sides() -> None:
    """A black level that swallowed negative noise would lift shadows after its subtraction."""
    sensor = Sensor()
    counts = expose(flat(0.0), sensor, 1.0, 12.0, rng()).astype(float)
    assert counts.mean() == pytest.approx(sensor.black, abs=0.05)
    assert (counts < sensor.black).any()
    assert (counts > sensor.black).any()


@pytest.mark.parametrize("pixel_format", sorted(BAYER))
def test_mosaic_is_the_one_opencv_takes_apart(pixel_format: str) -> None:
    """A pattern one site off would swap red and blue in the video."""
    colour = np.array((0.8, 0.4, 0.1), np.float32)
    plane = mosaic(np.tile(colour, (16, 16, 1)), Sensor(pixel_format=pixel_format))  # type: ignore[arg-type]
    # OpenCV names a pattern by its second row, so RGGB is its "BayerBG" and so on
    code = {
        "bayer_rggb": cv2.COLOR_BayerBG2RGB,
        "bayer_bggr": cv2.COLOR_BayerRG2RGB,
        "bayer_grbg": cv2.COLOR_BayerGB2RGB,
        "bayer_gbrg": cv2.COLOR_BayerGR2RGB,
    }[pixel_format]
    rgb = cv2.demosaicing((plane * 60000).astype(np.uint16), code)[8, 8] / 60000
    assert np.allclose(rgb, colour, atol=1e-3)


def test_response_scales_the_channels() -> None:
    """White balance could not be tested on a sensor that is always neutral."""
    plane = mosaic(flat(0.5, 4), Sensor(response=(0.5, 1.0, 0.25)))
    assert np.allclose(plane[:2, :2], ((0.25, 0.5), (0.5, 0.125)))


def test_raw_type_follows_bit_depth() -> None:
    """A master written from the wrong type would double in size or lose its low bits."""
    assert expose(flat(0.5), Sensor(bit_depth=8), 1.0).dtype == np.uint8
    assert expose(flat(0.5), Sensor(bit_depth=12), 1.0).dtype == np.uint16


@pytest.mark.parametrize("fault", [{"bit_depth": 9}, {"pixel_format": "rgb"}, {"black_level": 5000}])
def test_impossible_sensor_is_refused(fault: dict[str, object]) -> None:
    """Nonsense would surface only as strange pictures."""
    with pytest.raises(ValueError, match=next(iter(fault))):
        Sensor(**fault)  # type: ignore[arg-type]
