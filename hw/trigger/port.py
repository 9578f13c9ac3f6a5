"""One open serial port: bytes out, replies in, each with its time on the host's clock."""

from __future__ import annotations

import contextlib
import errno
import termios
import time
from dataclasses import dataclass

import serial

from hw.trigger.codes import BAUD
from hw.trigger.errors import BoardLostError, PortError
from hw.trigger.frame import Reply, ReplyReader

BYTE_NS = 10 * 1_000_000_000 // BAUD
READ_S = 0.01
"""Longest single wait for a byte. A read returns with the first bytes that are there."""


@dataclass(frozen=True, slots=True)
class Received:
    """A reply and the time at which its last byte was read, in ns of the monotonic clock."""

    reply: Reply
    t_ns: int


class Port:
    """A serial port that was opened for the board. One thread.

    Opening: the kernel raises DTR, and on an Arduino Uno or Nano a *rise* of DTR resets the board (about a
    second in its boot loader, lines low). The port is therefore left so that closing it keeps DTR up (HUPCL
    off): the first program after the board was plugged in resets it, those that follow do not.
    Raises PortError.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._is_local = "://" not in url  # else rfc2217:// and the like: the other end sets its port
        self._reader = ReplyReader()
        self._replies: list[Received] = []
        try:
            self._serial = serial.serial_for_url(url, do_not_open=True)
            self._serial.baudrate = BAUD
            self._serial.timeout = READ_S
            self._serial.write_timeout = 1.0
            if self._is_local:
                self._serial.exclusive = True
            self._serial.open()
        except (serial.SerialException, OSError, ValueError) as error:
            raise _port_error(url, error) from error
        self._keep_dtr()

    @property
    def rejected(self) -> int:
        """Damaged frames received."""
        return self._reader.rejected

    def send(self, frame: bytes) -> int:
        """Write all of ``frame``; the time just before, in ns. Raises BoardLostError."""
        try:
            before_ns = time.monotonic_ns()
            self._serial.write(frame)  # no flush: the kernel's drain has no timeout on a port that hangs
        except (serial.SerialException, OSError, termios.error) as error:
            raise self._lost(error) from error
        return before_ns

    def receive(self, deadline_ns: int) -> Received | None:
        """The next reply, or None at ``deadline_ns`` of the monotonic clock. Raises BoardLostError."""
        while not self._replies:
            if time.monotonic_ns() >= deadline_ns:
                return None
            try:
                data = self._serial.read(1)
                data += self._serial.read(self._serial.in_waiting) if data else b""
            except (serial.SerialException, OSError, termios.error, TypeError) as error:
                raise self._lost(error) from error  # TypeError: pyserial, when another thread has closed it
            now_ns = time.monotonic_ns()
            self._replies += [Received(reply, now_ns) for reply in self._reader.feed(data)]
        return self._replies.pop(0)

    def forget_input(self) -> None:
        """Drop what has arrived and was not asked for."""
        self._replies.clear()

    def close(self) -> None:
        """May be called twice; never fails."""
        with contextlib.suppress(serial.SerialException, OSError):  # an unplugged one has nothing to close
            self._serial.close()

    def _keep_dtr(self) -> None:
        if not self._is_local:
            return
        with contextlib.suppress(termios.error):  # a pseudo terminal has no modem lines
            fd = self._serial.fileno()
            attributes = termios.tcgetattr(fd)
            attributes[2] &= ~termios.HUPCL
            termios.tcsetattr(fd, termios.TCSANOW, attributes)

    def _lost(self, error: Exception) -> BoardLostError:
        return BoardLostError(
            f"trigger board at {self.url} went away ({error}). Check its cable; "
            "a board that keeps going away lacks power: no hub without its own supply"
        )


def _port_error(url: str, error: Exception) -> PortError:
    number, text = getattr(error, "errno", None), str(error)
    in_use = number == errno.EBUSY or "exclusively lock" in text
    if in_use:
        advice = (
            "Another program uses it: stop the recorder (systemctl stop twinhdr) or close the serial monitor"
        )
    elif number == errno.EACCES:
        advice = "Add yourself to the group dialout: sudo usermod -aG dialout $USER, then log in again"
    else:
        advice = "Plug the board in, or set trigger.port to its path: ls -l /dev/serial/by-id"
    return PortError(f"trigger board at {url}: {text}. {advice}", in_use=in_use)
