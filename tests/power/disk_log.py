"""What a virtual disk was told, in order: qemu's blklogwrites, in the format of the kernel's dm-log-writes.

A disk that loses its power keeps what it was told to flush. Of what came after, any block of 4 KiB may be
there: the page of a flash, the physical sector of a disk. Smaller ones tear ext4's superblock, which it reads
before its journal.
"""

from __future__ import annotations

import itertools
import os
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

MAGIC = 0x6A736677736872
SECTOR = 512
BLOCK = 8
"""Sectors that are written whole or not at all."""
FLUSH, FUA, DISCARD = 1, 2, 4
_SUPER = struct.Struct("<QQQI")
_ENTRY = struct.Struct("<QQQQ")
Choice = Callable[[int], bool]
"""Whether an unflushed block, told by its place in the order of writing, came to the disk."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One request. ``sector`` and ``count`` in sectors of 512 bytes; the others in bytes of the log."""

    flags: int
    sector: int
    count: int
    data_at: int
    end: int


def entries(log: Path) -> Iterator[Entry]:
    """Requests up to the first that is not whole. Raises ValueError where ``log`` is none."""
    size = log.stat().st_size
    with log.open("rb") as file:
        head = file.read(_SUPER.size)
        if len(head) < _SUPER.size:
            raise ValueError(f"{log} is empty")
        magic, version, _, sector_size = _SUPER.unpack(head)
        if (magic, version, sector_size) != (MAGIC, 1, SECTOR):
            raise ValueError(f"{log} is no log of writes: {magic:#x}, version {version}, {sector_size} bytes")
        at = SECTOR
        while at + SECTOR <= size:
            file.seek(at)
            sector, count, flags, _ = _ENTRY.unpack(file.read(_ENTRY.size))
            if not flags and not count:
                return  # a hole: this request was on its way
            data_at = at + SECTOR
            end = data_at + (0 if flags & DISCARD else count * SECTOR)
            if end > size:
                return
            yield Entry(flags, sector, count, data_at, end)
            at = end


def replay(log: Path, disk: Path, until: int, keep: Choice) -> int:
    """Bring ``disk``, as it was before the log, to a power cut when the log had ``until`` bytes.

    Returns how many sectors were not flushed yet; ``keep`` chooses of these.
    """
    unflushed: list[Entry] = []
    fd, source = os.open(disk, os.O_RDWR), os.open(log, os.O_RDONLY)
    try:
        for entry in itertools.takewhile(lambda entry: entry.end <= until, entries(log)):
            if entry.flags & FLUSH:
                _put(source, fd, unflushed, None)
                unflushed = []
            if entry.count and not entry.flags & DISCARD:
                if entry.flags & FUA:
                    _put(source, fd, [entry], None)
                else:
                    unflushed.append(entry)
        return _put(source, fd, unflushed, keep)
    finally:
        os.close(fd)
        os.close(source)


def _put(source: int, disk: int, some: list[Entry], keep: Choice | None) -> int:
    number = 0
    for entry in some:
        data = os.pread(source, entry.count * SECTOR, entry.data_at)
        end, sector = entry.sector + entry.count, entry.sector
        while sector < end:
            upto = min(end, (sector // BLOCK + 1) * BLOCK)
            if keep is None or keep(number):
                part = data[(sector - entry.sector) * SECTOR : (upto - entry.sector) * SECTOR]
                os.pwrite(disk, part, sector * SECTOR)
            number, sector = number + 1, upto
    return sum(entry.count for entry in some)


def none(_number: int) -> bool:
    """The cache of the disk is lost as a whole."""
    return False


def everything(_number: int) -> bool:
    """A disk with a capacitor, or one without a cache."""
    return True


def half(seed: int) -> Choice:
    """Any half of the cache, in no order."""
    chance = random.Random(seed)
    return lambda _number: chance.random() < 0.5
