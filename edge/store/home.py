"""Where a running session lives: whether its folder is still there, and how it is made again.

A disk that is unmounted lazily goes on taking what is written to open files, and its mount point becomes an
empty folder of the system disk. Neither may pass for a recording.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from edge.session.recording import HEADER_NAME, write_whole

PROBE = ".probe"
_PROBE_BYTES = 65_536


class Home:
    """The folder of one session. Every method asks the disk, and so may wait for it."""

    def __init__(self, folder: Path, header: str) -> None:
        self.folder = folder
        self._header = header
        self._identity = _identity(folder)
        self._device = folder.parent.stat().st_dev
        self._own_disk = self._device != _system_device()

    def check(self) -> None:
        """Raise OSError where the folder is not the one that was made."""
        if _identity(self.folder) != self._identity:
            raise OSError(errno.ENOENT, "is not the folder that was recorded to", str(self.folder))

    def restore(self) -> None:
        """Find the folder again, or make it again on the same disk or on one put in its place.

        Raises OSError while there is none. Never makes it on the system's disk in place of another.
        """
        try:
            same = (self.folder / HEADER_NAME).read_text(encoding="utf-8") == self._header
        except (FileNotFoundError, NotADirectoryError):
            same = False
        if not same:
            self._make()
        self._identity = _identity(self.folder)

    def probe(self) -> None:
        """Write, sync and delete a small file. Raises OSError."""
        path = self.folder / PROBE
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, bytes(_PROBE_BYTES))
            os.fsync(fd)
        finally:
            os.close(fd)
            path.unlink()

    def _make(self) -> None:
        device = self.folder.parent.stat().st_dev
        if device != self._device and (not self._own_disk or device == _system_device()):
            raise OSError(errno.ENODEV, "the disk of this folder is not mounted", str(self.folder.parent))
        self.folder.mkdir(exist_ok=True)
        write_whole(self.folder / HEADER_NAME, self._header)


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


def _system_device() -> int:
    return Path("/").stat().st_dev
