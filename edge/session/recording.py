"""A recording on disk, written and read back. docs/session.md describes the format.

Reading tolerates everything that a crash leaves behind: a line cut in half, a video without its end, files
that are missing, frames that only the sidecar or only the video knows. ``Session.problems`` tells each skip.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.durable import sync_folder
from edge.errors import EX_CANTCREAT
from edge.frames import CameraName, Frame
from edge.session.format import (
    FrameRecord,
    HdrRecord,
    SessionHeader,
    header_from_json,
    header_to_json,
    validated,
)
from edge.session.sidecar import FILE_NAME, SessionError, SidecarWriter
from edge.store.gate import DiskGate

__all__ = ["FrameRecord", "HdrRecord", "Record", "Session", "SessionError", "SessionHeader", "SessionWriter"]

HEADER_NAME = "session.json"
REFUSED = "refused"
MAX_LINE = 1 << 20
_MAX_HEADER = 64 << 20


class SessionWriteError(SessionError):
    """A session cannot be made where it was asked for."""

    exit_code = EX_CANTCREAT


@dataclass(frozen=True, slots=True)
class Record:
    """Any line: its number in the file, its kind, its fields."""

    line: int
    kind: str
    fields: Mapping[str, Any]


class SessionWriter:
    """Makes folder and header. Records go to ``sidecar``, video writers get ``path`` as their folder."""

    def __init__(
        self, path: Path, sidecar: SidecarWriter, header: str = "", gate: DiskGate | None = None
    ) -> None:
        self.path = path
        self.sidecar = sidecar
        self.header = header
        """The text of ``session.json``, should the folder have to be made again."""
        self.gate = gate
        """What the writers of a live recording ask before they write; None: they raise."""

    @classmethod
    def create(
        cls,
        path: Path,
        header: SessionHeader,
        *,
        sync_s: float | None = 1.0,
        gate: DiskGate | None = None,
    ) -> SessionWriter:
        """A new session; ``path`` must not exist or be an empty folder. Raises SessionError."""
        text = header_to_json(header)
        try:
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise SessionWriteError(f"{path}: the folder is not empty; name a new one")
            write_whole(path / HEADER_NAME, text)
        except OSError as error:
            raise SessionWriteError(
                f"{path}: no session can be made here: {error.strerror}; choose another folder"
            ) from error
        return cls(path, SidecarWriter(path / FILE_NAME, sync_s=sync_s, gate=gate), text, gate)

    @classmethod
    def refused(cls, session: Path, model: str, *, sync_s: float | None = 1.0) -> SessionWriter:
        """``session/refused/<model>``, emptied first if it is there: where ``refuse`` writes."""
        path = refused_folder(session, model)
        try:
            if path.exists():
                shutil.rmtree(path)
            path.mkdir(parents=True)
        except OSError as error:
            raise SessionWriteError(
                f"{path}: cannot be written: {error.strerror}; make the session writable or copy it"
            ) from error
        return cls(path, SidecarWriter(path / FILE_NAME, sync_s=sync_s))


class Session:
    """A recording, read as a stream. ``problems`` grows while reading: each skip is told there once."""

    def __init__(self, path: Path, header: SessionHeader, masters: Path) -> None:
        self.path = path
        """The folder that all file names in its lines are relative to."""
        self.header = header
        self.problems: list[str] = []
        self._lines = path / FILE_NAME
        self._masters = masters

    @classmethod
    def open(cls, path: Path) -> Session:
        """Read the header. Raises SessionError when there is no readable session."""
        file = path / HEADER_NAME
        try:
            if file.stat().st_size > _MAX_HEADER:
                raise SessionError(f"{file}: larger than 64 MiB; this is not a session header")
            header = header_from_json(file.read_bytes())
        except OSError as error:
            raise SessionError(
                f"{file}: cannot be read: {error.strerror}; name the folder of a recorded session"
            ) from None
        except ValueError as error:
            raise SessionError(f"{file}: {error}; correct it as docs/session.md describes") from None
        return cls(path, header, path)

    @property
    def clean(self) -> bool:
        """Whether the recording ended as it should: its last line is ``end``."""
        with contextlib.suppress(OSError), self._lines.open("rb") as file:
            file.seek(-min(self._lines.stat().st_size, 4096), os.SEEK_END)
            last = file.read().rstrip(b"\n").rpartition(b"\n")[2]
            return _parse(last) is not None and json.loads(last).get("kind") == "end"
        return False

    @property
    def origin_ns(self) -> int:
        """The session's zero of time on the reference clock: video times count from here."""
        for record in self.records("start"):
            origin = record.fields.get("origin_ns")
            if isinstance(origin, int):
                return origin
        return next((record.t_ns for record in self.frame_records("reference")), 0)

    def records(self, *kinds: str) -> Iterator[Record]:
        """The sidecar's lines in order, of these kinds or all. Bad lines go to ``problems``."""
        try:
            with self._lines.open("rb") as file:
                yield from self._parsed(file, frozenset(kinds))
        except OSError as error:
            self._report(f"{self._lines}: cannot be read: {error.strerror}; only the video files are left")

    def frame_records(self, camera: CameraName) -> Iterator[FrameRecord]:
        """The valid lines of one camera, in order."""
        return self._valid(FrameRecord, camera)

    def hdr_records(self) -> Iterator[HdrRecord]:
        """The valid lines of the fused video, in order."""
        return self._valid(HdrRecord, "hdr")

    def stamped(self, camera: CameraName) -> Iterator[tuple[Frame, int]]:
        """Frames with their time on the reference clock in ns, decoded one by one, in order."""
        from edge.session.frames import FrameReader  # video decoding, which ``info`` can do without

        reader = FrameReader(self._masters, self.header, camera, self.origin_ns, self._report)
        return reader.read(self.frame_records(camera))

    def found(self, camera: CameraName) -> Iterator[FrameRecord]:
        """The line of every frame that ``stamped`` would yield, without decoding it."""
        from edge.session.frames import FrameReader

        reader = FrameReader(self._masters, self.header, camera, self.origin_ns, self._report)
        return reader.find(self.frame_records(camera))

    def frames(self, camera: CameraName) -> Iterator[Frame]:
        """Frames of one camera in order, one in memory at a time."""
        return (frame for frame, _ in self.stamped(camera))

    def check_videos(self) -> int:
        """Frames that stand in the fused video; what its lines promise beyond that goes to ``problems``."""
        from edge.encode.video_read import DamagedVideoError, count_frames

        promised: dict[str, int] = {}
        for record in self.hdr_records():
            if record.file is not None:
                promised[record.file] = max(promised.get(record.file, 0), record.index + 1)
        total = 0
        for file, expected in promised.items():
            try:
                found = count_frames(self.path / file)
            except DamagedVideoError as error:
                self._report(f"{file}: the video cannot be read: {error}; {expected} frames are lost")
                continue
            total += found
            if found < expected:
                self._report(f"{file}: {expected - found} of {expected} frames were lost when it broke off")
        return total

    @property
    def masters(self) -> Path:
        """The folder that the raw frames' file names are relative to."""
        return self._masters

    def refused_models(self) -> list[str]:
        """Models this session was refused with."""
        return sorted(path.parent.name for path in (self._masters / REFUSED).glob(f"*/{FILE_NAME}"))

    def refused(self, model: str) -> Session:
        """The output of ``refuse`` as a session: this header, lines and fused video of ``refused/<model>``.

        Raises SessionError where there is none.
        """
        folder = refused_folder(self._masters, model)
        if not (folder / FILE_NAME).is_file():
            done = ", ".join(self.refused_models()) or "none"
            raise SessionError(f"{folder}: was not refused with {model}; there is {done}; run twinhdr refuse")
        return Session(folder, self.header, self._masters)

    def _parsed(self, file: Any, kinds: frozenset[str]) -> Iterator[Record]:
        number = 0
        while raw := file.readline(MAX_LINE):
            number += 1
            record = _parse(raw)
            if record is not None:
                kind = record["kind"]
                if not kinds or kind in kinds:
                    yield Record(number, kind, record)
                continue
            whole = raw.endswith(b"\n")
            if not raw.strip():
                continue
            while not whole and (rest := file.readline(MAX_LINE)):
                whole = rest.endswith(b"\n")
            what = "not a record, skipped" if whole else "cut off where the recording broke off"
            self._report(f"{self._lines}:{number}: {what}")

    def _valid(self, model: type[Any], kind: str) -> Iterator[Any]:
        for record in self.records(kind):
            try:
                yield validated(model, record.fields)
            except ValueError as error:
                self._report(f"{self._lines}:{record.line}: {error}; the line is skipped")

    def _report(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


def _parse(raw: bytes) -> dict[str, Any] | None:
    """A line as a record, None where it is none."""
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("kind"), str) else None


def refused_folder(session: Path, model: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", model):
        raise SessionError(f"{model!r} cannot name a folder; use letters, digits, dot, dash and underscore")
    return session / REFUSED / model


def write_whole(path: Path, text: str) -> None:
    """The file appears complete or not at all, and stays after a power cut. Raises OSError."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)
