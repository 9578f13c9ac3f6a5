"""Disks that are full, stalled, broken and gone; each is a real one, made of a file."""

from __future__ import annotations

from tests.reliability.bench import Bench
from tests.reliability.disk import missing, small_disk
from tests.reliability.losses import STREAMS
from tests.reliability.table import Row, fault

BACK_S = 5.0
ALL = dict.fromkeys(STREAMS)


@fault(
    "disk_full",
    "disk full",
    "ext4 with no free block for 5 s, then room again",
    missing=missing,
)
def disk_full(bench: Bench) -> Row:
    with small_disk(bench.folder) as disk, bench.trial(root=disk.root) as trial:
        trial.begin()
        disk.fill()
        trial.says("disk", within_s=5.0)
        trial.lasts(5.0)
        disk.empty()
        trial.since()
        trial.back(within_s=BACK_S)
        trial.quiet()
        return trial.finish(suffers=ALL, tells=("disk", "disk space"))


@fault(
    "disk_read_only",
    "disk read-only",
    "ext4 finds an error in itself and is read-only from then on; after 5 s it is checked and mounted again",
    missing=missing,
)
def disk_read_only(bench: Bench) -> Row:
    with small_disk(bench.folder) as disk, bench.trial(root=disk.root) as trial:
        trial.begin()
        disk.find_error()
        trial.says("disk", within_s=5.0)
        trial.lasts(5.0)
        disk.repair()
        trial.since()
        trial.back(within_s=BACK_S)
        trial.quiet()
        note = "with what was written in the last second or two before, and not yet on the disk"
        return trial.finish(suffers=ALL, tells=("disk",), note=note, unexplained=STREAMS)


@fault(
    "disk_stalled",
    "disk slow",
    "every write to ext4 waits for 6 s (fsfreeze), as on a card that is busy with itself",
    missing=missing,
)
def disk_stalled(bench: Bench) -> Row:
    with small_disk(bench.folder) as disk, bench.trial(root=disk.root) as trial:
        trial.begin()
        disk.freeze()
        trial.says("disk", within_s=5.0)
        trial.lasts(3.0)
        disk.thaw()
        trial.since()
        trial.back(within_s=BACK_S)
        trial.quiet()
        return trial.finish(suffers=ALL, tells=("disk", "disk speed"))


@fault(
    "disk_removed",
    "disk removed",
    "unmounted under the recorder, and 5 s later mounted again, with another empty disk in its place",
    missing=missing,
)
def disk_removed(bench: Bench) -> Row:
    with small_disk(bench.folder) as disk, bench.trial(root=disk.root) as trial:
        trial.begin()
        disk.pull_out()
        trial.says("disk", within_s=5.0)
        trial.lasts(5.0)
        assert not list(disk.root.iterdir()), "recorded to the system's disk instead"
        disk.plug_in()
        trial.since()
        trial.back(within_s=BACK_S)
        trial.quiet()
        return trial.finish(suffers=ALL, tells=("disk",))
