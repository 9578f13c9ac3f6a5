"""How bright one raw frame is: a handful of figures from a thin sample of its pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.develop.demosaic import is_mosaic
from edge.frames import Frame
from hw.camera import CameraInfo

FLOOR_EV = -10.0
"""Darker than this is read noise: counted as this."""
CLIPPED = 0.97
"""Share of full scale from which a value says nothing of how bright the scene was."""
DARK = 2.0**-7
"""Below this share of full scale a full well of 10 000 electrons leaves a signal-to-noise ratio under 9."""
SHADOWS = 0.02
"""The darkest fiftieth of the picture is what the high exposure is for."""
SAMPLES = 16_384


@dataclass(frozen=True, slots=True)
class Metered:
    """Figures of one frame, in EV below its own saturation, and shares of its pixels.

    ``level_ev`` is the log-average brightness. ``clipped`` and ``dark`` are the shares beyond CLIPPED and
    below DARK. ``bright_ev`` is exceeded by the configured share of pixels only, 0 where that share clips;
    ``shadow_ev`` exceeds the darkest SHADOWS of them.
    """

    level_ev: float
    clipped: float
    dark: float
    bright_ev: float
    shadow_ev: float


def meter_frame(frame: Frame, info: CameraInfo, bright_share: float) -> Metered:
    """Meter a raw frame with an image; its counts must be linear.

    ``bright_share``: the share of pixels that may be brighter than ``bright_ev``.
    """
    scale = np.float32(1.0 / (info.white_level - info.black_level))
    planes = (_planes(frame).astype(np.float32) - np.float32(info.black_level)) * scale
    largest = planes.max(0).ravel()
    floor = np.float32(2.0**FLOOR_EV)
    logs = np.log2(np.clip(planes.mean(0), floor, np.float32(1.0)))
    return Metered(
        level_ev=float(logs.mean()),
        clipped=float((largest >= CLIPPED).mean()),
        dark=float((largest < DARK).mean()),
        bright_ev=_rank_ev(largest, 1.0 - bright_share),
        shadow_ev=_rank_ev(largest, SHADOWS),
    )


def _planes(frame: Frame) -> NDArray[np.generic]:
    """(channels, h, w) counts: the colours of every n-th cell of the mosaic, or of every n-th pixel."""
    image = frame.image
    if is_mosaic(frame.pixel_format):
        step = 2 * _step(image.shape[0] // 2, image.shape[1] // 2)
        height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
        cells = [image[row:height:step, column:width:step] for row in (0, 1) for column in (0, 1)]
        return np.stack(cells)
    step = _step(*image.shape[:2])
    thin = image[::step, ::step]
    return thin[None] if thin.ndim == 2 else np.moveaxis(thin, 2, 0)


def _step(rows: int, columns: int) -> int:
    return max(1, math.isqrt(rows * columns // SAMPLES))


def _rank_ev(values: NDArray[np.float32], share: float) -> float:
    """Brightness in EV that ``share`` of the values lie under; 0 from CLIPPED on."""
    rank = min(int(share * values.size), values.size - 1)
    value = float(np.partition(values, rank)[rank])
    return 0.0 if value >= CLIPPED else max(FLOOR_EV, math.log2(max(value, 1e-9)))
