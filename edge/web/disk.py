"""Threads for what may wait for a disk: the event loop never does, and a hung disk keeps nobody here."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

MOST_WAITING: Final = 64
PATIENCE_S: Final = 20.0


class Busy(asyncio.TimeoutError):
    """The disk does not answer, or more work waits than it will get done soon."""


class DiskThreads(Executor):
    """A few daemon threads. Unlike those of a ThreadPoolExecutor, they do not hold up the end of the process.

    `submit` raises Busy once `MOST_WAITING` jobs wait: then the disk hangs, and more would only pile up.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{i}", daemon=True) for i in range(threads)
        ]
        self._begun = False
        self._lock = threading.Lock()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``fn`` on one of the threads, which begin with the first job. Raises Busy."""
        if self._jobs.qsize() >= MOST_WAITING:
            raise Busy("the disk does not keep up; try again")
        future: Future[T] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001  the future hands it to who waits
                future.set_exception(error)

        self._begin()
        self._jobs.put(job)
        return future

    async def ask(self, what: Callable[..., T], *given: object, patience_s: float | None = PATIENCE_S) -> T:
        """``what(*given)`` on one of the threads. Raises Busy; the thread then goes on by itself."""
        asked = asyncio.get_running_loop().run_in_executor(self, what, *given)
        try:
            return await asyncio.wait_for(asked, patience_s)
        except Busy:
            raise
        except asyncio.TimeoutError as error:
            raise Busy("the disk does not answer; see the conditions on the page") from error

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = False) -> None:
        """Let every thread end after the job it has; never waits for one that hangs."""
        for _ in self._threads:
            self._jobs.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait for the threads after `shutdown`, but not for one that hangs."""
        deadline = time.monotonic() + timeout_s
        for thread in self._threads if self._begun else ():
            thread.join(max(0.0, deadline - time.monotonic()))

    def _begin(self) -> None:
        with self._lock:
            if not self._begun:
                self._begun = True
                for thread in self._threads:
                    thread.start()

    def _work(self) -> None:
        while True:
            job: Callable[[], Any] | None = self._jobs.get()
            if job is None:
                return
            job()
