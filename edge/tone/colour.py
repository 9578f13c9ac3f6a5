"""Colour by the standards, in float64 for tables and checks: primaries, transfer functions, code ranges.

Sources: ITU-R BT.709-6, BT.2020-2, BT.2087-0 (709 to 2020), BT.2100-2 (PQ, HLG), SMPTE ST 2084 (PQ),
IEC 61966-2-1 (sRGB).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Float64: TypeAlias = NDArray[np.float64]

D65_XY = (0.3127, 0.3290)
REC709_XY = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
BT2020_XY = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))

REC709_LUMA = np.array([[0.2126, 0.7152, 0.0722]], np.float32)
BT2020_LUMA = (0.2627, 0.6780, 0.0593)
PQ_MAX_NITS = 10000.0
PQ_M1, PQ_M2 = 2610.0 / 16384.0, 78.84375
PQ_C1, PQ_C2, PQ_C3 = 0.8359375, 18.8515625, 18.6875
HLG_A, HLG_B, HLG_C = 0.17883277, 0.28466892, 0.55991073


def rgb_to_xyz(primaries: tuple[tuple[float, float], ...]) -> Float64:
    """(3, 3) matrix from linear RGB to CIE XYZ for xy ``primaries`` and white D65 (SMPTE RP 177)."""
    columns = np.array([[x / y, 1.0, (1.0 - x - y) / y] for x, y in primaries]).T
    x, y = D65_XY
    white = np.array([x / y, 1.0, (1.0 - x - y) / y])
    return np.asarray(columns * np.linalg.solve(columns, white), np.float64)


def rec709_to_bt2020() -> Float64:
    """(3, 3) matrix of ITU-R BT.2087-0, from the primaries: no entry is negative."""
    return np.asarray(np.linalg.solve(rgb_to_xyz(BT2020_XY), rgb_to_xyz(REC709_XY)), np.float64)


def bt2020_ycbcr() -> Float64:
    """(3, 3) matrix from R'G'B' to Y'CbCr, BT.2020 non-constant luminance: Y' 0..1, Cb and Cr -0.5..0.5."""
    kr, kg, kb = BT2020_LUMA
    luma = np.array([kr, kg, kb])
    blue = (np.array([0.0, 0.0, 1.0]) - luma) / (2.0 * (1.0 - kb))
    red = (np.array([1.0, 0.0, 0.0]) - luma) / (2.0 * (1.0 - kr))
    return np.stack([luma, blue, red])


def pq_from_nits(nits: Any) -> Float64:
    """ST 2084 inverse EOTF: cd/m2 in [0, 10000] to signal in [0, 1]."""
    y = np.power(np.clip(np.asarray(nits, np.float64) / PQ_MAX_NITS, 0.0, 1.0), PQ_M1)
    ratio = (PQ_C1 + PQ_C2 * y) / (1.0 + PQ_C3 * y)
    return np.asarray(np.power(ratio, PQ_M2), np.float64)


def nits_from_pq(signal: Any) -> Float64:
    """ST 2084 EOTF: signal in [0, 1] to cd/m2."""
    e = np.power(np.clip(np.asarray(signal, np.float64), 0.0, 1.0), 1.0 / PQ_M2)
    y = np.maximum(e - PQ_C1, 0.0) / (PQ_C2 - PQ_C3 * e)
    return np.asarray(PQ_MAX_NITS * np.power(y, 1.0 / PQ_M1), np.float64)


def hlg_from_scene(light: Any) -> Float64:
    """BT.2100 HLG OETF: scene light in [0, 1] to signal in [0, 1]."""
    e = np.clip(np.asarray(light, np.float64), 0.0, 1.0)
    log_part = HLG_A * np.log(np.maximum(12.0 * e - HLG_B, 1e-12)) + HLG_C
    return np.asarray(np.where(e <= 1.0 / 12.0, np.sqrt(3.0 * e), log_part), np.float64)


def hlg_scene_of_white(white_nits: float, peak_nits: float) -> float:
    """The HLG scene light that a display of ``peak_nits`` shows at ``white_nits`` (BT.2100 OOTF, grey).

    203 of 1000 cd/m2 gives 0.265, the 75 % signal that BT.2408 names HDR reference white.
    """
    gamma = 1.2 + 0.42 * float(np.log10(peak_nits / 1000.0))
    return float((white_nits / peak_nits) ** (1.0 / gamma))


def srgb_from_linear(light: Any) -> NDArray[Any]:
    """IEC 61966-2-1: linear [0, 1] to sRGB signal [0, 1]; float32 stays float32."""
    e = np.clip(light, 0.0, 1.0)
    return np.asarray(np.where(e <= 0.0031308, 12.92 * e, 1.055 * np.power(e, 1.0 / 2.4) - 0.055))


def linear_from_srgb(signal: Any) -> NDArray[Any]:
    """IEC 61966-2-1: sRGB signal [0, 1] to linear [0, 1]."""
    s = np.clip(signal, 0.0, 1.0)
    return np.asarray(np.where(s <= 0.04045, s / 12.92, np.power((s + 0.055) / 1.055, 2.4)))


def lookup(index: NDArray[np.uint16], table: NDArray[Any], out: NDArray[Any]) -> None:
    """``out[...] = table[index]`` for a table of 65536 entries of ``out``'s type."""
    try:
        cv2.LUT(index, table.reshape(1, -1), dst=out)
    except cv2.error:  # OpenCV before 4.12 looks up 8-bit images only
        np.take(table, index, out=out, mode="clip")
