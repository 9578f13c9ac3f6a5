"""Pixel formats: what cameras call them, and how their bytes become counts.

Codes, names and layouts: GenICam Pixel Format Naming Convention (PFNC) 2.4; the "Packed" layouts of 10 and 12
bits: GigE Vision 1.2, section 26.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge.frames import Image, PixelFormat
from hw.camera import CameraError

Bytes: TypeAlias = NDArray[np.uint8]
Counts: TypeAlias = NDArray[np.uint16]
Unpack: TypeAlias = Callable[[Bytes], Image]


@dataclass(frozen=True, slots=True)
class WireFormat:
    """One format on the wire.

    ``pixel_bits`` is what a pixel takes there, ``bit_depth`` what of it is a count. ``unpack`` makes the
    counts of a whole number of ``group_bytes`` bytes, in one dimension.
    """

    name: str
    code: int
    pixel_format: PixelFormat
    bit_depth: int
    pixel_bits: int
    unpack: Unpack
    group_bytes: int = 1

    def row_bytes(self, width: int) -> int:
        """Bytes of one row, its last one rounded up."""
        return -(-width * self.pixel_bits // 8)

    def image_bytes(self, width: int, height: int, padding: int = 0) -> int:
        """Bytes of an image whose rows end with ``padding`` bytes; without padding rows are not aligned."""
        if padding:
            return (self.row_bytes(width) + padding) * height
        return -(-width * height * self.pixel_bits // 8)


def unpack(data: bytes | memoryview, wire: WireFormat, width: int, height: int, padding: int = 0) -> Image:
    """The image in ``data``: (H, W) or (H, W, 3), uint8 for 8 bits a count, else uint16.

    More bytes than the image needs (chunk data) are left alone. Raises ValueError where there are fewer.
    """
    needed = wire.image_bytes(width, height, padding)
    if len(data) < needed:
        raise ValueError(f"{wire.name} of {width}x{height} needs {needed} bytes, got {len(data)}")
    flat = np.frombuffer(data, np.uint8, needed)
    values = width * (3 if wire.pixel_format == "rgb" else 1)
    image: Image
    if padding:
        rows = flat.reshape(height, -1)[:, : wire.row_bytes(width)]
        image = np.stack([wire.unpack(_whole(row, wire))[:values] for row in rows])
    else:
        image = wire.unpack(_whole(flat, wire))[: values * height]
    shape = (height, width, 3) if wire.pixel_format == "rgb" else (height, width)
    shaped: Image = image.reshape(shape)
    return shaped


def _whole(data: Bytes, wire: WireFormat) -> Bytes:
    missing = -len(data) % wire.group_bytes
    return np.concatenate([data, np.zeros(missing, np.uint8)]) if missing else data


def _plain8(data: Bytes) -> Image:
    copied: Bytes = data.copy()
    return copied


def _bgr8(data: Bytes) -> Image:
    return data.reshape(-1, 3)[:, ::-1].reshape(-1)


def _plain16(data: Bytes) -> Counts:
    return data.view("<u2").astype(np.uint16)


def _columns(data: Bytes, count: int) -> Iterator[Counts]:
    wide = data.reshape(-1, count).astype(np.uint16)
    return (wide[:, column] for column in range(count))


def _packed12(data: Bytes) -> Counts:
    """Two pixels in three bytes: the high bytes outside, the low nibbles between, the first one low."""
    first, low, second = _columns(data, 3)
    out = np.empty((len(first), 2), np.uint16)
    out[:, 0] = (first << 4) | (low & 15)
    out[:, 1] = (second << 4) | (low >> 4)
    return out.reshape(-1)


def _packed10(data: Bytes) -> Counts:
    """As 12 bits; of the byte between only bits 0, 1 and 4, 5 are used."""
    first, low, second = _columns(data, 3)
    out = np.empty((len(first), 2), np.uint16)
    out[:, 0] = (first << 2) | (low & 3)
    out[:, 1] = (second << 2) | ((low >> 4) & 3)
    return out.reshape(-1)


def _dense12(data: Bytes) -> Counts:
    """One stream of bits, the least significant first: two pixels in three bytes."""
    a, b, c = _columns(data, 3)
    out = np.empty((len(a), 2), np.uint16)
    out[:, 0] = a | ((b & 15) << 8)
    out[:, 1] = (b >> 4) | (c << 4)
    return out.reshape(-1)


def _dense10(data: Bytes) -> Counts:
    """One stream of bits, the least significant first: four pixels in five bytes."""
    a, b, c, d, e = _columns(data, 5)
    out = np.empty((len(a), 4), np.uint16)
    out[:, 0] = a | ((b & 3) << 8)
    out[:, 1] = (b >> 2) | ((c & 15) << 6)
    out[:, 2] = (c >> 4) | ((d & 63) << 4)
    out[:, 3] = (d >> 6) | (e << 2)
    return out.reshape(-1)


_LAYOUTS: Final[dict[str, tuple[int, int, Unpack, int]]] = {
    # suffix: bits of a count, bits on the wire, how, bytes that belong together
    "8": (8, 8, _plain8, 1),
    "10": (10, 16, _plain16, 2),
    "12": (12, 16, _plain16, 2),
    "10Packed": (10, 12, _packed10, 3),
    "12Packed": (12, 12, _packed12, 3),
    "10p": (10, 10, _dense10, 5),
    "12p": (12, 12, _dense12, 3),
}
_KINDS: Final[dict[str, PixelFormat]] = {
    "Mono": "mono",
    "BayerGR": "bayer_grbg",
    "BayerRG": "bayer_rggb",
    "BayerGB": "bayer_gbrg",
    "BayerBG": "bayer_bggr",
}
# fmt: off
_CODES: Final[dict[str, dict[str, int]]] = {
    "Mono": {"8": 0x01080001, "10": 0x01100003, "10Packed": 0x010C0004, "12": 0x01100005,
             "12Packed": 0x010C0006, "10p": 0x010A0046, "12p": 0x010C0047},
    "BayerGR": {"8": 0x01080008, "10": 0x0110000C, "12": 0x01100010, "10Packed": 0x010C0026,
                "12Packed": 0x010C002A, "10p": 0x010A0056, "12p": 0x010C0057},
    "BayerRG": {"8": 0x01080009, "10": 0x0110000D, "12": 0x01100011, "10Packed": 0x010C0027,
                "12Packed": 0x010C002B, "10p": 0x010A0058, "12p": 0x010C0059},
    "BayerGB": {"8": 0x0108000A, "10": 0x0110000E, "12": 0x01100012, "10Packed": 0x010C0028,
                "12Packed": 0x010C002C, "10p": 0x010A0054, "12p": 0x010C0055},
    "BayerBG": {"8": 0x0108000B, "10": 0x0110000F, "12": 0x01100013, "10Packed": 0x010C0029,
                "12Packed": 0x010C002D, "10p": 0x010A0052, "12p": 0x010C0053},
}
# fmt: on
FORMATS: Final = (
    *(
        WireFormat(f"{kind}{suffix}", code, _KINDS[kind], depth, bits, how, group)
        for kind, codes in _CODES.items()
        for suffix, code in codes.items()
        for depth, bits, how, group in (_LAYOUTS[suffix],)
    ),
    WireFormat("RGB8", 0x02180014, "rgb", 8, 24, _plain8, 3),
    WireFormat("BGR8", 0x02180015, "rgb", 8, 24, _bgr8, 3),
)
BY_NAME: Final = {row.name: row for row in FORMATS} | {
    # names from before PFNC, which old firmware still has
    "RGB8Packed": next(row for row in FORMATS if row.name == "RGB8"),
    "BGR8Packed": next(row for row in FORMATS if row.name == "BGR8"),
}
BY_CODE: Final = {row.code: row for row in FORMATS}


def choose(offered: Iterable[str], wanted: str, bit_depth: int, where: str) -> tuple[str, WireFormat]:
    """The format to set, in the camera's own spelling: ``wanted``, or for "auto" the most compact one.

    Colour goes before mono. Raises CameraError with what the camera offers.
    """
    names = [name for name in offered if name in BY_NAME]
    if wanted != "auto":
        names = [name for name in names if name == wanted]
    fitting = [name for name in names if BY_NAME[name].bit_depth == bit_depth]
    if not fitting:
        asked = f"pixel format {wanted}" if wanted != "auto" else f"a pixel format of {bit_depth} bits"
        raise CameraError(
            f"{where}: it does not offer {asked} (rig.bit_depth {bit_depth}); it has "
            f"{', '.join(offered) or 'none'}; change rig.bit_depth or pixel_format"
        )
    best = min(fitting, key=lambda name: (BY_NAME[name].pixel_format == "mono", BY_NAME[name].pixel_bits))
    return best, BY_NAME[best]
