"""The SDR picture for people: a global tone curve that follows the scene slowly, so it adds no flicker.

The curve is extended Reinhard (Reinhard et al. 2002, "Photographic tone reproduction for digital images",
eq. 4) on each channel, x (1 + x / w^2) / (1 + x) with x = gain * radiance, then sRGB.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.frames import FloatImage
from edge.tone import colour

Rgb8: TypeAlias = NDArray[np.uint8]

_KEY = 0.18
"""Middle grey: where the curve puts the scene's log-average luminance."""
_GAIN_LIMITS = (0.25, 8.0)
"""A night scene stays dark and a snow field bright."""
_FLOOR = 1e-4
"""Radiance added before the logarithm, so that black borders do not drive the gain."""
_SAMPLES = 4096
"""Pixels the meter looks at, at least."""


@dataclass(frozen=True, slots=True)
class ToneCurve:
    """``gain`` before the curve; ``white``, the radiance that becomes pure white."""

    gain: float
    white: float


def meter(radiance: FloatImage) -> ToneCurve:
    """The curve that would suit this (H, W, 3) picture alone. NaN counts as black."""
    step = max(1, math.isqrt(radiance.shape[0] * radiance.shape[1] // _SAMPLES))
    seen = np.nan_to_num(radiance[::step, ::step], nan=0.0, posinf=65504.0, neginf=0.0).clip(0.0, 65504.0)
    luminance = cv2.transform(seen, colour.REC709_LUMA)
    log_average = math.exp(float(cv2.mean(cv2.log(luminance + _FLOOR))[0]))
    gain = min(max(_KEY / log_average, _GAIN_LIMITS[0]), _GAIN_LIMITS[1])
    flat = luminance.ravel()
    rank = int(0.998 * (flat.size - 1))
    return ToneCurve(gain, max(1.0, float(np.partition(flat, rank)[rank])))


def smooth(last: ToneCurve, target: ToneCurve, dt_ns: int, smoothing_s: float) -> ToneCurve:
    """``last`` moved towards ``target`` in the log domain, by 63 % in ``smoothing_s``."""
    share = 1.0 - math.exp(-max(dt_ns, 0) / (smoothing_s * 1e9)) if smoothing_s > 0 else 1.0

    def move(a: float, b: float) -> float:
        return math.exp((1.0 - share) * math.log(a) + share * math.log(b))

    return ToneCurve(move(last.gain, target.gain), move(last.white, target.white))


def apply_curve(radiance: FloatImage, curve: ToneCurve) -> Rgb8:
    """(h, w, 3) float32 radiance to sRGB uint8 RGB of the same size. NaN and negative become black."""
    return _through(radiance, _half_table(curve))


class SdrPreview:
    """An 8-bit picture of each frame; its curve follows the scene over ``smoothing_s`` of frame time.

    ``width`` may be set between two pictures.
    """

    def __init__(self, width: int = 480, smoothing_s: float = 1.0) -> None:
        self.width = width
        self._smoothing_s = smoothing_s
        self._curve: ToneCurve | None = None
        self._table: tuple[ToneCurve, NDArray[np.uint8]] | None = None
        self._t_ns = 0

    @property
    def curve(self) -> ToneCurve | None:
        """The curve of the last ``render``; None before the first."""
        return self._curve

    def render(self, radiance: FloatImage, t_ns: int) -> Rgb8:
        """(H, W, 3) radiance at frame time ``t_ns`` to sRGB RGB uint8, at most ``width`` wide."""
        small = self._shrink(radiance)
        target = meter(small)
        if self._curve is None:
            self._curve = target
        else:
            self._curve = smooth(self._curve, target, t_ns - self._t_ns, self._smoothing_s)
        self._t_ns = t_ns
        return self._show(small, self._curve)

    def render_like_last(self, radiance: FloatImage) -> Rgb8:
        """The same with the curve of the last ``render``: for the reference picture beside the fused one."""
        small = self._shrink(radiance)
        return self._show(small, self._curve or meter(small))

    def _show(self, small: FloatImage, curve: ToneCurve) -> Rgb8:
        if self._table is None or not _look_alike(curve, self._table[0]):
            self._table = (curve, _half_table(curve))
        return _through(small, self._table[1])

    def _shrink(self, radiance: FloatImage) -> FloatImage:
        height, width = radiance.shape[:2]
        if width <= self.width:
            return radiance
        size = (self.width, max(1, round(height * self.width / width)))
        return np.asarray(cv2.resize(radiance, size, interpolation=cv2.INTER_AREA), np.float32)


def to_jpeg(rgb: Rgb8, quality: int = 80) -> bytes:
    """(h, w, 3) RGB uint8 to JPEG bytes; ``quality`` 1 to 100."""
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise ValueError(f"cannot encode a picture of shape {rgb.shape} as JPEG")
    return bytes(data)


def _look_alike(a: ToneCurve, b: ToneCurve) -> bool:
    """Within 0.1 %, a tenth of one 8-bit step: not worth a new table."""
    return abs(a.gain / b.gain - 1.0) < 1e-3 and abs(a.white / b.white - 1.0) < 1e-3


def _half_table(curve: ToneCurve) -> NDArray[np.uint8]:
    """The curve for every half float: 31744 finite positives, infinity as white, the rest black."""
    x = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32) * np.float32(curve.gain)
    white = np.float32(curve.gain * curve.white)
    toned = x * (1.0 + x / (white * white)) / (1.0 + x)
    table = np.zeros(65536, np.uint8)
    table[:0x7C00] = np.rint(colour.srgb_from_linear(toned) * np.float32(255.0))
    table[0x7C00] = 255
    return table


def _through(radiance: FloatImage, table: NDArray[np.uint8]) -> Rgb8:
    halves = cv2.convertFp16(np.ascontiguousarray(radiance, np.float32)).view(np.uint16)
    out = np.empty(halves.shape, np.uint8)
    colour.lookup(halves, table, out)
    return out
