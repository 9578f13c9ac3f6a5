"""What all streams on disk share: numbered files, cut by time and size, and what a broken disk costs."""

from __future__ import annotations

import contextlib
import errno
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from edge.errors import EX_CANTCREAT, TwinhdrError
from edge.store.gate import DiskGate
from edge.tone.hdr_metadata import ContentLight


class EncodeError(TwinhdrError):
    """A video file cannot be written. The text names the file, the cause and what to do next."""

    exit_code = EX_CANTCREAT


class WriterRetiredError(Exception):
    """Another writer has this stream now: what is left to do is to end."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where a frame lies: ``file`` relative to the session folder (posix), ``index`` from 0 inside it."""

    file: str
    index: int


@dataclass(frozen=True, slots=True)
class ClosedSegment:
    """One finished file of one stream. ``light`` only for PQ video."""

    stream: str
    file: str
    frames: int
    size_bytes: int
    first_t_ns: int
    last_t_ns: int
    light: ContentLight | None = None


ImageT = TypeVar("ImageT")


class OpenSegment(ABC, Generic[ImageT]):
    """One file being written. Raises FFmpegError, OSError, ValueError; ``SegmentWriter`` names them."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes in the file so far."""

    @abstractmethod
    def add(self, image: ImageT, ticks: int) -> None:
        """Encode one image at ``ticks`` of the stream's time base."""

    @abstractmethod
    def finish(self) -> int:
        """Write what is pending, close the file, return its size in bytes."""

    @abstractmethod
    def abandon(self) -> None:
        """Close the file without another write. Never raises."""

    def light(self) -> ContentLight | None:
        """Content light level of this file, where it has one."""
        return None


class SegmentWriter(ABC, Generic[ImageT]):
    """Cuts one stream into ``folder/stream/000000.ext``, ... of ``segment_s`` or ``segment_bytes`` at most.

    Presentation times are whole ticks of ``ticks_per_s`` since ``origin_ns``, strictly increasing: a frame
    that would land on the tick of the one before goes to the next (the sidecar keeps the exact time). After
    an EncodeError the next frame starts a new file. One thread writes; ``retire`` may come from any.

    With a ``gate`` a broken disk raises nothing: the gate is told, frames are not written (``write`` returns
    None) until it is open again, and then a new file begins.
    """

    def __init__(
        self,
        folder: Path,
        stream: str,
        extension: str,
        *,
        origin_ns: int,
        ticks_per_s: int,
        fps: float,
        segment_s: float,
        on_segment: Callable[[ClosedSegment], None] | None,
        segment_bytes: int | None = None,
        gate: DiskGate | None = None,
    ) -> None:
        self._folder = folder
        self._stream = stream
        self._extension = extension
        self._origin_ns = origin_ns
        self._ticks_per_s = ticks_per_s
        self._segment_ns = round((segment_s - 0.5 / fps) * 1e9)
        self._segment_bytes = segment_bytes
        self._gate = gate
        self._epoch = 0 if gate is None else gate.epoch
        self._on_segment = on_segment
        self._open: OpenSegment[ImageT] | None = None
        self._number = first_free_number(folder / stream, extension)
        self._last_ticks = -1
        self._frames = 0
        self._first_t_ns = 0
        self._last_t_ns = 0
        self._retired = False

    @abstractmethod
    def _open_segment(self, path: Path) -> OpenSegment[ImageT]:
        """A new file at ``path``."""

    def retire(self) -> None:
        """Another writer takes the stream over while this one hangs in ``write``: it opens no file any more.

        What it wrote stays as it is, as after a crash. ``write`` raises WriterRetiredError from here on.
        """
        self._retired = True

    def _write(self, image: ImageT, t_ns: int) -> Location | None:
        self._check_retired()
        if self._gate is None:
            return self._add(image, t_ns)
        if self._epoch != self._gate.epoch:
            with self._told(self._gate):
                self.close()
            self._epoch = self._gate.epoch
        if self._gate.blocked is None:
            with self._told(self._gate):
                return self._add(image, t_ns)
        return None

    def _add(self, image: ImageT, t_ns: int) -> Location:
        if self._open is not None and self._is_full(self._open, t_ns):
            self._finish()
        with self._named("write"):
            if self._open is None:
                self._check_retired()
                # the folder of a live session, should it be gone, is made again by its keeper only
                self._path.parent.mkdir(parents=self._gate is None, exist_ok=True)
                self._open = self._open_segment(self._path)
                self._first_t_ns, self._frames = t_ns, 0
            ticks = round((t_ns - self._origin_ns) * self._ticks_per_s / 1_000_000_000)
            self._last_ticks = max(ticks, self._last_ticks + 1)
            self._open.add(image, self._last_ticks)
        self._check_retired()
        self._last_t_ns = t_ns
        self._frames += 1
        return Location(self._file, self._frames - 1)

    def _is_full(self, segment: OpenSegment[ImageT], t_ns: int) -> bool:
        too_large = self._segment_bytes is not None and segment.size >= self._segment_bytes
        return too_large or t_ns - self._first_t_ns >= self._segment_ns

    def close(self) -> None:
        """Finish the open file. May be called twice. Raises EncodeError."""
        if self._retired and self._open is not None:
            self._open.abandon()
            self._open = None
        if self._open is None:
            return
        with contextlib.nullcontext() if self._gate is None else self._told(self._gate):
            self._finish()

    def _check_retired(self) -> None:
        if self._retired:
            raise WriterRetiredError(self._file)

    @property
    def _file(self) -> str:
        return f"{self._stream}/{self._number:06d}.{self._extension}"

    @property
    def _path(self) -> Path:
        return self._folder / self._file

    def _finish(self) -> None:
        segment = self._open
        assert segment is not None
        with self._named("finish"):
            size = segment.finish()
        closed = ClosedSegment(
            self._stream, self._file, self._frames, size, self._first_t_ns, self._last_t_ns, segment.light()
        )
        self._open = None
        self._number += 1
        if self._on_segment is not None and not self._retired:
            self._on_segment(closed)

    @contextlib.contextmanager
    def _named(self, doing: str) -> Iterator[None]:
        """Turn what a library says into an EncodeError with file and remedy, and give the file up."""
        from av import FFmpegError

        try:
            yield
        except (FFmpegError, OSError, ValueError) as error:
            path = self._path
            if self._open is not None:
                self._open.abandon()
                self._open = None
            with contextlib.suppress(OSError):
                if path.stat().st_size == 0:
                    path.unlink()
            self._number += 1  # also where it could not be opened: some of it may be there
            raise EncodeError(f"{path}: cannot {doing} this video: {error}; {_remedy(error)}") from error

    @contextlib.contextmanager
    def _told(self, gate: DiskGate) -> Iterator[None]:
        """Tell the gate of a broken disk; any other error goes on."""
        path = self._path
        try:
            yield
        except EncodeError as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno in _NOT_THE_DISK:
                raise
            gate.failed(error.__cause__, path)


_NOT_THE_DISK = (errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE)


def first_free_number(folder: Path, extension: str) -> int:
    """One more than the highest number in ``folder``: a file that exists is never overwritten."""
    pattern = re.compile(rf"(\d{{6}})\.{re.escape(extension)}")
    if not folder.is_dir():
        return 0
    taken = [int(m[1]) for m in (pattern.fullmatch(p.name) for p in folder.iterdir()) if m]
    return max(taken, default=-1) + 1


def _remedy(error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "free space on this disk or set store.root to another one"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "make the folder writable for this user or set store.root to another one"
    if number == errno.EIO:
        return "the disk reports errors: check it, and set store.root to another one"
    return "check codec, preset and image size in the configuration, then the disk"
