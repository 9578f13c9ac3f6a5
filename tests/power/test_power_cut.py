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
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from edge.store.recover import recover_all
from tests.edge import loop_disk
from tests.edge.lost import Lost, assert_all_readable, newest, print_worst, worst
from tests.power.disk_log import SECTOR, everything, half, none, replay
from tests.power.guest import DISK, Guest, guest, missing

BOOTS = 3
RECORDS_WITHIN_S = 600.0
FILM_S = 20.0
"""By the machine's clock; of the host's it is a multiple of that."""
FILMS_WITHIN_S = 900.0
EARLIER = 4
"""Moments of each boot that are looked at besides its end, by the clock; as many while it writes."""
MOST_LOST_S = 2.0
DISK_MB = 192
CONFIG = f"""\
version: 1
rig: {{width: 128, height: 96, reference: {{fps: 10}}, secondary: {{fps: 5}}}}
simulator: {{pace: 1}}
web: {{enabled: false}}
fuse: {{ladder: [reference]}}
hdr: {{segment_s: 10, preset: ultrafast}}
masters: {{enabled: true, segment_s: 10}}
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

    def when(self, size: int) -> float:
        """When it was seen to have so many."""
        return self.seconds[min(bisect_left(self.sizes, size), len(self.seconds) - 1)]

    def _run(self) -> None:
        while not self._stop.wait(0.005):
            size, now_s = self.log.stat().st_size, time.monotonic()
            self.seconds.append(now_s)
            self.sizes.append(size)


@dataclass(frozen=True)
class Film:
    """What a machine said of its recording, over time."""

    session: str
    host_s: list[float]
    """When it was said, by the host's clock,"""
    guest_s: list[float]
    """by its own,"""
    until_ns: list[int]
    """and how far the film was then, in session time."""

    def host_at(self, guest_s: float) -> float:
        """The host's time at a moment of the machine."""
        return float(np.interp(guest_s, self.guest_s, self.host_s))

    def guest_at(self, host_s: float) -> float:
        """The machine's time at a moment of the host."""
        return float(np.interp(host_s, self.host_s, self.guest_s))

    def since(self, t_ns: int, moment_s: float) -> float:
        """Seconds from when the frame at ``t_ns`` was there until ``moment_s``, by the machine's clock.

        Not by session time: where a machine is too slow for its cameras, a second of film takes longer.
        """
        told = next(
            (s for s, until in zip(self.guest_s, self.until_ns, strict=True) if until >= t_ns), moment_s
        )
        return max(0.0, moment_s - told)


def film(machine: Guest) -> Film:
    said = [(s, line.split()) for s, line in machine.lines if line.startswith("FILMED ")]
    whole = [(s, words) for s, words in said[:-1] if len(words) == 4]
    return Film(
        whole[-1][1][1],
        [s for s, _ in whole],
        [int(words[3]) / 1e9 for _, words in whole],
        [int(words[2]) for _, words in whole],
    )


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
        last, guest_s = newest(root / seen.session), seen.guest_at(moment_s)
        lost = Lost(*(seen.since(t, guest_s) for t in (last.reference, last.secondary, last.hdr)))
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


@dataclass(frozen=True)
class Boot:
    """A machine that recorded from ``begin_s`` until its power was cut at ``end_s``, by the host's clock."""

    film: Film
    growth: Growth
    begin_s: float
    end_s: float

    def told(self) -> str:
        """How its own time went beside the host's."""
        film_s = (self.film.until_ns[-1] - self.film.until_ns[0]) / 1e9
        machine_s = self.film.guest_s[-1] - self.film.guest_s[0]
        host_s = self.end_s - self.begin_s
        return f"{film_s:.1f} s of film in {machine_s:.1f} of its own and {host_s:.1f} of the host's"


def boot(disk: Path, log: Path, config: Path, film_s: float) -> Boot:
    """Records for ``film_s`` of the machine, from the first video on."""
    growth = Growth(log)
    arguments = (str(config), f"{DISK}/sessions")
    with guest(disk, log, "tests/power/recording.py", *arguments) as machine, growth.watched():
        machine.until("FILMED", RECORDS_WITHIN_S, count=3)
        begin_s, begun_s = time.monotonic(), film(machine).guest_s[0]
        while film(machine).guest_s[-1] < begun_s + film_s:
            assert time.monotonic() < begin_s + FILMS_WITHIN_S, film(machine)
            time.sleep(0.1)  # polls another machine; there is nothing to wait on
        end_s = machine.cut_power()
    return Boot(film(machine), growth, begin_s, end_s)


def moments(ended: Boot, chance: random.Random) -> list[tuple[float, int]]:
    """When the power is cut, by the host's clock, and how long the log of the disk was then."""
    seen, growth = ended.film, ended.growth
    own_s = [chance.uniform(seen.guest_s[0], seen.guest_s[-1]) for _ in range(EARLIER)]
    by_clock = [seen.host_at(moment_s) for moment_s in own_s]
    first, last = growth.at(seen.host_s[0]), growth.at(ended.end_s)
    writing = [chance.randrange(first, last) for _ in range(EARLIER)]
    found = [(moment_s, growth.at(moment_s)) for moment_s in (ended.end_s, *by_clock)]
    return [*found, *((growth.when(size), size) for size in writing)]


@pytest.mark.alone
@pytest.mark.timeout(3600)
@pytest.mark.skipif(why_not() != "", reason=why_not())
def test_at_most_two_seconds_are_lost_and_no_file(tmp_path: Path, folder: Path) -> None:
    """A roof has no uninterruptible power supply: what was filmed until the lightning must be there."""
    config = tmp_path / "run.yaml"
    config.write_text(CONFIG)
    disk, before, log = (folder / name for name in ("disk", "before", "log"))
    with disk.open("wb") as file:
        file.truncate(DISK_MB << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", disk], check=True)
    caches = {"keeps": everything, "loses": none, "wrote half of": half(9)}
    found: dict[str, list[Lost]] = {kind: [] for kind in caches}
    chance, files, unflushed = random.Random(8), 0, []
    for number in range(BOOTS):
        shutil.copy2(disk, before)
        ended = boot(disk, log, config, FILM_S + chance.uniform(0.0, 1.0))
        print(f"boot {number}: {ended.told()}", flush=True)
        for moment_s, until in moments(ended, chance):
            for kind, keep in caches.items():
                # A name of its own: a loop device that was not let go of yet would show the last one's cache.
                cut = folder / f"cut-{len(unflushed)}"
                shutil.copy2(before, cut)
                unflushed.append(replay(log, cut, until, keep))
                if moment_s == ended.end_s and keep is none:
                    shutil.copy2(cut, disk)  # what the next boot finds
                lost, count = look(cut, tmp_path / "mount", ended.film, moment_s)
                cut.unlink()
                found[kind].append(lost)
                files += count
                print(f"  {ended.film.guest_at(moment_s):5.1f} s, {kind} its cache of ", end="")
                print(f"{unflushed[-1] * SECTOR} bytes: {lost}, {count} files", flush=True)
    print(f"{len(unflushed)} cuts, {files} files, all readable; ", end="")
    print(f"up to {max(unflushed) * SECTOR / 1e3:.0f} kB were not flushed")
    for kind, losses in found.items():
        print(f"a disk that {kind} its cache:")
        print_worst(losses)
    assert max(map(worst, found.values())) <= MOST_LOST_S
