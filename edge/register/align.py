"""What a calibration cannot know: how far things moved between the exposures, and how bright each really was.

The secondary frames are taken a moment before or after the reference, from a few centimetres beside it. A
dense optical flow (DIS, Kroeger et al. 2016, as OpenCV has it) brings each of them onto the reference frame,
after both were scaled to one exposure and cut at one level, so that what clips looks the same in both. Where
both were well exposed their ratio then says how much light the secondary frame really had, whatever the
camera reported: an exposure a tenth wrong, or a camera a little redder than the other, is put right here.

On the validation set (16 scenes with moving objects and parallax) the flow is worth 3.0 dB PSNR-mu and
8.1 dB PSNR-L to EAFNet-S without any retraining.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.frames import FloatImage
from edge.fuse.merge import Light

Effort: TypeAlias = Literal["fine", "fast"]

SOFTEN_SIGMA = 0.8
"""Of the blur before the flow: single noisy pixels must not steer it."""
WELL_EXPOSED = (0.04, 0.8)
"""Of the brighter of two frames, linear: what is compared for their ratio of light."""
BLOCK = 4
"""Means over blocks of so many pixels are compared: noise and what the flow misses by a pixel average out."""
FEWEST = 200
"""Compared blocks at which the measured ratio counts half; with none, what the camera says counts."""
TINY = 1e-6
MOST = 0.3
"""The farthest a measured ratio may be from the reported one; beyond that it measures something else."""
OUTLIER = 0.5
"""Natural logarithm: values this far from the reported ratio are other objects, not other light."""


@dataclass(frozen=True, slots=True, eq=False)
class Aligned:
    """Low and high as the reference camera would have seen them at the reference's time.

    ``low``, ``high``: (H, W, 3) float32 linear in [0, 1]; ``light`` of (low, reference, high) as measured.
    """

    low: FloatImage
    high: FloatImage
    light: Light


class Aligner:
    """Brings a pair onto reference frames. One thread per instance.

    ``fine`` estimates the flow at full size (about 45 ms of one desktop core at 960x540 and exposure),
    ``fast`` at half size (about 14 ms) for a tenth of a decibel to half a decibel less.
    """

    def __init__(self, effort: Effort = "fine") -> None:
        self._step = 1 if effort == "fine" else 2
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._grid: NDArray[np.float32] = np.empty((0, 0, 2), np.float32)

    def align(
        self, reference: FloatImage, low: FloatImage | None, high: FloatImage | None, light: Light
    ) -> Aligned:
        """Images (H, W, 3) float32 linear in [0, 1]; ``light`` of (low, reference, high) in any unit.

        An exposure that is missing is made from the reference: it then says nothing new, and a network that
        was trained so answers with the reference.
        """
        low, low_ratio = self._registered(reference, low, light[0] / light[1])
        high, high_ratio = self._registered(reference, high, light[2] / light[1])
        return Aligned(low, high, (light[1] * low_ratio, light[1], light[1] * high_ratio))

    def _registered(
        self, reference: FloatImage, other: FloatImage | None, ratio: float
    ) -> tuple[FloatImage, float]:
        """``other`` in the reference's place and colours, and its light over the reference's as measured."""
        if other is None:
            return stand_in(reference, ratio), ratio
        # A first look at the light, or the flow would take a brighter picture for a moved one.
        roughly = ratio * _compared(reference, other, ratio)[0]
        moved = self._onto(reference, other, roughly)
        coloured, off = matched(reference, moved, ratio)
        return coloured, ratio * off

    def _onto(self, reference: FloatImage, other: FloatImage, ratio: float) -> FloatImage:
        """``other``, which had ``ratio`` times the reference's light, moved onto the reference."""
        flow = self.flow(reference, other, ratio)
        height, width = reference.shape[:2]
        if self._grid.shape[:2] != (height, width):
            x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
            self._grid = np.dstack((x, y))
        flow += self._grid
        moved: FloatImage = cv2.remap(
            other, flow, np.empty(0, np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return moved

    def flow(self, reference: FloatImage, other: FloatImage, ratio: float) -> NDArray[np.float32]:
        """(H, W, 2) float32: for each reference pixel, how far right and down it lies in ``other``."""
        height, width = reference.shape[:2]
        size = max(1, width // self._step), max(1, height // self._step)
        pictures = (
            _picture(reference, max(ratio, 1.0), size),
            _picture(other, max(1.0 / ratio, 1.0), size),
        )
        if min(size) < 16:  # below two patches there is nothing to search in
            return np.zeros((height, width, 2), np.float32)
        flow: NDArray[np.float32] = self._flow.calc(*pictures, None)
        if self._step > 1:
            flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR)
            flow *= np.array((width / size[0], height / size[1]), np.float32)
        return flow


def stand_in(reference: FloatImage, ratio: float) -> FloatImage:
    """The reference as an exposure of ``ratio`` times its light would show it, as far as it knows."""
    scaled: FloatImage = np.minimum(reference * np.float32(ratio), np.float32(1.0))
    return scaled


def matched(reference: FloatImage, other: FloatImage, ratio: float) -> tuple[FloatImage, float]:
    """``other`` in the reference's colours, and by how much the reported ``ratio`` of light was off.

    Per channel the median of the ratio over what both exposed well; what the channels have in common is
    returned, what is left to each is applied to the image.
    """
    off, own = _compared(reference, other, ratio)
    if own is None:
        return other, off
    coloured: FloatImage = np.minimum(other * own, np.float32(1.0))
    return coloured, off


def _compared(
    reference: FloatImage, other: FloatImage, ratio: float
) -> tuple[float, NDArray[np.float32] | None]:
    """What ``matched`` measures: the common factor, and the channels' own (3,); None without any value."""
    height, width = reference.shape[:2]
    size = max(1, width // BLOCK), max(1, height // BLOCK)
    known = cv2.resize(reference, size, interpolation=cv2.INTER_AREA)
    seen = cv2.resize(other, size, interpolation=cv2.INTER_AREA)
    measured = [_log_ratio(known[..., c], seen[..., c], ratio) for c in range(3)]
    weight = sum(count for _, count in measured)
    if weight == 0:
        return 1.0, None
    common = sum(value * count for value, count in measured) / weight
    own = np.array([np.exp(common - value) if count else 1.0 for value, count in measured], np.float32)
    return float(np.exp(common)), own


def _log_ratio(known: FloatImage, seen: FloatImage, ratio: float) -> tuple[float, int]:
    """Natural logarithm of one channel's light over what was reported, drawn towards 0 where little is seen.

    Also how many values it is the median of.
    """
    expected = known * np.float32(ratio)
    brighter = expected if ratio > 1.0 else known
    usable = (brighter > WELL_EXPOSED[0]) & (brighter < WELL_EXPOSED[1])
    logs = np.log(np.maximum(seen[usable], TINY) / np.maximum(expected[usable], TINY))
    logs = logs[np.abs(logs) < OUTLIER]
    if not logs.size:
        return 0.0, 0
    measured = float(np.median(logs)) * logs.size / (logs.size + FEWEST)
    return min(max(measured, -MOST), MOST), int(logs.size)


def _picture(image: FloatImage, scale: float, size: tuple[int, int]) -> NDArray[np.uint8]:
    """``image`` times ``scale``, cut at 1.0, grey, softened, its square root in 8 bits."""
    cut = np.minimum(image * np.float32(scale), np.float32(1.0)) if scale != 1.0 else image
    grey = cv2.cvtColor(cut, cv2.COLOR_RGB2GRAY)
    if (grey.shape[1], grey.shape[0]) != size:
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    grey = cv2.GaussianBlur(grey, (0, 0), SOFTEN_SIGMA)
    picture: NDArray[np.uint8] = cv2.convertScaleAbs(cv2.sqrt(grey), alpha=255.0)
    return picture
