"""Lines that are appended to a file: at once, or by a thread of its own for whoever must not wait.

Capture and the main loop write to the sidecar of a live recording, and a write to a disk that hangs does not
come back: so they hand their lines to a ``LineFeeder``. It survives the disk: lines that could not be written
wait, bounded, and go to the file as soon as it can be opened again.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from pathlib import Path

from edge.encode.sink import CLOSE_S, DiskSync
from edge.store.gate import DiskGate
from edge.store.lock import hold

MOST_LINES = 20_000
"""About 6 MB, and two minutes of a fast rig: what a disk may hold up before lines are lost."""
RETRY_S = 0.2


class LineFile:
    """A file of whole lines, locked while it is open. One thread. Every method raises OSError."""

    def __init__(self, path: Path, sync_s: float | None, gate: DiskGate | None = None) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._gate = gate
        self._fd = os.open(path, flags, 0o644)
        hold(self._fd)
        self._sync = DiskSync(sync_s, gate)
        self._sync.watch(self._fd, path.parent)
        self.written = 0
        """Bytes of the last ``write`` that reached the file, should it have raised."""

    def end_torn_line(self) -> bool:
        """Begin a new line where the last was cut off. True where the file is empty."""
        size = os.fstat(self._fd).st_size
        if size and os.pread(self._fd, 1, size - 1) != b"\n":
            os.write(self._fd, b"\n")
        return size == 0

    def write(self, data: bytes) -> None:
        """Append all of ``data``, with one system call where the disk has room."""
        self.written = 0
        self._sync.check()
        while self.written < len(data):  # a disk that is filling up takes a part: the rest raises
            self.written += os.write(self._fd, data[self.written :])

    def close(self) -> None:
        """Sync and close. May be called twice."""
        self._sync.close()
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class LineFeeder:
    """Appends lines from a thread of its own. ``write`` never waits and never raises.

    ``first`` goes ahead of everything where the file has to be made anew.
    """

    def __init__(self, path: Path, sync_s: float | None, gate: DiskGate) -> None:
        self.first = b""
        self._path = path
        self._sync_s = sync_s
        self._gate = gate
        # raises here, where somebody can be told
        self._file: LineFile | None = LineFile(path, sync_s, gate)
        self._changed = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._lost = 0
        self._closing = False
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="sidecar", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        with self._changed:
            if len(self._lines) >= MOST_LINES:
                self._lines.popleft()
                self._lost += 1
            self._lines.append(line)
            self._changed.notify()

    def close(self) -> None:
        """Write what is left. May be called twice. Raises OSError where it could not be written."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            raise TimeoutError(f"the disk does not answer for {CLOSE_S:.0f} s")
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self) -> None:
        batch: list[bytes] = []
        while True:
            with self._changed:
                if not batch:
                    self._changed.wait_for(lambda: self._lines or self._closing)
                batch += self._lines
                self._lines.clear()
                closing = self._closing
            if batch:
                batch = self._write(batch)
            if closing and (self._error is not None or not batch):
                break
            if batch:  # the disk is broken: the keeper says when it is not
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, RETRY_S)
                    del batch[: max(0, len(batch) - MOST_LINES)]
        self._give_up()

    def _write(self, batch: list[bytes]) -> list[bytes]:
        """What of ``batch`` is left to write."""
        self._error = None
        blocked = self._gate.blocked
        if blocked is not None and not blocked.at_floor:
            self._give_up()
            self._error = OSError(None, blocked.said)
            return batch
        file = None
        try:
            file = self._file = self._file or self._open_again()
            with self._gate.writing():
                file.write(b"".join(batch))
        except OSError as error:
            self._error = error
            self._gate.failed(error, self._path)
            self._give_up()
            return batch if file is None else _unwritten(batch, file.written)
        return []

    def _give_up(self) -> None:
        """Let go of the file: while it is open its disk can neither be removed nor mounted anew."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as error:
                self._error = self._error or error

    def _open_again(self) -> LineFile:
        file = LineFile(self._path, self._sync_s, self._gate)
        if file.end_torn_line() and self.first:
            file.write(self.first)
        return file


def _unwritten(batch: list[bytes], written: int) -> list[bytes]:
    """The lines of ``batch`` that are not whole in the first ``written`` bytes."""
    for number, line in enumerate(batch):
        written -= len(line)
        if written < 0:
            return batch[number:]
    return []
