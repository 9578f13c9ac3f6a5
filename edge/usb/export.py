"""Logs and sessions onto a stick: as far as there is room, file by file, each with its checksum.

A file appears under its name when it is complete and synced, and is then noted in ``SHA256SUMS`` of its
folder (``sha256sum -c SHA256SUMS`` checks it anywhere). What is noted with its size is not copied again, so a
stick that was pulled, or was full, is simply plugged in again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from edge.store.catalogue import SessionEntry, list_sessions
from edge.store.lock import open_regular, reading
from edge.usb.stick import ALL, EXPORTS, LOGS, NEWEST, ExportFile

SUMS: Final = "SHA256SUMS"
PART: Final = ".part"
CHUNK: Final = 1 << 20
MOST_SUMS: Final = 64 << 20
RESERVE: Final = 8 << 20
"""Left free on the stick, for the report and for what its file system needs."""
SIDECAR: Final = "frames.jsonl"
FOREIGN: Final = re.compile(r'[<>:"\\|?*\x00-\x1f]|[ .]$')
"""What FAT and exFAT do not take in a name."""


Logs: TypeAlias = Callable[[int], bytes]
"""The newest lines, oldest first, at most so many bytes. Raises OSError."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A tree on the stick. ``missing`` names what is not there, and why."""

    files: int
    size_bytes: int
    already: int
    missing: tuple[str, ...]


class StickFullError(OSError):
    """There is no room for the next file."""


def export(wanted: ExportFile, stick: Path, root: Path, host: str, logs: Logs) -> Iterator[str]:
    """Lines for the report, as each thing is done. ``host`` names the device's folder on the stick.

    Raises OSError when the stick is gone, or answers with errors.
    """
    home = stick / EXPORTS / safe_name(host)
    home.mkdir(parents=True, exist_ok=True)
    _refuse_links(stick, home)
    for name in wanted.export:
        if name == LOGS:
            yield _export_logs(home, logs, wanted.logs_mb)
        else:
            yield from _export_sessions(name, home, root)


def copy_tree(source: Path, target: Path, room: Callable[[], int]) -> Copied:
    """Copy the regular files of ``source`` that are not in ``target`` yet. Links are never followed.

    ``room``: bytes that may still be written. Raises OSError for ``target``.
    """
    target.mkdir(parents=True, exist_ok=True)
    _refuse_links(target.parent, target)
    known = _known(target)
    files = size_bytes = already = 0
    missing: list[str] = []
    for relative in _files(source):
        name = relative.as_posix()
        if any(FOREIGN.search(part) for part in relative.parts):
            missing.append(f"{name}: the stick takes no such name")
            continue
        try:
            descriptor = open_regular(source / relative)
        except OSError as error:
            missing.append(f"{name}: {error.strerror}")
            continue
        with open(descriptor, "rb") as file:
            size = os.fstat(descriptor).st_size
            if name in known and _size(target / relative) == size:
                already += 1
                continue
            try:
                if room() < size:
                    raise StickFullError(errno.ENOSPC, "no room on the stick")
                if name in known:
                    _forget(target, name)
                total = _copy(file.read, target, relative)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.ENAMETOOLONG):
                    raise
                missing.append(f"{name} ({size / 1e6:.1f} MB): {error.strerror}")
                continue
            files, size_bytes = files + 1, size_bytes + total
    return Copied(files, size_bytes, already, tuple(missing))


def room_on(stick: Path) -> int:
    """Bytes that may be written to the stick. Raises OSError."""
    found = os.statvfs(stick)
    return found.f_bavail * found.f_frsize - RESERVE


def safe_name(name: str) -> str:
    """A host's name as a folder's."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", name)[:60] or "twinhdr"


def _export_logs(home: Path, logs: Logs, most_mb: int) -> str:
    folder = home / LOGS
    folder.mkdir(exist_ok=True)
    most = min(most_mb * 1_000_000, room_on(home))
    if most <= 0:
        return "logs: not exported, the stick is full"
    try:
        text = logs(most)[-most:]
    except OSError as error:
        return f"logs: not exported: {error.strerror or error}"
    numbers = [
        int(found[1]) for path in folder.iterdir() if (found := re.match(r"journal-(\d{1,6})\.", path.name))
    ]
    name = f"journal-{max(numbers, default=0) + 1:04d}.log"  # not a time: a device without a clock has none
    chunks = iter((text, b""))
    _copy(lambda _size: next(chunks, b""), folder, Path(name))
    return f"logs: {len(text) / 1e6:.1f} MB in {LOGS}/{name}"


def _export_sessions(name: str, home: Path, root: Path) -> Iterator[str]:
    entries = list_sessions(root)
    ended = [entry for entry in entries if entry.state != "recording"]
    if name == NEWEST:
        chosen = ended[-1:]
    elif name == ALL:
        chosen = ended[::-1]
    else:
        chosen = [entry for entry in entries if entry.name == name]
    if not chosen:
        yield f"{name}: there is no such session that has ended"
    for entry in chosen:
        yield _export_session(entry, home)


def _export_session(entry: SessionEntry, home: Path) -> str:
    with reading(entry.path / SIDECAR) as free:
        if not free:
            return f"{entry.name}: is being recorded; plug the stick in again when it has ended"
        copied = copy_tree(entry.path, home / "sessions" / safe_file(entry.name), lambda: room_on(home))
    said = f"{entry.name}: {copied.files} files, {copied.size_bytes / 1e6:.1f} MB copied"
    if copied.already:
        said += f", {copied.already} were there already"
    if not copied.missing:
        return f"{said}; complete"
    return (
        f"{said}; {len(copied.missing)} are missing ({'; '.join(copied.missing[:3])}). "
        "Plug in again, or another stick with more room, to go on"
    )


def safe_file(name: str) -> str:
    """A session's name as the stick takes it; names that twinhdr gives stay as they are."""
    return FOREIGN.sub("-", name)


def _files(source: Path) -> list[Path]:
    found = []
    for folder, below, names in os.walk(source, followlinks=False):
        below.sort()
        for name in names:
            path = Path(folder) / name
            with contextlib.suppress(OSError):
                if stat.S_ISREG(path.lstat().st_mode):
                    found.append(path.relative_to(source))
    return sorted(found)


def _copy(read: Callable[[int], bytes], target: Path, relative: Path) -> int:
    """Through a file of another name; the checksum is of what was written. Raises OSError."""
    path = target / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    _refuse_links(target, path.parent)
    part = path.with_name(path.name + PART)
    digest, total = hashlib.sha256(), 0
    try:
        part.unlink(missing_ok=True)  # of a stick that was pulled
        with part.open("xb") as file:
            while chunk := read(CHUNK):
                file.write(chunk)
                digest.update(chunk)
                total += len(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(target / SUMS, flags, 0o644), "wb") as sums:
        sums.write(f"{digest.hexdigest()}  {relative.as_posix()}\n".encode())
        sums.flush()
        os.fsync(sums.fileno())
    return total


def _refuse_links(above: Path, folder: Path) -> None:
    """Root writes here: a link prepared on the stick would lead it into the device. Raises OSError."""
    if folder.resolve() != above.resolve() / folder.relative_to(above):
        raise OSError(errno.ELOOP, "a link on the stick", str(folder))


def _forget(target: Path, name: str) -> None:
    """Take a file that has changed out of the checksums."""
    sums = target / SUMS
    kept = [
        line for line in sums.read_bytes().splitlines(keepends=True) if line[66:].strip() != name.encode()
    ]
    _rewrite(sums, b"".join(kept))


def _rewrite(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + PART)
    part.unlink(missing_ok=True)
    with part.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def _known(target: Path) -> set[str]:
    """Names that were noted, in whole lines: the last one may have been cut."""
    try:
        with open(open_regular(target / SUMS), "rb") as file:
            data = file.read(MOST_SUMS)
    except FileNotFoundError:
        return set()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        _rewrite(target / SUMS, whole)
    lines = whole.decode(errors="replace").split("\n")
    return {line[66:] for line in lines if re.fullmatch(r"[0-9a-f]{64}  .+", line)}


def _size(path: Path) -> int | None:
    try:
        return path.lstat().st_size
    except OSError:
        return None
