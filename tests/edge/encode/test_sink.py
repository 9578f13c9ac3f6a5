"""What a power cut costs is what was not yet synced; a sync that fails must not pass in silence."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from edge.encode.sink import DiskSync, Sink


def test_what_is_written_is_there_at_once(tmp_path: Path) -> None:
    """A killed process must leave every byte it wrote."""
    sync = DiskSync(None)
    sink = Sink(tmp_path / "x", sync)
    for part in (b"abc", bytearray(b"defg"), memoryview(b"hi")):
        assert sink.write(part) == len(part)
        assert (tmp_path / "x").stat().st_size == sink.size
    sink.close()
    sink.close()
    sync.close()
    assert (tmp_path / "x").read_bytes() == b"abcdefghi"


def test_a_failing_disk_is_told_at_the_next_write(tmp_path: Path) -> None:
    """fdatasync reports lost data once, beside the writer; the writer must hear of it and stop trusting."""
    sync = DiskSync(0.001)
    sink = Sink(tmp_path / "x", sync)
    read_end, write_end = os.pipe()
    sync.watch(write_end)  # a pipe cannot be synced: the kernel says EINVAL, as a broken disk says EIO

    def write_on() -> None:
        deadline = time.monotonic() + 20.0
        while time.monotonic() < deadline:
            sink.write(b"x")

    with pytest.raises(OSError, match="Invalid argument"):
        write_on()
    sync.watch(None)
    sink.close()
    sync.close()
    for fd in (read_end, write_end):
        os.close(fd)


def test_syncing_really_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a second is the promise; here a thousand times, on the file that is open just now."""
    synced: list[int] = []
    real = os.fdatasync

    def fdatasync(fd: int) -> None:
        synced.append(fd)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    sync = DiskSync(0.001)
    for name in ("a", "b"):
        sink = Sink(tmp_path / name, sync)
        begin, deadline = len(synced), time.monotonic() + 20.0
        while len(synced) < begin + 3 and time.monotonic() < deadline:
            sink.write(b"x")
        assert len(synced) >= begin + 3
        sink.close()
    sync.close()
    sync.close()
