"""The gain map: what turns an SDR picture into the HDR one, as a picture of its own.

Per pixel and channel, gain = (hdr + 1/64) / (sdr + 1/64) of linear light where SDR white is 1.0; its log2 is
stored between its smallest and largest value, in 8 bits. A display with less headroom than the picture asks
for applies a share of the logarithm. Sources: Ultra HDR image format v1.1 ("Gain map generation", "Gain map
decoding"), which ISO 21496-1 has in common.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge.frames import FloatImage
from edge.tone.sdr import Rgb8

OFFSET = 1.0 / 64.0
"""Added to both pictures, so that black has a gain. The format's recommended value."""
LEAST_RANGE = 1e-3
"""In stops: a map of one value would divide by nothing."""
MOST_STOPS = 16.0

Stops: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class GainMap:
    """``codes`` (H, W, 3) uint8; ``least`` and ``most`` gain of red, green, blue in stops.

    ``headroom`` in stops is the brightest that the HDR picture shows over SDR white: a display with so much
    shows all of it.
    """

    codes: Rgb8
    least: Stops
    most: Stops
    headroom: float


def make_gain_map(hdr: FloatImage, sdr: FloatImage) -> GainMap:
    """From two linear pictures (H, W, 3) float32, 1.0 = SDR white, of one size."""
    stops = np.log2((np.maximum(hdr, 0.0) + np.float32(OFFSET)) / (sdr + np.float32(OFFSET)))
    stops = np.clip(np.nan_to_num(stops, nan=0.0), -MOST_STOPS, MOST_STOPS)
    least: NDArray[np.float32] = stops.min((0, 1))
    span = np.maximum(stops.max((0, 1)) - least, np.float32(LEAST_RANGE))
    codes = np.rint((stops - least) / span * np.float32(255.0)).astype(np.uint8)
    peak = min(max(float(np.nan_to_num(hdr, nan=0.0).max()), 1.0), 2.0**MOST_STOPS)
    most = least + span
    return GainMap(codes, _three(least), _three(most), max(float(np.log2(peak)), LEAST_RANGE))


def apply_gain_map(sdr: FloatImage, gain: GainMap, headroom: float | None = None) -> FloatImage:
    """The HDR picture for a display of ``headroom`` stops (None: all there is), linear, 1.0 = SDR white."""
    share = 1.0 if headroom is None else min(max(headroom / gain.headroom, 0.0), 1.0)
    least, most = np.array(gain.least, np.float32), np.array(gain.most, np.float32)
    stops = least + gain.codes.astype(np.float32) / np.float32(255.0) * (most - least)
    shown: FloatImage = (sdr + np.float32(OFFSET)) * np.exp2(stops * np.float32(share)) - np.float32(OFFSET)
    return np.maximum(shown, 0.0)


def _three(values: NDArray[np.float32]) -> Stops:
    return float(values[0]), float(values[1]), float(values[2])
