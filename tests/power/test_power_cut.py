"""The power of a recording machine cut: a virtual one, with a disk that loses what is only in its cache.

Opt-in: ``TWINHDR_VM=1``, as root; docs/storage.md has the command. Each boot ends with the machine killed.
As every write is logged, its disk is also looked at as it was at earlier moments. Three disks for each
moment: one that keeps its cache, one that loses it, one that wrote any half of it.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge.store.recover import recover_all
from tests.edge import loop_disk
from tests.edge.lost import Lost, assert_all_readable, newest, print_worst, worst
from tests.power.disk_log import everything, half, none, replay
from tests.power.guest import DISK, Guest, guest, missing

BOOTS = 3
RECORDS_WITHIN_S = 600.0
FILM_S = 60.0
EARLIER = 8
"""Moments of each boot that are looked at besides its end."""
FIRST_S = 3.0
"""From the first video on: before, there is not yet what could be lost."""
MOST_LOST_S = 2.0
DISK_MB = 192
CONFIG = f"""\
version: 1
rig: {{width: 128, height: 96, reference: {{fps: 5}}, secondary: {{fps: 2.5}}}}
simulator: {{pace: 1}}
web: {{enabled: false}}
fuse: {{ladder: [reference]}}
hdr: {{segment_s: 2}}
masters: {{enabled: true, segment_s: 2}}
store: {{root: {DISK}/sessions, min_free_gb: 0, min_free_share: 0}}
"""


def why_not() -> str:
    """Why these tests cannot run here; empty where they can."""
    if os.environ.get("TWINHDR_VM") != "1":
        return "boots a virtual machine, 15 minutes: TWINHDR_VM=1, as root (docs/storage.md)"
    return missing() or loop_disk.missing()


@dataclass
class Growth:
    """How many bytes the log of a disk had, by the host's monotonic seconds."""

    log: Path
    seconds: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watched(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run, name="growth", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def at(self, moment_s: float) -> int:
        """The size that was seen last before."""
        return self.sizes[bisect_right(self.seconds, moment_s) - 1]

    def _run(self) -> None:
        while not self._stop.wait(0.005):
            size, now_s = self.log.stat().st_size, time.monotonic()
            self.seconds.append(now_s)
            self.sizes.append(size)


@dataclass(frozen=True)
class Film:
    """What a machine said of its recording."""

    session: str
    seconds: list[float]
    """When it was said, by the host's clock,"""
    until_ns: list[int]
    """and how far the film was then, in session time."""

    def since(self, t_ns: int, moment_s: float) -> float:
        """Seconds on the wall from when the frame at ``t_ns`` was there until ``moment_s``.

        A virtual machine may be too slow for its cameras: a second of film is longer there than a second.
        """
        later = next(
            (s for s, told in zip(self.seconds, self.until_ns, strict=True) if told >= t_ns), moment_s
        )
        return max(0.0, moment_s - later)


def film(machine: Guest) -> Film:
    said = [(s, line.split()) for s, line in machine.lines if line.startswith("FILMED ")]
    whole = [(s, words[1], int(words[2])) for s, words in said if len(words) == 3 and words[2].isdigit()]
    return Film(whole[-1][1], [s for s, _, _ in whole], [t_ns for _, _, t_ns in whole])


@contextmanager
def plugged_in(image: Path, at: Path) -> Iterator[Path]:
    """The disk at another machine. Its journal is played back."""
    at.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", image, at], check=True)
    try:
        yield at / "sessions"
    finally:
        subprocess.run(["umount", at], check=True)


def look(image: Path, at: Path, seen: Film, moment_s: float) -> tuple[Lost, int]:
    """What the running session lost, and how many files there are; fails where one cannot be read."""
    with plugged_in(image, at) as root:
        last = newest(root / seen.session)
        lost = Lost(*(seen.since(t, moment_s) for t in (last.reference, last.secondary, last.hdr)))
        recover_all(root, lambda _text: None, threading.Event())
        return lost, assert_all_readable(root)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """For disks, in memory where there is room: a log is flushed with each flush of the guest."""
    memory = Path("/dev/shm")
    if shutil.disk_usage(memory).free < 3 << 30:
        yield tmp_path
        return
    made = memory / f"twinhdr-power-{os.getpid()}"
    made.mkdir()
    yield made
    shutil.rmtree(made)


@pytest.mark.alone
@pytest.mark.timeout(3600)
@pytest.mark.skipif(why_not() != "", reason=why_not())
def test_at_most_two_seconds_are_lost_and_no_file(tmp_path: Path, folder: Path) -> None:
    """A roof has no uninterruptible power supply: what was filmed until the lightning must be there."""
    (tmp_path / "run.yaml").write_text(CONFIG)
    disk, before, cut, log = (folder / name for name in ("disk", "before", "cut", "log"))
    with disk.open("wb") as file:
        file.truncate(DISK_MB << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", disk], check=True)
    found: dict[str, list[Lost]] = {
        "keeps its cache": [],
        "loses its cache": [],
        "wrote half of its cache": [],
    }
    chance, files, unflushed = random.Random(8), 0, []
    for boot in range(BOOTS):
        shutil.copy2(disk, before)
        growth = Growth(log)
        arguments = (str(tmp_path / "run.yaml"), f"{DISK}/sessions")
        with guest(disk, log, "tests/power/recording.py", *arguments) as machine, growth.watched():
            machine.until("FILMED", RECORDS_WITHIN_S)
            begin_s = time.monotonic()
            time.sleep(FILM_S + chance.uniform(0.0, 2.0))  # what is cut is a film of this length
            end_s = machine.cut_power()
        seen = film(machine)
        moments = [end_s, *(chance.uniform(begin_s + FIRST_S, end_s) for _ in range(EARLIER))]
        for number, moment_s in enumerate(moments):
            choices = (everything, none, half(100 * boot + number))
            for (kind, losses), keep in zip(found.items(), choices, strict=True):
                shutil.copy2(before, cut)
                unflushed.append(replay(log, cut, growth.at(moment_s), keep))
                lost, count = look(cut, tmp_path / "mount", seen, moment_s)
                losses.append(lost)
                files += count
                print(
                    f"boot {boot}, {moment_s - begin_s:5.1f} s, a disk that {kind}: {lost}, {count} files",
                    flush=True,
                )
                if moment_s == end_s and keep is none:
                    shutil.copy2(cut, disk)  # what the next boot finds
        film_s = (seen.until_ns[-1] - seen.until_ns[0]) / 1e9 / (end_s - begin_s)
        print(f"boot {boot}: {film_s:.2f} s of film in a second")
    print(f"{sum(map(len, found.values()))} cuts, {files} files, all readable; ", end="")
    print(f"up to {max(unflushed) * 512 / 1e3:.0f} kB were not flushed")
    for kind, losses in found.items():
        print(f"a disk that {kind}:")
        print_worst(losses)
    assert max(map(worst, found.values())) <= MOST_LOST_S
