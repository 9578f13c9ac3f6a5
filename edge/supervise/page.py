"""Keeps the page's server running: one that died is started again, one that hangs is named."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from edge.health.health import Health
from edge.supervise.budget import Budget

ASK_S = 2.0
TRY_S = 5.0
LONGEST_TRY_S = 300.0
"""An address may come late when the machine starts; a port that is taken is asked for ever more rarely."""
HUNG_S = 10.0
log = logging.getLogger(__name__)

RESTARTS = Budget(restarts=10, window_s=600.0, pause_s=1.0)
STAGE = "page"


class Server(Protocol):
    """What is asked of the page's server (``edge.web.server.WebServer``)."""

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""

    def ask(self, answered: threading.Event) -> None:
        """Set ``answered`` from the thread that serves, as soon as it gets to it."""

    def stop(self) -> bool: ...


class PageKeeper:
    """``start`` makes a running server, None where there is to be no page. One thread calls ``poll``."""

    def __init__(self, start: Callable[[], Server | None], health: Health) -> None:
        self._start = start
        self._health = health
        self._server = start()
        self._starting: threading.Thread | None = None
        self._restarts_s: list[float] = []
        self._due_s: float | None = None
        self._tried_s: float | None = None
        self._pause_s = TRY_S
        self._asked_s = float("-inf")
        self._answered: threading.Event | None = None
        if self._server is not None:
            health.count("stage_restarts", STAGE, n=0)

    def poll(self, now_s: float) -> None:
        """Start a server that died again; name one that does not answer. Takes no time while all is well."""
        if self._starting is not None:
            if not self._starting.is_alive():
                self._starting = None
                if self._restarts_s:
                    self._say(self._server is not None, "its server does not start again.")
        elif self._due_s is not None:
            if now_s >= self._due_s:
                self._due_s = None
                self._begin()
        elif self._server is not None and not self._server.alive:
            self._server = None
            self._answered = None
            self._due_s = RESTARTS.next_start_s(self._restarts_s, now_s)
            self._restarts_s.append(now_s)
            self._health.count("stage_restarts", STAGE)
            self._say(False, "its server has ended" + ("." if self._due_s is None else "; it begins anew."))
        elif self._server is not None:
            self._ask(self._server, now_s)
        elif not self._restarts_s:
            self._try_again(now_s)

    def close(self) -> None:
        """Stop serving."""
        if self._starting is not None:
            self._starting.join(HUNG_S)
        if self._server is not None:
            self._server.stop()

    def _try_again(self, now_s: float) -> None:
        """A page that could not be offered, or is not wanted."""
        if self._tried_s is None:
            self._tried_s = now_s
        elif now_s - self._tried_s >= self._pause_s:
            self._tried_s, self._pause_s = now_s, min(2.0 * self._pause_s, LONGEST_TRY_S)
            self._begin()

    def _begin(self) -> None:
        """In a thread: finding an address may take seconds, and who calls ``poll`` feeds the watchdog."""
        self._starting = threading.Thread(target=self._started, name="page start", daemon=True)
        self._starting.start()

    def _started(self) -> None:
        try:
            self._server = self._start()
        except Exception:  # a bug of the page, in full in the log, must not cost the recording
            log.exception("the page's server does not start")

    def _ask(self, server: Server, now_s: float) -> None:
        if self._answered is not None and not self._answered.is_set():
            if now_s - self._asked_s > HUNG_S:
                self._say(False, f"its server has not answered for {now_s - self._asked_s:.0f} s.")
        elif now_s - self._asked_s >= ASK_S:
            if self._answered is not None and now_s - self._asked_s < HUNG_S + ASK_S:
                self._say(True, "")
            self._asked_s, self._answered = now_s, threading.Event()
            server.ask(self._answered)

    def _say(self, ok: bool, text: str) -> None:
        self._health.condition(
            "page server", ok, time.monotonic_ns(), text, "The recording goes on.", "warning"
        )
