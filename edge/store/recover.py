"""What a crash left, put in order at the next start: beside the recording, bounded in time, done once.

A torn session gets its last line repaired and a ``recovered`` line with what its files really hold. Nothing
that could be a frame is ever deleted: what goes are temporary files, files without a single frame, and the
rest of sessions whose deletion had begun.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from edge.durable import sync_folder
from edge.errors import TwinhdrError
from edge.session.recording import HEADER_NAME
from edge.session.sidecar import FILE_NAME
from edge.store.catalogue import SessionEntry, hidden_folders, list_sessions, remove_hidden
from edge.store.eraser import segments_of
from edge.store.home import PROBE
from edge.store.lock import open_regular, removing
from edge.store.names import number_of
from edge.store.plan import Segment

MOST_S: Final = 60.0
"""Then the rest waits for the next start. A session takes as long as its last files take to be read."""
_HEADER_ONLY: Final = 16_384
"""A file that is larger may hold a damaged frame, so it stays."""
_TAIL: Final = 1 << 20

Tell = Callable[[str], None]


def recover_all(root: Path, tell: Tell, stop: threading.Event, *, most_s: float = MOST_S) -> None:
    """Put everything below ``root`` in order. Each problem is told; none is raised."""
    begin_s = time.monotonic()
    for folder in hidden_folders(root):
        _say_if_failed(tell, lambda folder=folder: remove_hidden(folder))  # type: ignore[misc]
        tell(f"finished deleting {folder.name}")
    _remove_half_made(root)
    torn = [entry for entry in list_sessions(root) if entry.state == "torn" and entry.number is not None]
    for entry in reversed(torn):  # the newest: whoever just lost the power wants to see that one
        if stop.is_set() or time.monotonic() - begin_s > most_s:
            return
        _say_if_failed(tell, lambda entry=entry: recover(entry, tell))  # type: ignore[misc]


def recover(entry: SessionEntry, tell: Tell) -> None:
    """Put one torn session in order; one that was already is left alone. Raises OSError."""
    lines = entry.path / FILE_NAME
    with removing(lines) as free:  # nobody records, reads or deletes it now
        if not free or _last_kind(lines) == "recovered":
            return
        for name in (PROBE, HEADER_NAME.replace(".json", ".tmp")):
            (entry.path / name).unlink(missing_ok=True)
        remove_empty(entry.path)
        streams = {stream: _of_stream(entry.path, files) for stream, files in _by_stream(entry.path).items()}
        _append(lines, {"kind": "recovered", "streams": streams})
    frames = ", ".join(f"{stream} {found['frames']}" for stream, found in sorted(streams.items()))
    tell(f"session {entry.name} had broken off; frames in its last files: {frames or 'none'}")


def remove_empty(session: Path) -> None:
    """Delete video files that were begun and hold no frame. Raises OSError."""
    from edge.encode.video_read import DamagedVideoError, count_frames

    for segment in segments_of(session):
        if segment.size_bytes < _HEADER_ONLY:
            try:
                frames = count_frames(session / segment.file)
            except DamagedVideoError:
                frames = 0
            if frames == 0:
                (session / segment.file).unlink()


def _of_stream(session: Path, files: list[Segment]) -> dict[str, Any]:
    """What the last file of a stream holds."""
    from edge.encode.video_read import DamagedVideoError, count_frames

    last = max(files, key=lambda s: s.number)
    found: dict[str, Any] = {"file": last.file, "frames": 0, "size_bytes": last.size_bytes}
    try:
        found["frames"] = count_frames(session / last.file)
    except DamagedVideoError as error:
        found["problem"] = str(error)
    return found


def _by_stream(session: Path) -> dict[str, list[Segment]]:
    streams: dict[str, list[Segment]] = {}
    for segment in segments_of(session):
        streams.setdefault(segment.stream, []).append(segment)
    return streams


def _last_kind(lines: Path) -> str | None:
    with contextlib.suppress(OSError, ValueError):
        with os.fdopen(open_regular(lines), "rb") as file:
            file.seek(-min(os.fstat(file.fileno()).st_size, _TAIL), os.SEEK_END)
            last = json.loads(file.read().rstrip(b"\n").rpartition(b"\n")[2])
        return str(last["kind"]) if isinstance(last, dict) and "kind" in last else None
    return None


def _append(lines: Path, record: dict[str, Any]) -> None:
    """Add a line, durably; what stands of a torn one before it goes, unless it only lacks its end."""
    fd = os.open(lines, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        size = os.fstat(fd).st_size
        tail = os.pread(fd, _TAIL, max(0, size - _TAIL))
        rest = tail[tail.rfind(b"\n") + 1 :]
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        if rest and len(rest) < _TAIL and not _is_json(rest):
            os.ftruncate(fd, size - len(rest))
        elif rest:
            line = b"\n" + line
        os.lseek(fd, 0, os.SEEK_END)
        os.write(fd, line)
        os.fsync(fd)
    finally:
        os.close(fd)
    sync_folder(lines.parent)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _remove_half_made(root: Path) -> None:
    """Folders of our names without a header hold nothing: the header comes first."""
    with contextlib.suppress(OSError), os.scandir(root) as entries:
        for entry in list(entries):
            path = Path(entry.path)
            if number_of(entry.name) is None or (path / HEADER_NAME).exists() or not entry.is_dir():
                continue
            if time.time() - entry.stat().st_mtime < _YOUNG_S and time.time() >= entry.stat().st_mtime:
                continue  # another recorder may be making it
            with contextlib.suppress(OSError):
                (path / HEADER_NAME.replace(".json", ".tmp")).unlink(missing_ok=True)
                path.rmdir()  # only if it is empty


_YOUNG_S: Final = 60.0


def _say_if_failed(tell: Tell, act: Callable[[], None]) -> None:
    try:
        act()
    except FileNotFoundError:  # deleted meanwhile, to make room
        return
    except (OSError, TwinhdrError) as error:
        tell(f"not recovered: {error}")
