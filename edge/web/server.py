"""The live page's server: aiohttp on an event loop of its own, in a thread of its own.

It reads `Health` and `PreviewHub`. All that it can change are files, for somebody who is logged in: sessions
that nobody is recording, and one layer of the configuration. So nothing that happens here, be it fifty slow
viewers or a crash, can reach the recording.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from edge.errors import EX_UNAVAILABLE, TwinhdrError
from edge.health.health import Health
from edge.viewfinder.preview import PreviewHub
from edge.web.account import AccountRoutes
from edge.web.disk import DiskThreads
from edge.web.guard import BugsOnly, add_headers, guard
from edge.web.openapi import Description
from edge.web.pages import PageRoutes
from edge.web.pictures import PictureRoutes
from edge.web.routing import Routes, RouteTable

log = logging.getLogger(__name__)
requests_log = logging.getLogger(f"{__name__}.requests")
requests_log.addFilter(BugsOnly())

MAX_CONNECTIONS: Final = 128
"""Of the process's file descriptors, which the recording needs too."""
ACCEPTED_AT_ONCE: Final = 16
"""asyncio accepts as many as its backlog before their number is known: by so many the bound is exceeded."""
IDLE_CONNECTION_S: Final = 15.0
"""Also ends a connection whose request never arrives."""
HANDSHAKE_S: Final = 10.0
START_TIMEOUT_S: Final = 10.0


class WebBindError(TwinhdrError):
    """The page cannot be offered at the address asked for. The text says why and what to change."""

    exit_code = EX_UNAVAILABLE


class WebServer:
    """The page at ``http://host:port``, from `start` to `stop`; a context manager.

    ``port`` 0 takes a free one, see `url`. ``allowed_hosts`` are further names the page may be called by (a
    reverse proxy's). ``clock_ns`` is the clock of the times given to ``health`` and ``previews``.
    ``max_streams`` bounds motion-JPEG readers, ``max_events`` open pages; ``more`` are routes beside these.
    ``password_file`` is what logins are compared with, ``tls`` makes it https. ``threads`` do what may wait
    for a disk; they end with the server.
    """

    def __init__(
        self,
        health: Health,
        previews: PreviewHub,
        *,
        host: str = "127.0.0.1",
        port: int = 8080,
        allowed_hosts: Collection[str] = (),
        clock_ns: Callable[[], int] = time.monotonic_ns,
        max_streams: int = 8,
        max_events: int = 32,
        events_hz: float = 3.0,
        more: Sequence[Routes] = (),
        password_file: Path | None = None,
        tls: ssl.SSLContext | None = None,
        threads: DiskThreads | None = None,
    ) -> None:
        self._host, self._port, self._allowed = host, port, tuple(allowed_hosts)
        self._tls = tls
        self.threads = threads
        # Of its own: the password is not on the disk that hangs, and who must change something can log in.
        self._login_thread = DiskThreads(1, "web-login")
        self._page = PageRoutes(health, clock_ns, max_events=max_events, events_hz=events_hz)
        self._pictures = PictureRoutes(previews, clock_ns, max_streams)
        self._account = AccountRoutes(password_file, clock_ns, self._login_thread, secure=tls is not None)
        self._description = Description()
        self.table = RouteTable([self._page, self._pictures, self._account, *more, self._description])
        self._description.describe(self.table)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._failed: Exception | None = None
        self._started = threading.Event()

    @property
    def url(self) -> str:
        """Where the page is, with the port really taken."""
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://{f'[{self._host}]' if ':' in self._host else self._host}:{self._port}"

    def start(self) -> None:
        """Bind and serve; returns when the page answers. Raises WebBindError. One start per object."""
        if self._thread is not None:
            raise RuntimeError("this WebServer was started before; make a new one")
        sock = _listen(self._host, self._port)
        self._port = sock.getsockname()[1]
        self._thread = threading.Thread(target=self._run, args=(sock,), name="web", daemon=True)
        self._thread.start()
        if not self._started.wait(START_TIMEOUT_S) or self._failed is not None:
            raise RuntimeError(f"the page's server did not start at {self.url}") from self._failed

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Close every connection and end the thread; may be called twice. False if it still runs by then."""
        if self._thread is None:
            return True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nothing is left to stop
                self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(timeout_s)
        for threads in self._disk_threads:
            threads.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def ask(self, answered: threading.Event) -> None:
        """Set ``answered`` from the event loop, as soon as it gets to it."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: it will never answer
                self._loop.call_soon_threadsafe(answered.set)

    @property
    def _disk_threads(self) -> list[DiskThreads]:
        return [threads for threads in (self.threads, self._login_thread) if threads is not None]

    def __enter__(self) -> WebServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, sock: socket.socket) -> None:
        try:
            asyncio.run(self._serve(sock))
        except Exception as error:
            self._failed = error
            log.exception("the page's server ended; the recording goes on without its page")
        finally:
            sock.close()
            self._started.set()

    async def _serve(self, sock: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        gate = guard(self.table, self._account, self._host, self._allowed)
        app = web.Application(middlewares=[gate], client_max_size=1024)
        self.table.add_to(app)
        app.on_response_prepare.append(add_headers)
        runner = web.AppRunner(
            app,
            access_log=None,
            logger=requests_log,
            handler_cancellation=True,  # a viewer that leaves ends its answer at once, not at the next write
            shutdown_timeout=0.1,
            keepalive_timeout=IDLE_CONNECTION_S,
            lingering_time=1.0,
            max_line_size=4096,
        )
        await runner.setup()
        server = await self._loop.create_server(
            _bounded(runner),
            sock=sock,
            backlog=ACCEPTED_AT_ONCE,
            ssl=self._tls,
            ssl_handshake_timeout=None if self._tls is None else HANDSHAKE_S,
        )
        self._started.set()
        try:
            await self._stopping.wait()
        finally:
            server.close()
            await runner.cleanup()
            for threads in self._disk_threads:
                threads.shutdown()


class _Refused(asyncio.Protocol):
    """Closes a connection as soon as it is there."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _bounded(runner: web.AppRunner) -> Callable[[], asyncio.BaseProtocol]:
    """The protocol of each new connection: aiohttp's, or none when there are `MAX_CONNECTIONS`."""
    requests = runner.server
    assert requests is not None, "runner.setup() comes first"
    return lambda: requests() if len(requests.connections) < MAX_CONNECTIONS else _Refused()


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises WebBindError with the cause and the next step."""
    where = f"the page cannot be offered at {host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise WebBindError(f"{where}: no such host; set web.host to an address of this machine") from error
    family, kind, protocol, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(ACCEPTED_AT_ONCE)
    except OSError as error:
        sock.close()
        raise WebBindError(f"{where}: {_advice(error, port)}") from error
    return sock


def _advice(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"another program has the port (ss -ltnp 'sport = :{port}' names it); "
            "stop it, or set web.port to another port, or to 0 for any free one"
        )
    if error.errno == errno.EACCES:
        return "ports below 1024 need more rights; set web.port to 1024 or above"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine does not have that address; set web.host to one that `ip address` shows"
    return f"{error.strerror}; check web.host and web.port"
