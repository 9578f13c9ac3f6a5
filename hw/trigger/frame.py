"""Frames of the trigger protocol on the host: requests to bytes, bytes to checked replies.

The grammar is in ``protocol.yaml``. Pure: no port and no clock.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hw.trigger.codes import LONGEST_FRAME, Command

_BODY = re.compile(rb"([0-9A-F]{2}|--) (OK|ER)((?: [0-9A-F]{1,8})*)\*([0-9A-F]{4})")


@dataclass(frozen=True, slots=True)
class Reply:
    """``sequence`` is None where the board could not read the request's own.

    ``values`` follow OK; where ``ok`` is False the first one is an ErrorCode.
    """

    sequence: int | None
    ok: bool
    values: tuple[int, ...]


def crc16(body: bytes) -> int:
    """CRC-16/IBM-3740; of b"123456789": 0x29B1."""
    return binascii.crc_hqx(body, 0xFFFF)


def encode(sequence: int, command: Command, arguments: Sequence[int] = ()) -> bytes:
    """One request. ``sequence`` is 0 to 255, arguments are 0 to 2**32 - 1; ValueError otherwise."""
    if not 0 <= sequence <= 0xFF or not all(0 <= value <= 0xFFFFFFFF for value in arguments):
        raise ValueError(f"sequence {sequence} or arguments {arguments} do not fit a frame")
    words = [f"{sequence:02X}", command.value, *(f"{value:X}" for value in arguments)]
    body = " ".join(words).encode()
    return b":%s*%04X\n" % (body, crc16(body))


def decode(body: bytes) -> Reply | None:
    """The reply between equals sign and newline, or None where it is damaged."""
    match = _BODY.fullmatch(body)
    if match is None or crc16(body[:-5]) != int(match[4], 16):
        return None
    ok, values = match[2] == b"OK", tuple(int(word, 16) for word in match[3].split())
    if not ok and not values:
        return None
    return Reply(None if match[1] == b"--" else int(match[1], 16), ok, values)


class ReplyReader:
    """Bytes in any cuts, with any noise between, to replies.

    An equals sign begins a frame wherever it stands, so noise costs the frame it falls into and no other.
    ``rejected`` counts frames that began and ended and were none.
    """

    def __init__(self) -> None:
        self._frame: bytearray | None = None
        self.rejected = 0

    def feed(self, data: bytes) -> Iterator[Reply]:
        """Take ``data``; yield what it completes."""
        for byte in data:
            if byte == 0x3D:  # equals sign
                self._frame = bytearray()
            elif self._frame is None:
                continue
            elif byte != 0x0A:
                self._frame.append(byte)
                if len(self._frame) > LONGEST_FRAME:
                    self._frame = None
                    self.rejected += 1
            else:
                body, self._frame = bytes(self._frame), None
                reply = decode(body)
                if reply is not None:
                    yield reply
                else:
                    self.rejected += 1
