"""Files that grow: every write reaches the kernel at once, and the disk once a second.

A killed process loses nothing that was written here; a power cut loses what was not yet synced. The sync
runs beside the writer, because on a slow card it can take longer than a frame.
"""

from __future__ import annotations

import errno
import io
import os
import threading
from pathlib import Path
from typing import Any


class DiskSync:
    """Calls fdatasync every ``interval_s`` on the file it is given. One per writer; None: never."""

    def __init__(self, interval_s: float | None) -> None:
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._error: OSError | None = None
        self._thread: threading.Thread | None = None

    def watch(self, fd: int | None) -> None:
        """Sync ``fd`` from now on and no other. When this returns, the file before may be closed."""
        with self._lock:
            self._fd = fd
        if fd is not None and self._thread is None and self._interval_s is not None:
            self._thread = threading.Thread(target=self._run, name="disk-sync", daemon=True)
            self._thread.start()

    def check(self) -> None:
        """Raise the OSError of a sync that failed since the last call."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def close(self) -> None:
        """End the thread. May be called twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            with self._lock:
                if self._fd is None:
                    continue
                try:
                    os.fdatasync(self._fd)
                except OSError as error:
                    self._error = error


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
        sync.watch(self._fd)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """Write all of ``data``. Raises OSError, also that of a failed sync."""
        self._sync.check()
        rest = memoryview(data).cast("B")
        total = len(rest)
        while rest:
            rest = rest[os.write(self._fd, rest) :]
        self.size += total
        return total

    def close(self) -> None:
        if not self.closed:
            self._sync.watch(None)
            os.close(self._fd)
        super().close()
