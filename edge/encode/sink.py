"""Files that grow: every write reaches the kernel at once, and the disk once a second.

A killed process loses nothing that was written here; a power cut loses what was not yet synced. The sync
runs beside the writer, because on a slow card it can take longer than a frame.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.durable import sync_folder
from edge.store.gate import DiskGate

CLOSE_S = 10.0
"""How long the end of a recording waits for a disk."""

log = logging.getLogger(__name__)


class DiskSync:
    """Calls fdatasync every ``interval_s`` on the file it is given. One per writer; None: never.

    It works on duplicates of the file's descriptor, so that the writer never waits for it: a file that was
    closed meanwhile is synced a last time, so that a finished file is whole on the disk a second later.
    """

    def __init__(self, interval_s: float | None, gate: DiskGate | None = None) -> None:
        self.gate = gate
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._current: int | None = None
        self._old: list[int] = []
        self._new_in: Path | None = None
        self._error: OSError | None = None
        self._thread: threading.Thread | None = None

    def watch(self, fd: int | None, folder: Path | None = None) -> None:
        """Sync ``fd`` from now on, and once the ``folder`` it is new in. Never waits for a disk."""
        if self._interval_s is None:
            return
        with self._lock:
            if self._current is not None:
                self._old.append(self._current)
            self._current = None if fd is None else os.dup(fd)
            self._error = None
            self._new_in = folder if folder is not None else self._new_in
        if fd is not None and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="disk-sync", daemon=True)
            self._thread.start()

    def check(self) -> None:
        """Raise the OSError of a sync that failed since the last call."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def close(self) -> None:
        """Sync what is left and end the thread; a disk that hangs is left alone. May be called twice."""
        self.watch(None)
        self._stop.set()
        if self._thread is not None:
            self._thread.join(CLOSE_S)
            self._thread = None

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            self._round()
        self._round()

    def _round(self) -> None:
        with self._lock:
            current, old, self._old = self._current, self._old, []
            folder, self._new_in = self._new_in, None
        for fd in old:  # no longer known to anybody else
            if error := _failure(os.fdatasync, fd):
                log.warning("the end of a file that was closed may be lost: %s", error.strerror)
            os.close(fd)
        error = None if current is None else _failure(os.fdatasync, current)  # only this thread closes it
        if folder is not None:
            error = _failure(sync_folder, folder) or error
        with self._lock:
            if error is not None and self._current == current:  # else it is no longer the writer's
                self._error = error


def _failure(sync: Callable[[Any], None], what: Any) -> OSError | None:
    try:
        sync(what)
    except OSError as error:
        return error
    return None


class Sink(io.RawIOBase):
    """A new file, written without a buffer of its own and never seeked.

    PyAV asks for ``write`` only, so a muxer on top cannot go back to repair an index: what is on disk is
    always a prefix of what the file becomes.
    """

    def __init__(self, path: Path, sync: DiskSync) -> None:
        super().__init__()
        self._sync = sync
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if os.fstat(self._fd).st_size > 0:
            # never O_TRUNC: a thread that hung on this disk would empty its successor's file as it wakes up
            os.close(self._fd)
            raise FileExistsError(errno.EEXIST, "there is a file of that name", str(path))
        self.size = 0
        sync.watch(self._fd, path.parent)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """Write all of ``data``. Raises OSError, also that of a failed sync."""
        self._sync.check()
        rest = memoryview(data).cast("B")
        total = len(rest)
        with self._noticed():
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        self.size += total
        return total

    def _noticed(self) -> contextlib.AbstractContextManager[None]:
        gate = self._sync.gate
        return contextlib.nullcontext() if gate is None else gate.writing()

    def close(self) -> None:
        if not self.closed:
            self._sync.watch(None)
            os.close(self._fd)
        super().close()
