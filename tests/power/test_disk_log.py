"""The model of a disk with a volatile cache; the power cuts of test_power_cut.py are as true as it is."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.power.disk_log import DISCARD, FLUSH, FUA, MAGIC, SECTOR, entries, everything, half, none, replay


def made(path: Path, *requests: tuple[int, int, bytes]) -> list[int]:
    """A log of (flags, sector, data). Returns its length after each request."""
    out, ends = bytearray(struct.pack("<QQQI", MAGIC, 1, 0, SECTOR).ljust(SECTOR, b"\0")), []
    for flags, sector, data in requests:
        out += struct.pack("<QQQQ", sector, len(data) // SECTOR, flags, 0).ljust(SECTOR, b"\0") + data
        ends.append(len(out))
    path.write_bytes(bytes(out))
    return ends


def sectors(letters: str) -> bytes:
    return b"".join(letter.encode() * SECTOR for letter in letters)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    file = tmp_path / "disk"
    file.write_bytes(sectors("--------"))
    return file


def shown(disk: Path) -> str:
    data = disk.read_bytes()
    return "".join(chr(data[i * SECTOR]) for i in range(len(data) // SECTOR))


def test_what_was_flushed_stays_and_the_rest_may_not(tmp_path: Path, disk: Path) -> None:
    """A model that kept more would call a recorder safe that never syncs."""
    log = tmp_path / "log"
    ends = made(log, (0, 0, sectors("ab")), (FLUSH, 0, b""), (0, 1, sectors("cd")))
    assert replay(log, disk, ends[-1], none) == 2
    assert shown(disk) == "ab------"
    replay(log, disk, ends[-1], everything)
    assert shown(disk) == "acd-----"


def test_a_flush_covers_what_came_before_it_only(tmp_path: Path, disk: Path) -> None:
    """A request with a flush of its own is written after it, and may be lost."""
    log = tmp_path / "log"
    ends = made(log, (0, 0, sectors("a")), (FLUSH, 4, sectors("b")), (FUA, 5, sectors("c")))
    replay(log, disk, ends[-1], none)
    assert shown(disk) == "a----c--"


def test_a_cut_in_the_middle(tmp_path: Path, disk: Path) -> None:
    """What was on its way when the power went counts as never told."""
    log = tmp_path / "log"
    ends = made(log, (0, 0, sectors("ab")), (FLUSH, 0, b""))
    replay(log, disk, ends[1] - 1, none)
    assert shown(disk) == "--------"


def test_any_block_of_the_cache(tmp_path: Path, disk: Path) -> None:
    """Disks write their cache in their own order, and a block of theirs whole or not at all."""
    log = tmp_path / "log"
    disk.write_bytes(sectors("-" * 80))
    ends = made(log, (0, 4, sectors("x" * 72)))
    assert replay(log, disk, ends[-1], half(3)) == 72
    found = shown(disk)
    assert 0 < found[4:76].count("-") < 72
    assert {len(set(found[at : at + 8])) for at in range(8, 72, 8)} == {1}
    assert len(set(found[4:8])) == len(set(found[72:76])) == 1


def test_discarded_sectors_carry_no_data(tmp_path: Path, disk: Path) -> None:
    """Else everything after the first TRIM is misread."""
    log = tmp_path / "log"
    ends = made(log, (0, 3, sectors("z")))
    with log.open("ab") as file:
        file.write(struct.pack("<QQQQ", 0, 8, DISCARD, 0).ljust(SECTOR, b"\0"))
        file.write(struct.pack("<QQQQ", 1, 1, FUA, 0).ljust(SECTOR, b"\0") + sectors("y"))
    assert [entry.count for entry in entries(log)] == [1, 8, 1]
    replay(log, disk, ends[-1] + 3 * SECTOR, everything)
    assert shown(disk) == "-y-z----"


def test_a_log_ends_where_a_request_is_not_whole(tmp_path: Path) -> None:
    """qemu was killed in the middle of writing it."""
    log = tmp_path / "log"
    ends = made(log, (0, 0, sectors("a")), (0, 1, sectors("b")))
    log.write_bytes(log.read_bytes()[: ends[1] - 1])
    assert len(list(entries(log))) == 1
    with log.open("ab") as file:
        file.truncate(ends[1] + 64 * SECTOR)
    assert len(list(entries(log))) == 2
    log.write_bytes(b"")
    with pytest.raises(ValueError, match="empty"):
        list(entries(log))
    log.write_bytes(bytes(4096))
    with pytest.raises(ValueError, match="no log of writes"):
        list(entries(log))
