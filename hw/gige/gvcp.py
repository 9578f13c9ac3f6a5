"""Is a GigE camera there, and who controls it: asked in one packet, without opening it.

Opening a camera that is away blocks for seconds and keeps the other camera from being opened meanwhile; a
packet costs nothing. GigE Vision 1.2: section 14 (discovery), 15.1 (READREG), 28 (bootstrap registers).
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

PORT = 3956
ANSWER_S = 0.2

ACTION_KEY, ACTION_MASK = 0x5457_4844, 0x0000_0001
"""What our cameras listen to, so that an action command meant for others does not start them."""

_KEY, _ACKNOWLEDGE = 0x42, 0x01
_DISCOVERY, _READREG, _ACTION = 0x0002, 0x0080, 0x0100
_PRIVILEGE, _CONTROLLER_PORT, _CONTROLLER_ADDRESS = 0x0A00, 0x0A04, 0x0A14
_IN_CONTROL = 0b11  # exclusive or control access

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Beacon:
    """What a camera says of itself to anybody."""

    address: str
    mac: str
    vendor: str
    model: str
    serial: str


@dataclass(frozen=True, slots=True)
class Controller:
    """The application that controls a camera; ``address`` is empty where the camera does not tell."""

    address: str
    port: int

    def __str__(self) -> str:
        if not self.address:
            return "another application (the camera does not say which)"
        return f"another application at {self.address}" + (f" port {self.port}" if self.port else "")


def ask(address: str, timeout_s: float = ANSWER_S) -> Beacon | None:
    """What answers at ``address``, an IPv4 address; None where nothing does in time."""
    answer = _exchange(address, _DISCOVERY, b"", timeout_s)
    return None if answer is None or len(answer) < 0xF8 else _beacon(answer)


def controller(address: str, timeout_s: float = ANSWER_S) -> Controller | None:
    """Who controls the camera at ``address``; None where nobody does or nothing answers."""
    privilege = _register(address, _PRIVILEGE, timeout_s)
    if privilege is None or not privilege & _IN_CONTROL:
        return None
    # optional registers of GigE Vision 1.1 and later: absent or zero in older cameras
    host = _register(address, _CONTROLLER_ADDRESS, timeout_s) or 0
    port = _register(address, _CONTROLLER_PORT, timeout_s) or 0
    return Controller(str(ipaddress.IPv4Address(host)) if host else "", port & 0xFFFF)


def act(addresses: Sequence[str], timeout_s: float = ANSWER_S) -> list[str]:
    """Send the action command to each camera, all packets before the first answer is read.

    Returns the addresses that did not acknowledge. Addressed packets instead of one broadcast: they follow
    each other within microseconds and reach cameras on different network cards (GigE Vision 1.2, 14.3).
    """
    body = struct.pack(">III", ACTION_KEY, ACTION_KEY, ACTION_MASK)
    with contextlib.ExitStack() as open_links:
        links = [
            open_links.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in addresses
        ]
        numbers = [_number() for _ in addresses]
        for link, address in zip(links, addresses, strict=True):
            link.connect((address, PORT))
        for link, number in zip(links, numbers, strict=True):
            link.send(_request(_ACTION, body, number))
        answered = zip(addresses, links, numbers, strict=True)
        return [a for a, link, number in answered if _answer(link, _ACTION, number, timeout_s) is None]


def _register(address: str, register: int, timeout_s: float) -> int | None:
    answer = _exchange(address, _READREG, struct.pack(">I", register), timeout_s)
    return None if answer is None or len(answer) < 4 else int.from_bytes(answer[:4], "big")


def _exchange(address: str, command: int, body: bytes, timeout_s: float) -> bytes | None:
    """The answer to one request; None without one, or where the camera refuses."""
    number = _number()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        try:
            link.connect((address, PORT))  # connected, so that a closed port is told at once
            link.send(_request(command, body, number))
        except OSError:
            return None
        return _answer(link, command, number, timeout_s)


def _number() -> int:
    return next(_numbers) % 65535 + 1  # 0 is not allowed


def _request(command: int, body: bytes, number: int) -> bytes:
    return struct.pack(">BBHHH", _KEY, _ACKNOWLEDGE, command, len(body), number) + body


def _answer(link: socket.socket, command: int, number: int, timeout_s: float) -> bytes | None:
    until_s = time.monotonic() + timeout_s
    while (left_s := until_s - time.monotonic()) > 0:
        try:
            link.settimeout(left_s)
            answer = link.recv(1024)
        except OSError:
            return None  # refused, unreachable or silent: not there, which is the answer
        if len(answer) < 8:
            continue
        status, kind, length, its = struct.unpack_from(">HHHH", answer)
        if kind == command + 1 and its == number:
            return None if status else answer[8 : 8 + length]
    return None


def _beacon(answer: bytes) -> Beacon:
    def text(at: int, size: int) -> str:
        return answer[at : at + size].split(b"\0")[0].decode(errors="replace").strip()

    return Beacon(
        address=str(ipaddress.IPv4Address(answer[0x24:0x28])),
        mac=":".join(f"{byte:02x}" for byte in answer[0x0A:0x10]),
        vendor=text(0x48, 32),
        model=text(0x68, 32),
        serial=text(0xD8, 16),
    )
