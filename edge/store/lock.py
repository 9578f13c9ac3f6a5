"""Who is using a session: a lock that the kernel lets go of when its holder dies, however it dies.

The recorder holds ``frames.jsonl`` of its session exclusively; whoever reads a session for long may hold it
shared. ``flock`` works between processes and between two openings in one process.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_BUSY = (errno.EWOULDBLOCK, errno.EACCES)


def hold(fd: int) -> bool:
    """Lock an open file for its writer until it is closed. False on file systems without locks."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def is_held(path: Path) -> bool:
    """Whether a writer holds ``path`` now. A file that is missing or cannot be read is held by nobody."""
    try:
        fd = open_regular(path)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _BUSY
    finally:
        os.close(fd)
    return False


@contextlib.contextmanager
def reading(path: Path) -> Iterator[bool]:
    """Keep a session's ``path`` (its ``frames.jsonl``) from being deleted meanwhile; False: it is held."""
    with _taken(path, fcntl.LOCK_SH) as taken:
        yield taken


@contextlib.contextmanager
def removing(path: Path) -> Iterator[bool]:
    """Keep everybody else off ``path``; False where somebody writes or reads it. A missing file is free."""
    with _taken(path, fcntl.LOCK_EX) as taken:
        yield taken


@contextlib.contextmanager
def _taken(path: Path, how: int) -> Iterator[bool]:
    try:
        fd = open_regular(path)
    except OSError:
        yield True
        return
    try:
        taken = True
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
        except OSError as error:
            taken = error.errno not in _BUSY
        yield taken
    finally:
        os.close(fd)


def open_regular(path: Path) -> int:
    """Open a file to read it. Raises OSError for a link, a pipe, a device or a folder, and never waits."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "not a regular file", str(path))
