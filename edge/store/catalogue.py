"""Which recordings there are below a root, what state each is in, and how one is kept or deleted.

A session is a real folder below the root with a real ``session.json``. Everything else there, links, other
people's folders, hidden names, half-made sessions, is passed over and never touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edge.durable import sync_folder
from edge.errors import EX_CANTCREAT, EX_NOINPUT, TwinhdrError
from edge.session.format import header_from_json
from edge.session.recording import HEADER_NAME
from edge.session.sidecar import FILE_NAME
from edge.store.lock import is_held, open_regular, removing
from edge.store.names import DELETING, number_of

KEPT = "kept"
"""The mark: a file of this name in a session keeps it from being deleted."""

State = Literal["recording", "clean", "torn", "unreadable"]
_MAX_HEADER = 16 << 20
_END_BYTES = 64 << 10
_FRAMES = ("reference", "hdr")


class StoreError(TwinhdrError):
    """A session cannot be kept, released or deleted. The text names it, the cause and what to do next."""

    exit_code = EX_CANTCREAT


class NoSuchSessionError(StoreError):
    """There is no session of this name."""

    exit_code = EX_NOINPUT


class ProtectedSessionError(StoreError):
    """The session is kept, or somebody is using it."""


@dataclass(frozen=True, slots=True)
class SessionEntry:
    """One recording. ``started_utc`` as its header has it; ``seconds`` of video, None where nobody can tell.

    ``recording``: a live process writes it; ``clean``: it ended as it should; ``torn``: it broke off, and can
    be read up to there; ``unreadable``: its header is damaged.
    """

    name: str
    path: Path
    started_utc: str | None
    seconds: float | None
    size_bytes: int
    state: State
    kept: bool

    @property
    def number(self) -> int | None:
        """Its place in the order of recordings; None where a person chose the name."""
        return number_of(self.name)


def list_sessions(root: Path) -> list[SessionEntry]:
    """All sessions below ``root``, newest last, those that a person named first. Empty without a root."""
    found = [entry for path in _folders(root) if (entry := read_entry(path)) is not None]
    return sorted(found, key=lambda e: (-1 if e.number is None else e.number, e.started_utc or "", e.name))


def find_session(root: Path, name: str) -> SessionEntry:
    """The session of this name below ``root``. Raises NoSuchSessionError, also for a path."""
    entry = read_entry(root / name) if _is_plain(name) else None
    if entry is None:
        raise NoSuchSessionError(
            f"{name!r}: no session below {root} has this name; twinhdr sessions list shows all"
        )
    return entry


def keep_session(root: Path, name: str, kept: bool) -> None:
    """Set or take away the mark that keeps a session. Raises StoreError."""
    mark = find_session(root, name).path / KEPT
    try:
        if kept:
            os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644))
        else:
            mark.unlink(missing_ok=True)
        sync_folder(mark.parent)
    except OSError as error:
        raise StoreError(f"{mark}: cannot be changed: {error.strerror}; make the session writable") from error


def delete_session(root: Path, name: str) -> None:
    """Delete a session that is neither kept nor in use. Returns when it is gone, which may take long.

    The folder is renamed to a hidden name first: a cut at any moment leaves the whole session or none, and
    what is left under the hidden name goes at the next start. Raises StoreError.
    """
    entry = find_session(root, name)
    if entry.kept:
        raise ProtectedSessionError(f"{name}: is kept; release it first: twinhdr sessions release {name}")
    with removing(entry.path / FILE_NAME) as free:
        if not free:
            raise ProtectedSessionError(f"{name}: is being recorded or read; wait until that has ended")
        try:
            hidden = _hide(entry.path)
        except OSError as error:
            raise StoreError(f"{entry.path}: cannot be deleted: {error.strerror}") from error
    remove_hidden(hidden)


def remove_hidden(folder: Path) -> None:
    """Delete what was renamed to go. Raises StoreError naming the first file that could not be deleted."""
    try:
        shutil.rmtree(folder)
    except OSError as error:
        where = error.filename or folder
        raise StoreError(
            f"{where}: cannot be deleted: {error.strerror}; the rest goes at the next start"
        ) from error


def hidden_folders(root: Path) -> list[Path]:
    """Sessions whose deletion was cut off."""
    with contextlib.suppress(OSError), os.scandir(root) as entries:
        return sorted(Path(e.path) for e in entries if e.name.startswith(DELETING) and _is_folder(e))
    return []


def read_entry(path: Path) -> SessionEntry | None:
    """What ``path`` is as a session; None where it is none, or went away while we looked."""
    header = path / HEADER_NAME
    try:
        if not stat.S_ISDIR(path.lstat().st_mode) or not stat.S_ISREG(header.lstat().st_mode):
            return None
    except OSError:
        return None
    lines = path / FILE_NAME
    started_utc, readable = _started(header)
    first, last = _ends(lines)
    return SessionEntry(
        name=path.name,
        path=path,
        started_utc=started_utc,
        seconds=_seconds(first, last),
        size_bytes=size_bytes(path),
        state=_state(lines, readable, last),
        kept=os.path.lexists(path / KEPT),
    )


def size_bytes(folder: Path) -> int:
    """Of all files below. What is removed while we look, or cannot be read, counts nothing."""
    total = 0
    for path, _below, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(path, name)).st_size
    return total


def _state(lines: Path, readable: bool, last: list[dict[str, Any]]) -> State:
    if is_held(lines):
        return "recording"
    if not readable:
        return "unreadable"
    return "clean" if last and last[-1].get("kind") == "end" else "torn"


def _started(header: Path) -> tuple[str | None, bool]:
    """``started_utc`` and whether the header can be read."""
    try:
        raw = _read(header, _MAX_HEADER + 1)
        if len(raw) > _MAX_HEADER:
            return None, False
        return header_from_json(raw).started_utc or None, True
    except (OSError, ValueError):
        return None, False


def _ends(lines: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The first and the last records of a sidecar, whatever of them can be read."""
    try:
        return _records(_read(lines, _END_BYTES)), _records(_read(lines, _END_BYTES, from_end=True))
    except OSError:
        return [], []


def _seconds(first: list[dict[str, Any]], last: list[dict[str, Any]]) -> float | None:
    times = [
        t_ns
        for record in first + last
        if record.get("kind") in _FRAMES and type(t_ns := record.get("t_ns")) is int
    ]
    return (max(times) - min(times)) / 1e9 if times else None


def _records(raw: bytes) -> list[dict[str, Any]]:
    found = []
    for line in raw.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            record = json.loads(line)
            if isinstance(record, dict):
                found.append(record)
    return found


def _read(path: Path, most: int, *, from_end: bool = False) -> bytes:
    fd = open_regular(path)
    with os.fdopen(fd, "rb") as file:
        if from_end:
            file.seek(-min(os.fstat(fd).st_size, most), os.SEEK_END)
        return file.read(most)


def _hide(path: Path) -> Path:
    hidden = path.with_name(DELETING + path.name)
    number = 0
    while os.path.lexists(hidden):
        number += 1
        hidden = path.with_name(f"{DELETING}{path.name}~{number}")
    path.rename(hidden)
    sync_folder(path.parent)
    return hidden


def _folders(root: Path) -> list[Path]:
    try:
        with os.scandir(root) as entries:
            return [Path(e.path) for e in entries if _is_plain(e.name) and _is_folder(e)]
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _is_plain(name: str) -> bool:
    """A visible name in the root itself."""
    return (
        bool(name) and not name.startswith(".") and "/" not in name and "\0" not in name and len(name) < 256
    )
