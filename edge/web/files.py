"""The files of a session: found without following anybody's links, and opened so that no path leads out."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MOST_FILES: Final = 20_000
DEEPEST: Final = 6


@dataclass(frozen=True, slots=True)
class SessionFile:
    """One regular file below a session's folder; ``path`` with slashes, relative to it."""

    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file open for reading; the descriptor belongs to who opened it."""

    fd: int
    size_bytes: int
    modified_s: int


def list_files(folder: Path) -> list[SessionFile]:
    """All regular files below ``folder``, sorted; hidden ones and links are left out. Raises OSError."""
    found = sorted(_below(folder, "", 0), key=lambda one: one.path)
    return found[:MOST_FILES]


def open_file(folder: Path, path: str) -> OpenFile | None:
    """Open ``path`` below ``folder``; None where there is no such regular file.

    Every step is opened in the folder before it and none may be a link, so neither ``..`` nor a link that
    somebody put there leads anywhere else.
    """
    steps = path.split("/")
    if len(steps) > DEEPEST or not all(_plain(step) for step in steps):
        return None
    opened = []
    try:
        opened.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))
        for step in steps[:-1]:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            opened.append(os.open(step, flags, dir_fd=opened[-1]))
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.open(steps[-1], flags, dir_fd=opened[-1])
    except (OSError, ValueError):
        return None
    finally:
        for fd in opened:
            os.close(fd)
    about = os.fstat(file)
    if not stat.S_ISREG(about.st_mode):
        os.close(file)
        return None
    return OpenFile(file, about.st_size, int(about.st_mtime))


def read_at(fd: int, size: int, offset: int) -> bytes:
    """Bytes of an open file, not kept in the page cache: the recording needs that memory for its own writes.

    Empty at the end of the file, or once the file has been deleted: who holds it open holds its space.
    """
    if os.fstat(fd).st_nlink == 0:
        return b""
    data = os.pread(fd, size, offset)
    with contextlib.suppress(OSError):
        os.posix_fadvise(fd, offset, len(data), os.POSIX_FADV_DONTNEED)
    return data


def _plain(step: str) -> bool:
    return bool(step) and not step.startswith(".") and "\0" not in step and len(os.fsencode(step)) < 256


def _below(folder: Path, prefix: str, depth: int) -> Iterator[SessionFile]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not _plain(entry.name) or not entry.name.isprintable():
                continue
            with contextlib.suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=False):
                    size = entry.stat(follow_symlinks=False).st_size
                    yield SessionFile(prefix + entry.name, size)
                elif entry.is_dir(follow_symlinks=False) and depth + 1 < DEEPEST:
                    yield from _below(Path(entry.path), f"{prefix}{entry.name}/", depth + 1)
