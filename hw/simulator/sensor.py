"""From radiance to raw counts: a linear photon transfer model of a CMOS sensor (EMVA 1288, section 2).

With ``v`` the linear value (1.0 is white), ``g`` the linear gain and ``Q`` the full well, a pixel collects
``e = v Q / g`` electrons. Their variance is ``e`` (photons) plus ``read_noise_e`` squared, so the noise of
``v`` has the variance ``v g / Q + (read_noise_e g / Q)^2``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.frames import FloatImage, PixelFormat

Raw = NDArray[np.uint8] | NDArray[np.uint16]

BAYER: dict[str, tuple[int, int, int, int]] = {
    "bayer_rggb": (0, 1, 1, 2),
    "bayer_bggr": (2, 1, 1, 0),
    "bayer_grbg": (1, 0, 2, 1),
    "bayer_gbrg": (1, 2, 0, 1),
}
"""RGB channel at (row, column) = (even, even), (even, odd), (odd, even), (odd, odd)."""


@dataclass(frozen=True, slots=True)
class Sensor:
    """One sensor. The defaults are of the class of a 1/1.8 inch global-shutter CMOS with 3.45 um pixels.

    ``black_level`` is in counts at ``bit_depth`` (None: 1/64 of the range). ``response`` is the sensitivity
    of R, G and B relative to a perfectly balanced sensor.
    """

    full_well_e: float = 10_500.0
    read_noise_e: float = 2.5
    black_level: int | None = None
    bit_depth: int = 12
    pixel_format: PixelFormat = "bayer_rggb"
    response: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if self.bit_depth not in (8, 10, 12):
            raise ValueError(f"bit_depth is {self.bit_depth}; a simulated sensor has 8, 10 or 12")
        if self.pixel_format not in BAYER:
            raise ValueError(
                f"pixel_format is {self.pixel_format}; a simulated sensor has {', '.join(BAYER)}"
            )
        if not 0 <= self.black < self.white:
            raise ValueError(f"black_level {self.black} is not within 0 and {self.white}")

    @property
    def black(self) -> int:
        """Black level in counts."""
        return 1 << (self.bit_depth - 6) if self.black_level is None else self.black_level

    @property
    def white(self) -> int:
        """Largest count."""
        return (1 << self.bit_depth) - 1


def mosaic(radiance: FloatImage, sensor: Sensor) -> FloatImage:
    """What each pixel's filter lets through: (H, W) float32 out of (H, W, 3)."""
    plane = np.empty(radiance.shape[:2], np.float32)
    for site, channel in enumerate(BAYER[sensor.pixel_format]):
        row, column = divmod(site, 2)
        part = plane[row::2, column::2]
        np.multiply(radiance[row::2, column::2, channel], np.float32(sensor.response[channel]), out=part)
    return plane


def expose(
    radiance: FloatImage,
    sensor: Sensor,
    light_ratio: float,
    gain_db: float = 0.0,
    rng: np.random.Generator | None = None,
) -> Raw:
    """Take a raw frame: (H, W) uint8 (8 bit) or uint16, out of (H, W, 3) radiance in reference units.

    ``light_ratio`` is exposure time times gain relative to the reference exposure; ``gain_db`` is the gain
    within it, which decides the noise. Without ``rng`` the frame is free of noise.
    """
    gain = 10.0 ** (gain_db / 20.0)
    value = mosaic(radiance, sensor)
    value *= np.float32(light_ratio)
    np.minimum(value, np.float32(gain), out=value)  # the full well, reached before white below 0 dB
    if rng is not None:
        noise = rng.standard_normal(value.shape, np.float32)
        sigma = value * np.float32(gain / sensor.full_well_e)
        sigma += np.float32((sensor.read_noise_e * gain / sensor.full_well_e) ** 2)
        noise *= np.sqrt(sigma, out=sigma)
        value += noise
        np.minimum(value, np.float32(gain), out=value)
    value *= np.float32(sensor.white - sensor.black)
    value += np.float32(sensor.black + 0.5)
    np.clip(value, 0.0, sensor.white, out=value)
    return value.astype(np.uint8 if sensor.bit_depth == 8 else np.uint16)
