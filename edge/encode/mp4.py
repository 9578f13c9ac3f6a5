"""The two things about MP4 that the muxer leaves to us: static HDR metadata in the header, and its repair.

FFmpeg writes no mastering-display (``mdcv``) and content-light (``clli``) boxes for a stream that is encoded
on the fly, so they are put into the sample entry while the header passes by. MaxCLL and MaxFALL are known
only at the end of a segment; all their copies have a fixed width and are then overwritten in place: the box,
the H.265 SEI messages (payload 144, ITU-T H.265 D.2.35) and the AV1 metadata units (type 1, AV1 5.8.3).

Box layouts: ISO/IEC 14496-12 12.1.5-6 and 14496-15 8.3.3 (hvcC). Only our own files are read here: one video
track, self-contained fragments.
"""

from __future__ import annotations

import io
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from edge.tone.hdr_metadata import ContentLight, MasteringDisplay

_PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"hvc1", b"av01")
_HEADER = {b"stsd": 16, b"hvc1": 86, b"av01": 86}
"""Bytes before the first child; 8 for every other box."""
_SEI_NAL, _SEI_CONTENT_LIGHT = 39, bytes((144, 4))
_PARAMETER_SETS = (32, 33, 34)
_OBU_METADATA, _METADATA_CONTENT_LIGHT = 5, 1

Buffer: TypeAlias = bytes | bytearray | mmap.mmap


class HeaderRewriter(io.RawIOBase):
    """Sits between muxer and file: adds the two boxes to the ``moov`` box, then lets everything pass."""

    def __init__(self, below: io.RawIOBase, mastering: MasteringDisplay, light: ContentLight) -> None:
        super().__init__()
        self._below = below
        self._boxes = mastering_box(mastering) + content_light_box(light)
        self._head: bytearray | None = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self._head is None:
            self._below.write(data)
        else:
            self._head += data
            if any(kind == b"moov" for kind, _, _ in boxes(self._head, 0, len(self._head))):
                head, self._head = self._head, None
                self._below.write(add_to_sample_entry(head, self._boxes))
        return len(data)

    def close(self) -> None:
        self._below.close()
        super().close()


def mastering_box(display: MasteringDisplay) -> bytes:
    """``mdcv``: green, blue, red and white as ST 2086 orders them, in 0.00002; luminance in 0.0001 cd/m2."""
    points = [round(v * 50000) for point in (*display.primaries_gbr, display.white) for v in point]
    light = [round(v * 10000) for v in (display.max_nits, display.min_nits)]
    return struct.pack(">I4s8H2I", 32, b"mdcv", *points, *light)


def content_light_box(light: ContentLight) -> bytes:
    """``clli``: MaxCLL and MaxFALL."""
    return struct.pack(">I4sHH", 12, b"clli", light.max_cll, light.max_fall)


def boxes(data: Buffer, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, end) of the complete boxes side by side in ``data[start:end]``."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        if size == 1 and start + 16 <= end:
            (size,) = struct.unpack_from(">Q", data, start + 8)
        if size < 8 or start + size > end:
            return
        yield kind, start, start + size
        start += size


def add_to_sample_entry(head: bytearray, extra: bytes) -> bytes:
    """``head`` (ftyp and moov) with ``extra`` as last children of the video sample entry."""
    path = _path_to_sample_entry(head)
    for start, _ in path:
        (size,) = struct.unpack_from(">I", head, start)
        struct.pack_into(">I", head, start, size + len(extra))
    end = path[-1][1]
    return bytes(head[:end]) + extra + bytes(head[end:])


def patch_content_light(path: Path, light: ContentLight) -> int:
    """Overwrite every copy of the content light level in a file of ours; returns how many there were.

    ``light`` must be ``light.sei_safe()``: H.265 would need an escape byte that has no room. Raises OSError.
    """
    if light != light.sei_safe():
        raise ValueError(f"{light} cannot be written in place, use sei_safe()")
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_size == 0:
            return 0
        with mmap.mmap(fd, 0) as data:
            places = list(_content_light_places(data))
            for place in places:
                struct.pack_into(">HH", data, place, light.max_cll, light.max_fall)
            return len(places)
    finally:
        os.close(fd)


def _path_to_sample_entry(data: Buffer) -> list[tuple[int, int]]:
    """(start, end) of moov and each box below it down to the sample entry."""
    path: list[tuple[int, int]] = []
    start, end = 0, len(data)
    while True:
        inner = next(((k, s, e) for k, s, e in boxes(data, start, end) if k in _PARENTS), None)
        if inner is None:
            return path
        kind, start, end = inner
        path.append((start, end))
        start += _HEADER.get(kind, 8)


def _content_light_places(data: Buffer) -> Iterator[int]:
    """Offsets of all pairs of 16-bit MaxCLL and MaxFALL."""
    start, end = _path_to_sample_entry(data)[-1]
    is_hevc = data[start + 4 : start + 8] == b"hvc1"
    for kind, at, stop in boxes(data, start + 86, end):
        if kind == b"clli":
            yield at + 8
        elif kind == b"hvcC":
            yield from _in_hvcc(data, at + 8, stop)
    for kind, at, stop in boxes(data, 0, len(data)):
        if kind == b"mdat":
            at += 16 if stop - at > 0xFFFFFFFF else 8
            yield from _in_nals(data, at, stop) if is_hevc else _in_obus(data, at, stop)


def parameter_sets(hvcc: bytes) -> tuple[bytes, ...]:
    """The VPS, SPS and PPS of an HEVC decoder configuration record, in order."""
    found = (hvcc[start:end] for start, end in _hvcc_units(hvcc, 0, len(hvcc)))
    return tuple(unit for unit in found if unit and (unit[0] >> 1) & 0x3F in _PARAMETER_SETS)


def without_parameter_sets(sample: bytes) -> bytes:
    """An HEVC sample, NAL units behind lengths of four bytes, without VPS, SPS and PPS."""
    kept, at = [], 0
    while at + 5 <= len(sample):
        (size,) = struct.unpack_from(">I", sample, at)
        if (sample[at + 4] >> 1) & 0x3F not in _PARAMETER_SETS:
            kept.append(sample[at : at + 4 + size])
        at += 4 + size
    return b"".join(kept)


def _in_hvcc(data: Buffer, at: int, end: int) -> Iterator[int]:
    for start, stop in _hvcc_units(data, at, end):
        yield from _in_sei(data, start, stop)


def _hvcc_units(data: Buffer, at: int, end: int) -> Iterator[tuple[int, int]]:
    """(start, end) of the NAL units in a decoder configuration record."""
    arrays = data[at + 22]
    at += 23
    for _ in range(arrays):
        (count,) = struct.unpack_from(">H", data, at + 1)
        at += 3
        for _ in range(count):
            (size,) = struct.unpack_from(">H", data, at)
            yield at + 2, min(at + 2 + size, end)
            at += 2 + size


def _in_nals(data: Buffer, at: int, end: int) -> Iterator[int]:
    while at + 4 <= end:
        (size,) = struct.unpack_from(">I", data, at)
        yield from _in_sei(data, at + 4, at + 4 + size)
        at += 4 + size


def _in_sei(data: Buffer, at: int, end: int) -> Iterator[int]:
    """x265 gives each SEI message a NAL unit of its own, so the payload is the first thing in it."""
    if end - at >= 8 and (data[at] >> 1) & 0x3F == _SEI_NAL and data[at + 2 : at + 4] == _SEI_CONTENT_LIGHT:
        yield at + 4


def _in_obus(data: Buffer, at: int, end: int) -> Iterator[int]:
    while at + 2 <= end:
        header = data[at]
        at += 2 if header & 4 else 1
        size, at = _leb128(data, at) if header & 2 else (end - at, at)
        if (header >> 3) & 15 == _OBU_METADATA and size >= 5 and data[at] == _METADATA_CONTENT_LIGHT:
            yield at + 1
        at += size


def _leb128(data: Buffer, at: int) -> tuple[int, int]:
    """(value, offset behind it) of an AV1 variable-length number."""
    value = 0
    for shift in range(0, 56, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            break
    return value, at
