"""Is this image file whole? What OpenCV does not say.

OpenCV decodes a PNG or JPEG that is cut off and fills the rest with grey, expands palettes, drops alpha and
allocates whatever size a header claims. These functions walk the container first: they give the header and
raise ``Damaged`` or ``Unsuited`` with the cause. They never allocate more than the file holds.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"
TIFF_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
EXR_MAGIC = b"\x76\x2f\x31\x01"


class DamagedError(Exception):
    """Bytes are missing or wrong. The text is the cause, a clause without the file's name."""


class UnsuitedError(Exception):
    """The file is whole but not what can be used here. The text is the cause and the next step."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """``channels``: 1 grey, 3 RGB, 2 and 4 the same with alpha; ``bits`` of one channel."""

    width: int
    height: int
    channels: int
    bits: int

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is alpha."""
        return self.channels in (2, 4)


def check_png(data: bytes) -> ImageHeader:
    """Walk the chunks (W3C PNG 3rd edition, 5.3): every length, every CRC, IHDR first, IEND last."""
    header: ImageHeader | None = None
    for kind, start, length in _png_chunks(data):
        if header is None:
            if kind != b"IHDR" or length != 13:
                raise DamagedError("its header is not where a PNG has it")
            header = _png_header(data[start : start + length])
        if kind == b"tRNS":
            raise UnsuitedError("it has a transparent colour; save it without transparency")
        if kind == b"IEND":
            return header
    raise DamagedError("it ends before the end mark (IEND): it was cut off")


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    position, view = len(PNG_MAGIC), memoryview(data)
    while position < len(data):
        if position + 12 > len(data):
            raise DamagedError("it ends inside a chunk: it was cut off")
        length, kind = struct.unpack_from(">I4s", data, position)
        start, end = position + 8, position + 8 + length
        if end + 4 > len(data):
            raise DamagedError(f"it ends inside the chunk {kind.decode('latin-1')!r}: it was cut off")
        if zlib.crc32(view[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise DamagedError(
                f"the checksum of the chunk {kind.decode('latin-1')!r} at byte {position} is wrong"
            )
        yield kind, start, length
        position = end + 4


def _png_header(ihdr: bytes) -> ImageHeader:
    width, height, bits, colour = struct.unpack_from(">IIBB", ihdr)
    channels = {0: 1, 2: 3, 4: 2, 6: 4}.get(colour)
    if colour == 3:
        raise UnsuitedError("it has a palette; save it with 8 or 16 bits a channel")
    if channels is None:
        raise DamagedError(f"colour type {colour} does not exist")
    return ImageHeader(width, height, channels, bits)


_JPEG_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_JPEG_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}


def check_jpeg(data: bytes) -> ImageHeader:
    """Walk the segments and scans (ITU-T T.81, annex B) to the end mark.

    A JPEG carries no checksum; damage inside a scan shows only to a strict decoder.
    """
    header: ImageHeader | None = None
    position = 2
    while True:
        position = _jpeg_marker(data, position)
        marker = data[position]
        position += 1
        if marker == 0xD9:
            if header is None:
                raise DamagedError("it ends before the picture begins")
            return header
        if marker in _JPEG_WITHOUT_LENGTH:
            continue
        if position + 2 > len(data):
            raise DamagedError("it ends inside a segment: it was cut off")
        length = int.from_bytes(data[position : position + 2], "big")
        if length < 2 or position + length > len(data):
            raise DamagedError("it ends inside a segment: it was cut off")
        if marker in _JPEG_SOF and length >= 8:
            bits, height, width, channels = struct.unpack_from(">BHHB", data, position + 2)
            header = ImageHeader(width, height, channels, bits)
            if channels not in (1, 3):
                raise UnsuitedError(f"it has {channels} colour channels (CMYK?); save it as RGB")
        position += length


def _jpeg_marker(data: bytes, position: int) -> int:
    """The index of the next marker's code byte, past entropy-coded data (stuffed FF 00) and fill bytes."""
    while True:
        position = data.find(b"\xff", position)
        if position < 0 or position + 1 >= len(data):
            raise DamagedError("it ends before the end mark (EOI): it was cut off")
        position += 1
        if data[position] == 0xFF:
            continue
        if data[position] != 0x00:
            return position


_TIFF_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_TIFF_CODES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES, _PLANAR, _EXTRA, _FORMAT = (
    256,
    257,
    258,
    262,
    277,
    284,
    338,
    339,
)
_OFFSETS, _COUNTS = (273, 324), (279, 325)
_PHOTOMETRICS = {0: 1, 1: 1, 2: 3, 6: 3}
"""WhiteIsZero, BlackIsZero, RGB, YCbCr -> colour channels (TIFF 6.0, page 37)."""


def check_tiff(data: bytes) -> ImageHeader:
    """Read the first directory (TIFF 6.0, section 2; BigTIFF alike): all strips or tiles must be there."""
    try:
        tags = _tiff_tags(data)
    except struct.error:
        raise DamagedError("it ends before its directory: it was cut off") from None
    photometric = tags.get(_PHOTOMETRIC, (-1,))[0]
    colours = _PHOTOMETRICS.get(photometric)
    if colours is None:
        raise UnsuitedError(
            f"its colour model (photometric {photometric}) is not RGB; develop or save it as RGB"
        )
    if {*tags.get(_FORMAT, (1,))} != {1}:
        raise UnsuitedError("it holds signed or floating-point numbers; save linear images as EXR")
    if tags.get(_PLANAR, (1,))[0] != 1:
        raise UnsuitedError("its colour planes lie apart; save it with interleaved channels")
    bits = {*tags.get(_BITS, (1,))}
    samples = tags.get(_SAMPLES, (1,))[0]
    if (
        len(bits) != 1
        or samples < colours
        or samples > colours + 1
        or _WIDTH not in tags
        or _HEIGHT not in tags
    ):
        raise UnsuitedError("its channels are not those of a grey or RGB image; save it as 8 or 16 bit RGB")
    for offset, count in zip(_first(tags, _OFFSETS), _first(tags, _COUNTS), strict=False):
        if offset + count > len(data):
            raise DamagedError("it ends inside its pixels: it was cut off")
    return ImageHeader(tags[_WIDTH][0], tags[_HEIGHT][0], samples, bits.pop())


def _first(tags: dict[int, tuple[int, ...]], keys: tuple[int, ...]) -> tuple[int, ...]:
    values = next((tags[key] for key in keys if key in tags), ())
    if not values:
        raise DamagedError("its directory does not say where the pixels are")
    return values


def _tiff_tags(data: bytes) -> dict[int, tuple[int, ...]]:
    """The integer tags of the first directory. Raises struct.error where it runs past the end."""
    order = "<" if data[:2] == b"II" else ">"
    big = 43 in (data[2], data[3])
    directory = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4)[0]
    entries = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, directory)[0]
    entry, inline, size = (f"{order}HHQ", 8, 20) if big else (f"{order}HHI", 4, 12)
    at = directory + (8 if big else 2)
    if at + entries * size > len(data):
        raise struct.error
    tags: dict[int, tuple[int, ...]] = {}
    for _ in range(entries):
        tag, kind, count = struct.unpack_from(entry, data, at)
        value = at + size - inline
        if count * _TIFF_SIZES.get(kind, 1) > inline:
            value = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, value)[0]
        if kind in _TIFF_CODES and count <= len(data):
            tags[tag] = struct.unpack_from(f"{order}{count}{_TIFF_CODES[kind]}", data, value)
        at += size
    return tags
