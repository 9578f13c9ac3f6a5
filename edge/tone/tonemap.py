"""Radiance to HDR video planes: HDR10 (PQ) or HLG, 10 bits, 4:2:0, at a few milliseconds a frame.

Radiance is scene-linear Rec. 709, 1.0 = what saturates the reference exposure. PQ shows 1.0 at
``reference_white_nits`` (203 cd/m2, ITU-R BT.2408) with no further rendering and clips each BT.2020 channel
at ``peak_nits``. HLG stores scene light scaled so that a display of ``peak_nits`` shows 1.0 at the same
level. Sources: SMPTE ST 2084, ITU-R BT.2020, BT.2087, BT.2100-2, BT.2408.

The transfer function is a table over all 65536 half-float values: a half keeps 11 significant bits, which is
50 times finer than a 10-bit PQ step, and every NaN, infinity and negative number is simply an entry of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.frames import FloatImage
from edge.tone import colour
from edge.tone.hdr_metadata import FrameLight
from edge.tone.sdr import Rgb8, SdrPreview, ToneCurve, to_jpeg

if TYPE_CHECKING:
    from edge.config.schema import HdrConfig

__all__ = [
    "HdrFormat",
    "HdrToneMapper",
    "Plane",
    "Rgb8",
    "SdrPreview",
    "ToneCurve",
    "YuvImage",
    "to_jpeg",
    "video_format",
]

Plane: TypeAlias = NDArray[np.uint16]

_FULL = 65535.0
"""R'G'B' 1.0 in the 16-bit intermediate."""
_CHROMA_SCALE = 32.0
"""Chroma keeps five more bits until it has been filtered down."""
_HLG_UNITS = 1000.0
"""HLG scene light 1.0 as a half float: large enough that shadows are normal halves."""


@dataclass(frozen=True, slots=True)
class HdrFormat:
    """How radiance becomes a signal. ``transfer``: PQ (ST 2084, HDR10) or HLG (BT.2100)."""

    transfer: Literal["pq", "hlg"] = "pq"
    reference_white_nits: float = 203.0
    peak_nits: float = 1000.0
    min_nits: float = 0.0001


def video_format(hdr: HdrConfig) -> HdrFormat:
    """The signal that the configuration asks for."""
    return HdrFormat(
        transfer=hdr.transfer, reference_white_nits=hdr.reference_white_nits, peak_nits=hdr.peak_nits
    )


@dataclass(frozen=True, slots=True)
class YuvImage:
    """10-bit limited-range Y'CbCr 4:2:0, BT.2020 non-constant luminance; codes in the low bits of uint16.

    ``y`` is (H, W), ``cb`` and ``cr`` are (H/2, W/2), H and W even (an odd image was padded by its last row
    or column). Chroma is sited left (H.265 chroma sample location type 0). ``light`` is None for HLG, which
    carries no static metadata. ``format`` is the signal that the codes are of.
    """

    y: Plane
    cb: Plane
    cr: Plane
    light: FrameLight | None
    format: HdrFormat


class HdrToneMapper:
    """Converts frame after frame; keeps its work buffers, so one instance serves one thread."""

    def __init__(self, fmt: HdrFormat | None = None) -> None:
        self.format = fmt or HdrFormat()
        halves = np.arange(65536, dtype=np.uint16).view(np.float16)
        # Before they grow wider: on aarch64 a NaN that does is a warning.
        halves = np.where(np.isnan(halves), np.float16(0.0), halves).astype(np.float64)
        if self.format.transfer == "pq":
            units_per_radiance = self.format.reference_white_nits
            signal = colour.pq_from_nits(np.clip(halves, 0.0, self.format.peak_nits))
        else:
            white = colour.hlg_scene_of_white(self.format.reference_white_nits, self.format.peak_nits)
            units_per_radiance = white * _HLG_UNITS
            signal = colour.hlg_from_scene(np.clip(halves / _HLG_UNITS, 0.0, 1.0))
        self._to_units = (colour.rec709_to_bt2020() * units_per_radiance).astype(np.float32)
        self._transfer = np.rint(signal * _FULL).astype(np.uint16)
        self._nits = colour.nits_from_pq(np.arange(65536) / _FULL).astype(np.float32)
        self._to_ycbcr = _code_matrix()
        self._work = _Work((0, 0, 3))

    def convert(self, radiance: FloatImage) -> YuvImage:
        """(H, W, 3) float32 radiance to planes of their own. NaN and negative become black, inf the peak.

        Raises ValueError where ``radiance`` is not (H, W, 3).
        """
        even = _even(radiance)
        if self._work.shape != even.shape:
            self._work = _Work(even.shape)
        work = self._work
        cv2.transform(even, self._to_units, dst=work.linear)
        cv2.convertFp16(work.linear, dst=work.halves)
        colour.lookup(work.halves.view(np.uint16), self._transfer, work.signal)
        cv2.transform(work.signal, self._to_ycbcr, dst=work.codes)
        light = self._measure(work) if self.format.transfer == "pq" else None
        y = np.empty(even.shape[:2], np.uint16)
        cv2.split(work.codes, (y, work.plane_b, work.plane_c))
        cb, cr = _halve_left_sited(work.plane_b), _halve_left_sited(work.plane_c)
        return YuvImage(y, cb, cr, light, self.format)

    def _measure(self, work: _Work) -> FrameLight:
        """Light of max(R, G, B) per pixel (CTA-861.3), read back from the signal that is shown."""
        cv2.split(work.signal, (work.plane_a, work.plane_b, work.plane_c))
        brightest = cv2.max(cv2.max(work.plane_a, work.plane_b), work.plane_c)
        peak = float(self._nits[int(cv2.minMaxLoc(brightest)[1])])
        colour.lookup(brightest, self._nits, work.nits)
        return FrameLight(peak, float(cv2.mean(work.nits)[0]))


class _Work:
    """Buffers for one image size: fresh pages for every frame would cost as much as the arithmetic."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.linear = np.empty(shape, np.float32)
        self.halves = np.empty(shape, np.int16)
        self.signal = np.empty(shape, np.uint16)
        self.codes = np.empty(shape, np.uint16)
        self.plane_a, self.plane_b, self.plane_c = (np.empty(shape[:2], np.uint16) for _ in range(3))
        self.nits = np.empty(shape[:2], np.float32)


def _code_matrix() -> NDArray[np.float64]:
    """(3, 4): 16-bit R'G'B' to 10-bit Y' code, and to Cb and Cr codes times ``_CHROMA_SCALE`` (BT.2100)."""
    scale = np.array([[876.0], [896.0 * _CHROMA_SCALE], [896.0 * _CHROMA_SCALE]]) / _FULL
    offset = np.array([[64.0], [512.0 * _CHROMA_SCALE], [512.0 * _CHROMA_SCALE]])
    return np.hstack([colour.bt2020_ycbcr() * scale, offset])


def _even(radiance: FloatImage) -> FloatImage:
    """The image as float32 with even sides, padded by repeating its last row and column."""
    if radiance.ndim != 3 or radiance.shape[2] != 3 or 0 in radiance.shape:
        raise ValueError(f"radiance must be (H, W, 3), got {radiance.shape}")
    image = np.ascontiguousarray(radiance, np.float32)
    odd_rows, odd_columns = image.shape[0] % 2, image.shape[1] % 2
    if odd_rows or odd_columns:
        image = cv2.copyMakeBorder(image, 0, odd_rows, 0, odd_columns, cv2.BORDER_REPLICATE)
    return image


def _halve_left_sited(chroma: Plane) -> Plane:
    """Half-size chroma, left-sited: rows averaged in twos, columns filtered (1 2 1)/4 around even ones.

    The mean of two box filters one column apart is that filter, and box filters of two are fast.
    """
    height, width = chroma.shape
    size = (width // 2, height // 2)
    padded = cv2.copyMakeBorder(chroma, 0, 0, 1, 0, cv2.BORDER_REPLICATE)
    right = cv2.resize(chroma, size, interpolation=cv2.INTER_AREA)
    left = cv2.resize(padded[:, :width], size, interpolation=cv2.INTER_AREA)
    half = 0.5 / _CHROMA_SCALE
    return np.asarray(cv2.addWeighted(left, half, right, half, 0.0), np.uint16)
