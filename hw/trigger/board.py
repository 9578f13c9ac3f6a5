"""The trigger board, from a request to its answer: paired, repeated, found again after it was unplugged."""

from __future__ import annotations

import enum
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hw.trigger.codes import FIRMWARE_VERSION, IDENTITY, TICK_NS, Command, ErrorCode, Fault, Mode
from hw.trigger.discovery import find_port
from hw.trigger.errors import (
    BoardLostError,
    BoardRefusedError,
    BoardSilentError,
    NoBoardError,
    PortError,
    ProtocolMismatchError,
)
from hw.trigger.frame import Reply, encode
from hw.trigger.plan import PacePlan, pulse_ticks
from hw.trigger.port import Port
from hw.trigger.start import StartEdge

log = logging.getLogger(__name__)

CONNECT_S = 5.0
"""An Uno or Nano spends one to two seconds in its boot loader when its port is opened for the first time."""
ANSWER_S = 2.0
ATTEMPT_S = 0.15
"""A reply takes 2 ms on the wire; FTDI chips hold the last bytes for 16 ms, a busy host for more."""
RETURN_POLL_S = 0.1
SKEW_POLL_S = 0.005

FLASH = "flash it with: twinhdr trigger flash"


class ResetCause(enum.IntFlag):
    """Bits of MCUSR, the ATmega328P's reset causes. A boot loader may have cleared them."""

    POWER_ON = 1
    EXTERNAL = 2
    BROWN_OUT = 4
    WATCHDOG = 8


@dataclass(frozen=True, slots=True)
class BoardInfo:
    """What a board says of itself when it is paired."""

    port: str
    identity: int
    firmware_version: int
    reset_cause: ResetCause

    @property
    def is_older_than_host(self) -> bool:
        """It works, and this twinhdr brings newer firmware."""
        return self.firmware_version < FIRMWARE_VERSION


@dataclass(frozen=True, slots=True)
class Status:
    """The board now. ``starts`` are common edges, ``rejected`` damaged requests, both since its reset."""

    mode: Mode
    fault: Fault
    starts: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Skew:
    """From the common edge to the first strobe edge of each camera, in ns; None where none came."""

    reference_ns: int | None
    secondary_ns: int | None

    @property
    def skew_ns(self) -> int | None:
        """Positive where the secondary began later. Resolution: docs/trigger.md."""
        if self.reference_ns is None or self.secondary_ns is None:
            return None
        return self.secondary_ns - self.reference_ns


@dataclass(frozen=True, slots=True)
class Answer:
    """Values of an OK reply, and the interval in which the board obeyed, in ns of the monotonic clock."""

    values: tuple[int, ...]
    sent_ns: int
    received_ns: int


class _UnpairedError(Exception):
    """The board was reset before the request reached it for the first time: nothing has happened."""


class Board:
    """One board behind ``trigger.port`` (a path, a pyserial URL, or "auto"). Any thread.

    Every request may raise NoBoardError, PortError (it cannot be opened), BoardSilentError, BoardLostError,
    ProtocolMismatchError and BoardRefusedError, all of them TriggerError.
    """

    def __init__(self, port: str = "auto", *, find: Callable[[str], str] = find_port) -> None:
        self._setting = port
        self._find = find
        self._lock = threading.Lock()
        self._port: Port | None = None
        self._info: BoardInfo | None = None
        self._sequence = time.monotonic_ns() & 0xFF  # a reply to the program before must not fit by chance
        self.pairings = 0

    def connect(self, deadline_s: float = CONNECT_S) -> BoardInfo:
        """Open the port and pair, if that is not done. Needed by nothing: every request does it."""
        with self._lock:
            self._paired(_in(deadline_s))
            assert self._info is not None
            return self._info

    def status(self, deadline_s: float = ANSWER_S) -> Status:
        """Ask how the board is; keeps paced lines alive."""
        mode, fault, starts, rejected = values = self._ask(
            Command.PING, deadline_s=deadline_s, replies=4
        ).values
        try:
            return Status(Mode(mode), Fault(fault), starts, rejected)
        except ValueError as error:
            raise BoardRefusedError(f"trigger board: {error}; {FLASH}", None, values) from None

    def start(self, pulse_us: float) -> StartEdge:
        """One common edge. The lines fall after ``pulse_us``; 0: at ``stop``."""
        answer = self._ask(Command.START, (pulse_ticks(pulse_us),), moves=True, replies=1)
        return StartEdge.between(answer.sent_ns, answer.received_ns, 0)

    def pace(self, plan: PacePlan) -> StartEdge:
        """One common edge, then each line at its own pace while ``status`` is asked often enough."""
        answer = self._ask(Command.PACE, plan.arguments, moves=True, replies=1)
        return StartEdge.between(answer.sent_ns, answer.received_ns, 0)

    def measure(self, pulse_us: float, *, rising: bool, timeout_s: float = 2.0) -> Skew:
        """One common edge, and the time from it to each camera's first strobe edge.

        ``rising``: which edge of the input begins an exposure; an open collector with a pull-up falls.
        """
        arguments = (pulse_ticks(pulse_us), int(rising))
        self._ask(Command.MEASURE, arguments, moves=True, replies=1)
        deadline_ns = time.monotonic_ns() + round(timeout_s * 1e9)
        while True:
            seen, *ticks = self._ask(Command.SKEW, replies=3).values
            if seen == 3 or time.monotonic_ns() >= deadline_ns:
                break
            time.sleep(SKEW_POLL_S)
        first, second = (n * TICK_NS if seen & 1 << i else None for i, n in enumerate(ticks))
        return Skew(first, second)

    def stop(self, deadline_s: float = ANSWER_S) -> None:
        """Drop both lines."""
        self._ask(Command.STOP, deadline_s=deadline_s, replies=0)

    def close(self) -> None:
        """Leave the port; the lines stay as they are. May be called twice."""
        with self._lock:
            self._leave_port()

    # below, the lock is held

    def _ask(
        self,
        command: Command,
        arguments: Sequence[int] = (),
        *,
        replies: int,
        moves: bool = False,
        deadline_s: float = ANSWER_S,
    ) -> Answer:
        """``moves``: the request raises lines, so it never goes to a board that may have obeyed."""
        with self._lock:
            # the first opening may reset the board, which no request should be too short for
            opening_s = deadline_s if self.pairings else max(deadline_s, CONNECT_S)
            deadline_ns = _in(opening_s)
            while True:
                port = self._paired(deadline_ns)
                try:
                    answer = self._exchange(port, command, arguments, max(deadline_ns, _in(ATTEMPT_S)))
                    break
                except _UnpairedError:
                    self._leave_port()
                except BoardLostError:
                    self._leave_port()
                    if moves:
                        raise
        _counted(answer.values, command, replies)
        return answer

    def _paired(self, deadline_ns: int) -> Port:
        """The open port of a paired board, waiting for one until the deadline."""
        while self._port is None:
            try:
                port = Port(self._find(self._setting))
                try:
                    self._info = self._pair(port, deadline_ns)
                except BaseException:
                    port.close()
                    raise
                self._port = port
                self.pairings += 1
            except (NoBoardError, PortError, BoardLostError):
                if time.monotonic_ns() >= deadline_ns:
                    raise
                time.sleep(RETURN_POLL_S)
        return self._port

    def _pair(self, port: Port, deadline_ns: int) -> BoardInfo:
        try:
            values = self._exchange(port, Command.HELLO, (IDENTITY,), deadline_ns).values
        except BoardRefusedError as error:
            if error.code is not ErrorCode.IDENTITY or len(error.detail) != 2:
                raise
            raise ProtocolMismatchError(
                f"trigger board at {port.url}: its firmware (version {error.detail[1]}) speaks protocol "
                f"{error.detail[0]:08X}, this twinhdr {IDENTITY:08X} (version {FIRMWARE_VERSION}); {FLASH}",
                *error.detail,
            ) from None
        identity, version, cause = _counted(values, Command.HELLO, 3)
        info = BoardInfo(port.url, identity, version, ResetCause(cause & 0x0F))
        log.info("trigger board at %s: firmware %d, protocol %08X", port.url, version, identity)
        return info

    def _exchange(self, port: Port, command: Command, arguments: Sequence[int], deadline_ns: int) -> Answer:
        """Send until answered: the same number each time, so that the board obeys once."""
        self._sequence = (self._sequence + 1) & 0xFF
        frame = encode(self._sequence, command, arguments)
        port.forget_input()
        attempts, first_sent_ns = 0, 0
        while attempts == 0 or time.monotonic_ns() < deadline_ns:
            sent_ns = port.send(frame)
            attempts += 1
            first_sent_ns = first_sent_ns or sent_ns
            received = port.receive(_in(ATTEMPT_S))
            while received is not None and received.reply.sequence not in (self._sequence, None):
                received = port.receive(_in(ATTEMPT_S))  # late reply to an earlier request
            if received is not None and received.reply.sequence is not None:
                values = self._checked(received.reply, command, attempts)
                return Answer(values, first_sent_ns, received.t_ns)
        raise BoardSilentError(
            f"trigger board at {port.url}: no valid reply to {command.value} after {attempts} attempts "
            f"({port.rejected} damaged). If it is the right port, {FLASH}"
        )

    def _checked(self, reply: Reply, command: Command, attempts: int) -> tuple[int, ...]:
        if reply.ok:
            return reply.values
        code, detail = reply.values[0], reply.values[1:]
        if code == ErrorCode.UNPAIRED:
            if attempts == 1:
                raise _UnpairedError
            raise BoardLostError(
                f"the trigger board was reset while it was asked to {command.value}: its lines are low, and "
                "whether they rose is not known. A board that resets by itself lacks power; check its cable"
            )
        known = ErrorCode(code) if code in set(ErrorCode) else None
        raise BoardRefusedError(_refusal(command, known, code, detail), known, detail)

    def _leave_port(self) -> None:
        if self._port is not None:
            self._port.close()
        self._port = None


def _counted(values: tuple[int, ...], command: Command, replies: int) -> tuple[int, ...]:
    """``values``, if there are as many as our firmware gives; another device may frame its own so, too."""
    if len(values) != replies:
        text = f"trigger board: {len(values)} values for {command.value}, not {replies}; {FLASH}"
        raise BoardRefusedError(text, None, values)
    return values


def _in(seconds: float) -> int:
    return time.monotonic_ns() + round(seconds * 1e9)


def _refusal(command: Command, known: ErrorCode | None, code: int, detail: tuple[int, ...]) -> str:
    if known is ErrorCode.BUSY:
        return f"trigger board: {command.value} while the lines are in use; first: twinhdr trigger stop"
    if known is ErrorCode.RANGE:
        which = detail[0] if detail else "?"
        return (
            f"trigger board: argument {which} of {command.value} is out of its range (protocol.yaml: limits)"
        )
    name = known.name if known is not None else f"error {code}"
    return f"trigger board: {command.value} was refused with {name}; {FLASH}"
