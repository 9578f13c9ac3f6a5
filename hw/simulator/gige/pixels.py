"""Pixel formats on the wire (GenICam PFNC 2.x): codes, and how counts become bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.uint16]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class WireFormat:
    """One format: bits of a count, bits a pixel takes, and (H, W) counts to the bytes of a frame."""

    code: int
    bit_depth: int
    pixel_bits: int
    pack: Callable[[Counts], Bytes]
    mono: bool = False


def _plain8(counts: Counts) -> Bytes:
    return counts.astype(np.uint8).reshape(-1)


def _plain16(counts: Counts) -> Bytes:
    return np.ascontiguousarray(counts, "<u2").view(np.uint8).reshape(-1)


def _packed12(counts: Counts) -> Bytes:
    """GigE Vision's own packing: high bytes at the ends, both low nibbles (or pairs of bits) between."""
    first, second = counts.reshape(-1, 2).T
    out = np.empty((first.size, 3), np.uint8)
    out[:, 0] = first >> 4
    out[:, 1] = (first & 15) | ((second & 15) << 4)
    out[:, 2] = second >> 4
    return out.reshape(-1)


def _packed10(counts: Counts) -> Bytes:
    first, second = counts.reshape(-1, 2).T
    out = np.empty((first.size, 3), np.uint8)
    out[:, 0] = first >> 2
    out[:, 1] = (first & 3) | ((second & 3) << 4)
    out[:, 2] = second >> 2
    return out.reshape(-1)


def _dense12(counts: Counts) -> Bytes:
    """PFNC's packing, least significant bit first, without gaps."""
    first, second = counts.reshape(-1, 2).T
    out = np.empty((first.size, 3), np.uint8)
    out[:, 0] = first & 255
    out[:, 1] = (first >> 8) | ((second & 15) << 4)
    out[:, 2] = second >> 4
    return out.reshape(-1)


def _dense10(counts: Counts) -> Bytes:
    a, b, c, d = counts.reshape(-1, 4).T
    out = np.empty((a.size, 5), np.uint8)
    out[:, 0] = a & 255
    out[:, 1] = (a >> 8) | ((b & 63) << 2)
    out[:, 2] = (b >> 6) | ((c & 15) << 4)
    out[:, 3] = (c >> 4) | ((d & 3) << 6)
    out[:, 4] = d >> 2
    return out.reshape(-1)


PIXEL_FORMATS: Final[dict[str, WireFormat]] = {
    "Mono8": WireFormat(0x0108_0001, 8, 8, _plain8, mono=True),
    "BayerRG8": WireFormat(0x0108_0009, 8, 8, _plain8),
    "BayerRG10": WireFormat(0x0110_000D, 10, 16, _plain16),
    "BayerRG12": WireFormat(0x0110_0011, 12, 16, _plain16),
    "BayerRG10Packed": WireFormat(0x010C_0027, 10, 12, _packed10),
    "BayerRG12Packed": WireFormat(0x010C_002B, 12, 12, _packed12),
    "BayerRG10p": WireFormat(0x010A_0058, 10, 10, _dense10),
    "BayerRG12p": WireFormat(0x010C_0059, 12, 12, _dense12),
}
BY_CODE: Final = {row.code: row for row in PIXEL_FORMATS.values()}
