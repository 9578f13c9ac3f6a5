"""The daemon's threads: one per stage, each watched, the first failure ends the run in good order."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from edge.errors import TwinhdrError
from edge.health import Health

END_S = 10.0
"""How long a stage may go without a beat at the end before it counts as hung."""

JOIN_POLL_S = 0.25

log = logging.getLogger(__name__)


class StageHungError(TwinhdrError):
    """A stage stopped working without an error of its own."""


class Crew:
    """Starts stages as threads and remembers the first that failed.

    A stage that raises sets ``stopping``: the others finish what they hold, files are closed, and the process
    ends with an error for systemd to restart.
    """

    def __init__(self, stopping: threading.Event, health: Health) -> None:
        self._stopping = stopping
        self._health = health
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._beaten_s: dict[str, float] = {}

    @property
    def failure(self) -> BaseException | None:
        """What ended a stage before its time, if anything did."""
        return self._failure

    def start(self, name: str, work: Callable[[], None], limit_s: float) -> None:
        """Run ``work`` in a thread that must beat (see ``beat``) at least every ``limit_s``."""
        self._health.watch(name, time.monotonic_ns(), round(limit_s * 1e9))
        self._beaten_s[name] = time.monotonic()
        thread = threading.Thread(target=self._run, args=(name, work), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def beat(self, name: str) -> None:
        """The stage ``name`` did a round of work."""
        self._beaten_s[name] = time.monotonic()
        self._health.beat(name, time.monotonic_ns())

    def join(self, prefix: str = "") -> None:
        """Wait for the stages whose name begins so, as long as they make progress.

        A stage that has not beaten for END_S is hung: it is named, left behind, and counts as a failure.
        """
        for thread in self._threads:
            while thread.name.startswith(prefix) and thread.is_alive():
                thread.join(JOIN_POLL_S)
                if thread.is_alive() and time.monotonic() - self._beaten_s[thread.name] > END_S:
                    self._fail(StageHungError(f"stage {thread.name} does not end; what it holds is lost"))
                    break

    def _run(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - kept, reported and raised again by the daemon
            log.error("stage %s ended: %s", name, error)
            self._fail(error)
        finally:
            self._health.unwatch(name)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if self._failure is None:
                self._failure = error
        self._stopping.set()
