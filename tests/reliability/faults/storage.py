"""Disks that are full, stalled, broken and gone; each is a real one, made of a file."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.edge.loop_disk import LoopDisk, missing
from tests.reliability.bench import Bench
from tests.reliability.losses import STREAMS
from tests.reliability.table import Row, fault

BACK_S = 5.0
ALL = dict.fromkeys(STREAMS)
UNSYNCED = "with what was written in the last second or two before, and not yet on the disk"


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[LoopDisk]:
    """Mounted, and gone at the end whatever was done to it."""
    disk = LoopDisk(folder, 100)
    try:
        yield disk
    finally:
        disk.close()


def attach_another(disk: LoopDisk) -> None:
    """An empty disk in place of the one that was pulled out."""
    assert not list(disk.mount.iterdir()), "recorded to the system's disk instead"
    size = disk.image.stat().st_size
    disk.image = disk.image.with_name("other.img")
    with disk.image.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(disk.image)], check=True, capture_output=True)
    disk.attach()


def outage(
    bench: Bench,
    breaks: Callable[[LoopDisk], None],
    mends: Callable[[LoopDisk], None],
    *,
    for_s: float = 5.0,
    more: int = 30,
    tells: tuple[str, ...] = ("disk",),
    unsynced: bool = False,
) -> Row:
    """``breaks`` the disk after ``more`` frames and ``mends`` it ``for_s`` after the page has told.

    ``unsynced``: what had not reached the disk yet may be lost without a line that tells.
    """
    with small_disk(bench.folder) as disk, bench.trial(root=disk.mount) as trial:
        trial.begin(more=more)
        breaks(disk)
        trial.says("disk", within_s=5.0)
        trial.lasts(for_s)
        mends(disk)
        trial.since()
        trial.back(within_s=BACK_S)
        trial.quiet()
        note, unexplained = (UNSYNCED, STREAMS) if unsynced else ("", ())
        return trial.finish(suffers=ALL, tells=tells, note=note, unexplained=unexplained)


@fault(
    "disk_full",
    "disk full",
    "ext4 with no free block for 5 s, then room again",
    missing=missing,
)
def disk_full(bench: Bench) -> Row:
    return outage(bench, LoopDisk.fill, LoopDisk.free, tells=("disk", "disk space"))


@fault(
    "disk_read_only",
    "disk read-only",
    "ext4 finds an error in itself and is read-only from then on; after 5 s it is mounted again",
    missing=missing,
)
def disk_read_only(bench: Bench) -> Row:
    return outage(bench, LoopDisk.find_error, LoopDisk.replug, unsynced=True)


@fault(
    "disk_stalled",
    "disk slow",
    "every write to ext4 waits for 6 s (fsfreeze), as on a card that is busy with itself",
    missing=missing,
)
def disk_stalled(bench: Bench) -> Row:
    return outage(bench, LoopDisk.freeze, LoopDisk.thaw, for_s=3.0, tells=("disk", "disk speed"))


@fault(
    "disk_removed",
    "disk removed",
    "ext4 is cut off as if its cable were pulled, nothing more reaches it; plugged in again after 5 s",
    missing=missing,
)
def disk_removed(bench: Bench) -> Row:
    return outage(bench, LoopDisk.cut_power, LoopDisk.replug, more=60, unsynced=True)


@fault(
    "disk_exchanged",
    "disk exchanged",
    "unmounted under the recorder; 5 s later there is another, empty disk in its place",
    missing=missing,
)
def disk_exchanged(bench: Bench) -> Row:
    return outage(bench, LoopDisk.detach, attach_another)
