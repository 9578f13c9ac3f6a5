"""The control channel: one request in, one answer out (GigE Vision Control Protocol 1.2)."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from typing import Final, Protocol

from hw.simulator.gige.memory import (
    CONTROL_PRIVILEGE,
    CONTROLLER_ADDRESS,
    CONTROLLER_PORT,
    DISCOVERY_BYTES,
    HEARTBEAT_TIMEOUT_MS,
    PRIVILEGE_CONTROL,
    PRIVILEGE_EXCLUSIVE,
    AddressError,
    Memory,
)

PORT: Final = 3956

DISCOVERY, RESEND = 0x0002, 0x0040
READ_REGISTER, WRITE_REGISTER = 0x0080, 0x0082
READ_MEMORY, WRITE_MEMORY = 0x0084, 0x0086
ACTION = 0x0100

SUCCESS = 0x0000
NOT_IMPLEMENTED = 0x8001
INVALID_PARAMETER = 0x8002
INVALID_ADDRESS = 0x8003
ACCESS_DENIED = 0x8006
INVALID_HEADER = 0x800E

_KEY = 0x42
_ACKNOWLEDGE = 0x01
_LARGEST_READ = 536

Peer = tuple[str, int]


class RefusedError(ValueError):
    """The device will not take a value. ``status`` says why, in the protocol's words."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Resend:
    """A client asks again for the packets ``first`` to ``last`` of frame ``block``."""

    block: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Action:
    """A broadcast that makes every camera with these keys act at once."""

    device_key: int
    group_key: int
    group_mask: int


class Behaviour(Protocol):
    """What the device does when it is written to or called."""

    def check(self, address: int, data: bytes) -> None:
        """Raise RefusedError unless ``data`` may be written at ``address`` now."""

    def resend(self, request: Resend) -> None: ...

    def action(self, action: Action) -> bool:
        """Whether the keys are this device's."""

    def released(self) -> None:
        """Nobody controls the device any more."""


class Control:
    """Who controls the device, and the answer to every request. Used by one thread."""

    def __init__(self, memory: Memory, behaviour: Behaviour) -> None:
        self._memory = memory
        self._behaviour = behaviour
        self._owner: Peer | None = None
        self._heard_ns = 0

    @property
    def owner(self) -> Peer | None:
        return self._owner

    def check_heartbeat(self, now_ns: int) -> bool:
        """Give up a controller that fell silent; True when that happened."""
        limit_ns = self._memory.word(HEARTBEAT_TIMEOUT_MS) * 1_000_000
        if self._owner is None or now_ns - self._heard_ns <= limit_ns:
            return False
        self._release()
        return True

    def answer(self, request: bytes, peer: Peer, now_ns: int) -> bytes | None:
        """The acknowledgement to send back to ``peer``, None where none is wanted."""
        if len(request) < 8 or request[0] != _KEY:
            return None
        flags, command, length, number = struct.unpack_from(">BHHH", request, 1)
        body = request[8 : 8 + length]
        if peer == self._owner:
            self._heard_ns = now_ns
        try:
            status, reply = SUCCESS, self._carry_out(command, body, peer, now_ns)
        except RefusedError as error:
            status, reply = error.status, b""
        except AddressError:
            status, reply = INVALID_ADDRESS, b""
        except struct.error:
            status, reply = INVALID_HEADER, b""
        if reply is None or (command != DISCOVERY and not flags & _ACKNOWLEDGE):
            return None
        return struct.pack(">HHHH", status, command + 1, len(reply), number) + reply

    def _carry_out(self, command: int, body: bytes, peer: Peer, now_ns: int) -> bytes | None:
        if command == DISCOVERY:
            return self._memory.read(0, DISCOVERY_BYTES)
        if command == READ_REGISTER:
            self._may_read(peer)
            return b"".join(self._memory.read(at, 4) for (at,) in struct.iter_unpack(">I", body))
        if command == READ_MEMORY:
            self._may_read(peer)
            at, count = struct.unpack(">I2xH", body)
            if count > _LARGEST_READ:
                raise RefusedError(INVALID_PARAMETER, f"{count} bytes in one read")
            return struct.pack(">I", at) + self._memory.read(at, count)
        if command == WRITE_REGISTER:
            writes = list(struct.iter_unpack(">II", body))
            for at, value in writes:
                self._write(at, struct.pack(">I", value), peer, now_ns)
            return struct.pack(">2xH", len(writes))
        if command == WRITE_MEMORY:
            (at,) = struct.unpack_from(">I", body)
            self._write(at, body[4:], peer, now_ns)
            return struct.pack(">2xH", len(body) - 4)
        if command == RESEND:
            block, first, last = struct.unpack_from(">2xHII", body)
            self._behaviour.resend(Resend(block, first & 0xFF_FFFF, last & 0xFF_FFFF))
            return None
        if command == ACTION:
            return b"" if self._behaviour.action(Action(*struct.unpack_from(">III", body))) else None
        raise RefusedError(NOT_IMPLEMENTED, f"command {command:#06x}")

    def _may_read(self, peer: Peer) -> None:
        exclusive = self._memory.word(CONTROL_PRIVILEGE) & PRIVILEGE_EXCLUSIVE
        if exclusive and peer != self._owner:
            raise RefusedError(ACCESS_DENIED, "another application has exclusive access")

    def _write(self, at: int, data: bytes, peer: Peer, now_ns: int) -> None:
        if at == CONTROL_PRIVILEGE:
            self._claim(int.from_bytes(data, "big"), peer, now_ns)
            return
        if peer != self._owner:
            raise RefusedError(ACCESS_DENIED, "another application controls the device, or none does")
        self._behaviour.check(at, data)
        self._memory.write(at, data)

    def _claim(self, privilege: int, peer: Peer, now_ns: int) -> None:
        if self._owner not in (None, peer):
            raise RefusedError(ACCESS_DENIED, "another application controls the device")
        if privilege & (PRIVILEGE_CONTROL | PRIVILEGE_EXCLUSIVE):
            self._owner, self._heard_ns = peer, now_ns
            self._tell(privilege, peer)
        elif self._owner is not None:
            self._release()

    def _release(self) -> None:
        self._owner = None
        self._tell(0, ("0.0.0.0", 0))
        self._behaviour.released()

    def _tell(self, privilege: int, peer: Peer) -> None:
        """Registers from which anybody can see who controls the device."""
        self._memory.put_word(CONTROL_PRIVILEGE, privilege)
        self._memory.put_word(CONTROLLER_PORT, peer[1])
        self._memory.put_word(CONTROLLER_ADDRESS, int(ipaddress.IPv4Address(peer[0])))
