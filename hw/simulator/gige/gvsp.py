"""The stream channel: frames cut into numbered packets (GigE Vision Streaming Protocol 1.2)."""

from __future__ import annotations

import collections
import contextlib
import socket
import struct
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

_IP_UDP_GVSP_HEADERS: Final = 20 + 8 + 8
_IP_UDP_HEADERS: Final = 20 + 8
_LEADER, _TRAILER, _PAYLOAD = 1 << 24, 2 << 24, 3 << 24
_IMAGE, _WITH_CHUNKS = 0x0001, 0x4000
_UNAVAILABLE: Final = 0x800C
_BURST_BYTES: Final = 64 * 1024

Packet = tuple[bytes, memoryview]
"""Header and data, kept apart so that no pixel is copied on its way to the kernel."""


@dataclass(frozen=True, slots=True)
class Leader:
    """What stands before the pixels of frame ``block`` (1 to 65535)."""

    block: int
    stamp: int
    pixel_format: int
    width: int
    height: int
    offset_x: int
    offset_y: int
    with_chunks: bool


@dataclass(frozen=True, slots=True)
class Route:
    """Where frames go. ``packet_size`` counts the IP, UDP and GVSP headers, as its register does."""

    address: str
    port: int
    packet_size: int


def chunk(identity: int, data: bytes) -> bytes:
    """One chunk as it is appended to a payload: data, then id and length, so that it is read from the end."""
    return data + struct.pack(">II", identity, len(data))


def packets(leader: Leader, payload: memoryview, packet_size: int) -> list[Packet]:
    """All packets of a frame; the place in the list is the packet id."""
    room = max(packet_size - _IP_UDP_GVSP_HEADERS, 64)
    kind = _IMAGE | (_WITH_CHUNKS if leader.with_chunks else 0)
    first = struct.pack(
        ">HHQIIIIIHH", 0, kind, leader.stamp & 0xFFFF_FFFF_FFFF_FFFF, leader.pixel_format, leader.width,
        leader.height, leader.offset_x, leader.offset_y, 0, 0,
    )  # fmt: skip
    pieces = [payload[at : at + room] for at in range(0, len(payload), room)]
    last = struct.pack(">HHI", 0, kind, leader.height)
    whole = [memoryview(first), *pieces, memoryview(last)]
    kinds = [_LEADER, *([_PAYLOAD] * len(pieces)), _TRAILER]
    return [
        (struct.pack(">HHI", 0, leader.block, content | number), data)
        for number, (content, data) in enumerate(zip(kinds, whole, strict=True))
    ]


class Stream:
    """Sends frames as a link of ``link_mbps`` would, and keeps the last ones for whoever missed packets."""

    def __init__(self, address: str, link_mbps: float, keep: int = 8) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 0))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self._ns_per_byte = 8e3 / link_mbps
        self._kept: collections.OrderedDict[int, list[Packet]] = collections.OrderedDict()
        self._keep = keep

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def close(self) -> None:
        self._socket.close()

    def send(
        self, block: int, whole: list[Packet], route: Route, without: Collection[int], kept: bool
    ) -> None:
        """Send all packets but those numbered in ``without``; ``kept``: they may be asked for again."""
        if kept:
            self._kept[block] = whole
            while len(self._kept) > self._keep:
                self._kept.popitem(last=False)
        to = (route.address, route.port)
        begin_ns, sent = time.monotonic_ns(), 0
        for number, (header, data) in enumerate(whole):
            if number not in without:
                self._put(header, data, to)
            sent += len(data)
            if sent % _BURST_BYTES < len(data):
                _sleep_until(begin_ns + round(sent * self._ns_per_byte))

    def resend(self, block: int, first: int, last: int, route: Route) -> None:
        """Send packets of a kept frame again; answer 'unavailable' for those of any other."""
        to = (route.address, route.port)
        whole = self._kept.get(block)
        for header, data in self._asked(whole, block, first, last):
            self._put(header, data, to)

    def fire_test_packet(self, route: Route) -> None:
        """One packet of the full size: whether it arrives tells the client whether the path carries it."""
        self._put(
            bytes(max(route.packet_size - _IP_UDP_HEADERS, 8)), memoryview(b""), (route.address, route.port)
        )

    def _asked(self, whole: list[Packet] | None, block: int, first: int, last: int) -> Iterator[Packet]:
        if whole is not None:
            yield from whole[first : last + 1]
            return
        for number in range(first, min(last, first + 511) + 1):
            header = struct.pack(">HHI", _UNAVAILABLE, block, _PAYLOAD | number)
            yield header, memoryview(b"")

    def _put(self, header: bytes, data: memoryview, to: tuple[str, int]) -> None:
        # A client that has closed its socket is refused; a camera would not notice either.
        with contextlib.suppress(ConnectionRefusedError):
            self._socket.sendmsg((header, data), (), 0, to)


def _sleep_until(t_ns: int) -> None:
    left_ns = t_ns - time.monotonic_ns()
    if left_ns > 0:
        time.sleep(left_ns / 1e9)
