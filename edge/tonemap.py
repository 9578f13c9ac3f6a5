"""Radiance to pictures: HDR10 and HLG planes for the encoder, and an SDR preview that does not flicker.

Radiance is scene-linear Rec. 709, 1.0 = what saturates the reference exposure. HDR10 shows 1.0 at
``reference_white_nits`` (203 cd/m2, ITU-R BT.2408) and clips at ``peak_nits``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge.frames import FloatImage
from edge.hdr_metadata import FrameLight

Plane: TypeAlias = NDArray[np.uint16]
Rgb8: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class HdrFormat:
    """How radiance becomes a signal. ``transfer``: PQ (ST 2084, HDR10) or HLG (BT.2100)."""

    transfer: Literal["pq", "hlg"] = "pq"
    reference_white_nits: float = 203.0
    peak_nits: float = 1000.0
    min_nits: float = 0.0001


@dataclass(frozen=True, slots=True)
class YuvImage:
    """10-bit limited-range Y'CbCr 4:2:0, BT.2020 non-constant luminance; codes in the low bits of uint16.

    ``y`` is (H, W), ``cb`` and ``cr`` are (H/2, W/2), H and W even (an odd image was padded by its last row
    or column). Chroma is sited left (H.265 chroma sample location type 0). ``light`` is None for HLG, which
    carries no static metadata.
    """

    y: Plane
    cb: Plane
    cr: Plane
    light: FrameLight | None


class HdrToneMapper:
    """Converts frame after frame; keeps its work buffers, so one instance serves one thread."""

    def __init__(self, fmt: HdrFormat | None = None) -> None:
        self.format = fmt or HdrFormat()

    def convert(self, radiance: FloatImage) -> YuvImage:
        """(H, W, 3) float32 radiance to planes of their own. NaN and negative become black, inf the peak."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class ToneCurve:
    """Extended Reinhard (Reinhard et al. 2002, eq. 4): ``gain`` before the curve, ``white`` in radiance."""

    gain: float
    white: float


def meter(radiance: FloatImage) -> ToneCurve:
    """The curve that would suit this picture alone: (h, w, 3) float32, any size (small is enough)."""
    raise NotImplementedError


def apply_curve(radiance: FloatImage, curve: ToneCurve) -> Rgb8:
    """(h, w, 3) radiance to sRGB uint8 RGB of the same size."""
    raise NotImplementedError


class SdrPreview:
    """An 8-bit picture of each frame whose curve follows the scene over ``smoothing_s`` of frame time."""

    def __init__(self, scale: float = 0.5, smoothing_s: float = 1.0) -> None:
        raise NotImplementedError

    def render(self, radiance: FloatImage, t_ns: int) -> Rgb8:
        """(H, W, 3) radiance at frame time ``t_ns`` to sRGB RGB uint8, ``scale`` times as large."""
        raise NotImplementedError

    def render_like_last(self, radiance: FloatImage) -> Rgb8:
        """The same with the curve of the last ``render``: for the reference picture beside the fused one."""
        raise NotImplementedError


def to_jpeg(rgb: Rgb8, quality: int = 80) -> bytes:
    """RGB uint8 to JPEG bytes."""
    raise NotImplementedError


def _unused(_: Any) -> None: ...
