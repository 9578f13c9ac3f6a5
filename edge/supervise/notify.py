"""What the recorder tells systemd: the protocol of sd_notify(3), which is one datagram a message.

systemd names a socket in ``NOTIFY_SOCKET``: a path, or a name behind ``@`` in the abstract namespace. Where
there is none, as in a terminal, nothing is told and nothing fails. A message never makes the caller wait: one
that does not get through is lost, and the next follows within a second.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final

SOCKET: Final = "NOTIFY_SOCKET"
WATCHDOG_USEC: Final = "WATCHDOG_USEC"
WATCHDOG_PID: Final = "WATCHDOG_PID"
LONGEST_STATUS: Final = 200

log = logging.getLogger(__name__)


class Notifier:
    """Tells systemd how the process is doing. ``address`` None: there is nobody to tell. Any thread.

    ``watchdog_s`` is the time within which systemd wants to hear ``alive``; None: it does not ask for it.
    """

    def __init__(
        self,
        address: str | None = None,
        watchdog_s: float | None = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.watchdog_s = watchdog_s
        self._now_ns = now_ns
        self._status = ""
        self._complained = False
        self._to = None if address is None else _socket_name(address)
        self._socket: socket.socket | None = None
        if address is not None and self._to is None:
            log.warning("%s=%s: only sockets of AF_UNIX can be told; systemd hears nothing", SOCKET, address)
        if self._to is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Notifier:
        """The socket and the watchdog that systemd gave this process."""
        usec, pid = environ.get(WATCHDOG_USEC, ""), environ.get(WATCHDOG_PID, "")
        ours = usec.isdigit() and int(usec) > 0 and (not pid or pid == str(os.getpid()))
        return cls(environ.get(SOCKET) or None, int(usec) / 1e6 if ours else None)

    @property
    def present(self) -> bool:
        """Whether there is somebody to tell: a service manager started this process."""
        return self._to is not None

    def ready(self, status: str) -> None:
        """Start-up, or a reload, is over."""
        self._tell("READY=1", *self._changed(status))

    def status(self, text: str) -> None:
        """One line for ``systemctl status``; sent when it changed."""
        lines = self._changed(text)
        if lines:
            self._tell(*lines)

    def alive(self) -> None:
        """The watchdog's food. Only who has seen work done may say so."""
        self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """The end has begun, also where nobody asked for it."""
        self._tell("STOPPING=1")

    def reloading(self) -> None:
        """The configuration is read again; ``ready`` follows. Type=notify-reload asks for the time."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={self._now_ns() // 1000}")

    def extend(self, seconds: float) -> None:
        """Starting, stopping or reloading may take ``seconds`` more from now on."""
        self._tell(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def close(self) -> None:
        """May be called twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _changed(self, status: str) -> list[str]:
        """A line break would begin another assignment."""
        text = " ".join(status.split())[:LONGEST_STATUS]
        if text == self._status:
            return []
        self._status = text
        return [f"STATUS={text}"]

    def _tell(self, *lines: str) -> None:
        if self._socket is None or self._to is None:
            return
        try:
            self._socket.sendto("\n".join(lines).encode(), self._to)
        except BlockingIOError:
            return  # systemd is busy: what counts is said again
        except OSError as error:
            if not self._complained:
                self._complained = True
                log.warning("systemd cannot be told (%s): %s", lines[0], error.strerror)


def _socket_name(address: str) -> str | None:
    if address.startswith("@"):
        return "\0" + address[1:]
    return address if address.startswith("/") else None
