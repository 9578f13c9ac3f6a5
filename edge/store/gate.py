"""Whether the recording may write now: one answer for all writers of a session.

A writer that meets a broken disk closes the gate; so does the keeper (`edge.store.keeper`) when the disk is
at its floor or gone. While it is closed the writers let their frames go, counted by cause, and everything
else goes on: cameras, fusion, page. The keeper opens it again, and each writer begins a new file.
"""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from edge.frames import CameraName

Cause = Literal["disk_full", "disk_read_only", "disk_removed", "disk_error"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_REMOVED = (errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.ENOTCONN)


def cause_of(error: OSError) -> Cause:
    """The fault of the disk that an error of the system tells of."""
    if error.errno in _FULL:
        return "disk_full"
    if error.errno in _READ_ONLY:
        return "disk_read_only"
    return "disk_removed" if error.errno in _REMOVED else "disk_error"


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why no frame is written: the cause by name, and what the system said.

    ``at_floor``: the disk itself is well, and takes the few bytes of the sidecar's lines.
    """

    cause: Cause
    said: str
    at_floor: bool = False


@dataclass(frozen=True, slots=True)
class Loss:
    """``count`` frames from ``seq`` on, which ``stage`` did not write."""

    stage: str
    camera: CameraName
    cause: str
    seq: int
    count: int


Key = tuple[str, CameraName, str]

SLOW_NS: Final = 2_000_000_000
"""A write that takes longer is told: about two rings of frames later the first are lost."""


class DiskGate:
    """Any thread may call any method; none of them waits for the disk."""

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._blocked: Blocked | None = None
        self._epoch = 0
        self._first: dict[Key, int] = {}
        self._lost: Counter[Key] = Counter()
        self._totals: Counter[tuple[str, str]] = Counter()
        self._faults: Counter[str] = Counter()
        self._writes: dict[int, int] = {}

    @property
    def blocked(self) -> Blocked | None:
        """None while the recording may write."""
        return self._blocked

    @property
    def epoch(self) -> int:
        """How often the gate was closed: a file opened in another epoch is not written to any more."""
        return self._epoch

    @property
    def faults(self) -> dict[str, int]:
        """How often the gate was closed, by cause."""
        with self._lock:
            return dict(self._faults)

    def failed(self, error: OSError, where: object) -> None:
        """A writer could not write ``where``."""
        self.block(cause_of(error), f"{where}: {error.strerror or error}")

    def block(self, cause: Cause, said: str, *, at_floor: bool = False) -> None:
        """Close the gate. The first cause counts; later ones are mostly its consequences."""
        with self._lock:
            if self._blocked is None:
                self._blocked = Blocked(cause, said, at_floor)
                self._epoch += 1
                self._faults[cause] += 1

    def open(self) -> None:
        """The disk can be written to again."""
        with self._lock:
            self._blocked = None

    def lost(self, stage: str, camera: CameraName, seq: int) -> None:
        """A frame was not written because of the disk."""
        blocked = self._blocked
        key = (stage, camera, "disk_error" if blocked is None else blocked.cause)
        with self._lock:
            self._first.setdefault(key, seq)
            self._lost[key] += 1
            self._totals[stage, key[2]] += 1

    @property
    def totals(self) -> dict[tuple[str, str], int]:
        """Frames lost since the start, by stage and cause."""
        with self._lock:
            return dict(self._totals)

    def take_losses(self) -> list[Loss]:
        """What was lost since the last call."""
        with self._lock:
            first, lost = self._first, self._lost
            self._first, self._lost = {}, Counter()
        return [Loss(*key, first[key], count) for key, count in lost.items()]

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Around each write, so that one which does not come back is seen."""
        token = threading.get_ident()
        self._writes[token] = self._clock_ns()
        try:
            yield
        finally:
            self._writes.pop(token, None)

    def waiting_ns(self) -> int:
        """How long the oldest write that is under way has been waiting for the disk."""
        begun = list(self._writes.values())
        return self._clock_ns() - min(begun) if begun else 0

    def waits(self, thread: int | None) -> bool:
        """Whether a thread, by its ``threading.get_ident``, waits for the disk now."""
        return thread in self._writes

    @property
    def takes_nothing(self) -> bool:
        """Whether nothing can be recorded: the gate is closed, or the disk does not answer."""
        return self._blocked is not None or self.waiting_ns() > SLOW_NS


TEXTS: Final[dict[str, tuple[str, str]]] = {
    "disk_full": ("nothing is recorded: the disk is full", "Delete or move sessions, or lower the floor."),
    "disk_read_only": (
        "nothing is recorded: the disk is read-only for this user",
        "Check the disk (dmesg tells why it was remounted) and who may write there.",
    ),
    "disk_removed": ("nothing is recorded: the disk or the folder is gone", "Put it back or mount it."),
    "disk_error": (
        "nothing is recorded: the disk reports errors",
        "Check the disk, its cable and its power.",
    ),
}
"""What the page says of each cause, and what to do. Recording goes on by itself when the fault has ended."""
