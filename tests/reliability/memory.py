"""A memory control group of its own, of either version. Needs root."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

V2, V1 = Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory")


def missing() -> str:
    """Why no group can be made here; empty where one can."""
    if os.geteuid() != 0:
        return "needs root, to limit a process' memory"
    try:
        with group():
            return ""
    except OSError as error:
        return f"needs a memory control group, and {error.filename} cannot be made: {error.strerror}"


@dataclass(frozen=True, slots=True)
class Group:
    """``limit`` counts the memory of its processes and what of their files the kernel keeps."""

    folder: Path

    def add(self, pid: int) -> None:
        (self.folder / "cgroup.procs").write_text(str(pid))

    def limit(self, limit_bytes: int | None) -> None:
        name = "memory.max" if self._v2 else "memory.limit_in_bytes"
        none = "max" if self._v2 else "-1"
        (self.folder / name).write_text(none if limit_bytes is None else str(limit_bytes))

    @property
    def own_bytes(self) -> int:
        """What its processes hold that is no file."""
        stat = dict(line.split() for line in (self.folder / "memory.stat").read_text().splitlines())
        return int(stat["anon" if self._v2 else "rss"])

    @property
    def _v2(self) -> bool:
        return (self.folder / "cgroup.controllers").exists()


@contextlib.contextmanager
def group() -> Iterator[Group]:
    """Empty, and gone at the end; its processes must have ended."""
    above = V1 if V1.is_dir() else V2
    folder = above / f"twinhdr-test-{os.getpid()}-{time.monotonic_ns() % 10**9}"
    folder.mkdir()
    try:
        if not (folder / "memory.stat").exists():
            raise OSError(2, "the memory controller is not there", str(folder))
        yield Group(folder)
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()
