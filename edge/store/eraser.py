"""Deletes what a plan names, in a thread of its own: 50 GB on a slow card take minutes."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge.store.catalogue import StoreError, delete_session
from edge.store.plan import Plan, Segment

_SEGMENT = re.compile(r"(\d{6,})\.(?:mkv|mp4)")


@dataclass(frozen=True, slots=True)
class Deleted:
    """Something went, or could not go: then ``problem`` says why."""

    what: Literal["session", "segment"]
    name: str
    size_bytes: int
    problem: str = ""


class Eraser:
    """One plan at a time. ``start`` and ``take`` never wait."""

    def __init__(self, root: Path, session: Path) -> None:
        self._root = root
        self._session = session
        self._thread: threading.Thread | None = None
        self._done: deque[Deleted] = deque()

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self, plan: Plan) -> None:
        """Carry out ``plan`` unless another is under way."""
        if self.busy or not (plan.sessions or plan.segments):
            return
        self._thread = threading.Thread(target=self._run, args=(plan,), name="eraser", daemon=True)
        self._thread.start()

    def take(self) -> list[Deleted]:
        """What went since the last call."""
        taken = []
        while self._done:
            taken.append(self._done.popleft())
        return taken

    def _run(self, plan: Plan) -> None:
        for entry in plan.sessions:
            problem = ""
            try:
                delete_session(self._root, entry.name)
            except StoreError as error:
                problem = str(error)
            self._done.append(Deleted("session", entry.name, entry.size_bytes, problem))
        for segment in plan.segments:
            problem = ""
            try:
                (self._session / segment.file).unlink()
            except OSError as error:
                problem = f"{error.strerror}"
            self._done.append(Deleted("segment", segment.file, segment.size_bytes, problem))


def segments_of(session: Path) -> list[Segment]:
    """The video files of a session's own streams, in no order. What cannot be read is left out."""
    found: list[Segment] = []
    for stream in ("hdr", "reference", "secondary"):
        with contextlib.suppress(OSError), os.scandir(session / stream) as entries:
            for entry in entries:
                match = _SEGMENT.fullmatch(entry.name)
                if match and entry.is_file(follow_symlinks=False):
                    size = entry.stat(follow_symlinks=False).st_size
                    found.append(Segment(stream, f"{stream}/{entry.name}", int(match[1]), size))
    return found
