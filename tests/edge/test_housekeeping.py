"""What room is left: a recorder that fills its disk loses the end of everything."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from edge import housekeeping
from edge.config_schema import StoreConfig
from edge.health import Health
from edge.housekeeping import Housekeeper, disk_floor_bytes

S = 1_000_000_000


def store(min_free_gb: float = 0.0, min_free_share: float = 0.0) -> StoreConfig:
    return StoreConfig(root=Path("/"), min_free_gb=min_free_gb, min_free_share=min_free_share)


def gauge(health: Health, name: str) -> float | None:
    return health.snapshot(0).gauges.get(name, {}).get(())


@pytest.mark.parametrize(
    ("gb", "share", "total", "floor"),
    [(5, 0.1, 20e9, 5e9), (5, 0.1, 100e9, 10e9), (0, 0, 1e12, 0), (0, 0.9, 1e9, 0.9e9), (5, 0, 1e9, 5e9)],
)
def test_the_floor_is_the_larger_of_both(gb: float, share: float, total: float, floor: float) -> None:
    """5 GB or a tenth, whichever is more: documented so, relied on so."""
    assert disk_floor_bytes(store(gb, share), int(total)) == pytest.approx(floor)


def test_recording_ends_at_the_floor_and_says_so(tmp_path: Path) -> None:
    """A full disk would tear the last files and take the log with it."""
    health = Health()
    assert Housekeeper(health, tmp_path, store()).tick(10.0, S)
    free_gb = shutil.disk_usage(tmp_path).free / 1e9
    assert Housekeeper(health, tmp_path, store(free_gb * 0.5)).tick(10.0, 2 * S)
    assert not Housekeeper(health, tmp_path, store(free_gb * 2)).tick(10.0, 100 * S)
    (condition,) = [c for c in health.snapshot(100 * S).conditions if c.name == "disk"]
    assert not condition.ok
    assert "min_free_gb" in condition.text
    assert condition.todo


def test_the_time_left_follows_from_what_was_written(tmp_path: Path) -> None:
    """ "Two hours left" is what the operator plans by."""
    health, keeper = Health(), None
    keeper = Housekeeper(health, tmp_path, store())
    keeper.tick(10.0, S)
    assert gauge(health, "disk_left_s") is None, "nothing was written: nobody knows"
    (tmp_path / "hdr").mkdir()
    (tmp_path / "hdr" / "0.mp4").write_bytes(bytes(1_000_000))
    keeper.tick(10.0, 2 * S)
    free = gauge(health, "disk_free_bytes")
    assert free is not None
    assert gauge(health, "disk_left_s") == pytest.approx(free / 100_000, rel=0.05)


def test_each_stream_counts_what_it_grew_by(tmp_path: Path) -> None:
    """Counters only grow: a file that is replaced by a smaller one must not break the page."""
    health = Health()
    keeper = Housekeeper(health, tmp_path, store())
    for stream in ("hdr", "reference"):
        (tmp_path / stream / "deeper").mkdir(parents=True)
    (tmp_path / "hdr" / "0").write_bytes(bytes(100))
    (tmp_path / "hdr" / "deeper" / "1").write_bytes(bytes(50))
    keeper.tick(2.0, S)
    (tmp_path / "hdr" / "0").write_bytes(bytes(20))
    (tmp_path / "reference" / "0").write_bytes(bytes(7))
    keeper.tick(3.0, 2 * S)
    (tmp_path / "hdr" / "0").write_bytes(bytes(30))
    keeper.tick(4.0, 3 * S)
    totals = health.snapshot(0).totals["recorded_bytes"]
    assert totals["hdr",] == 160
    assert totals["reference",] == 7


def test_files_that_come_and_go_do_not_end_the_recording(tmp_path: Path) -> None:
    """Segments are written beside and renamed into place; a race there must not cost the video."""
    (tmp_path / "hdr").mkdir()
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            for number in range(20):
                path = tmp_path / "hdr" / f"{number}.tmp"
                path.write_bytes(b"x")
                path.rename(path.with_suffix(".mp4"))
            for number in range(20):
                (tmp_path / "hdr" / f"{number}.mp4").unlink()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        keeper = Housekeeper(Health(), tmp_path, store())
        for number in range(200):
            assert keeper.tick(2.0 + number, number * S)
    finally:
        stop.set()
        thread.join()


def test_a_disk_that_went_away_ends_the_recording_in_order(tmp_path: Path) -> None:
    """A pulled USB disk is a condition with a name, not a traceback."""
    health = Health()
    folder = tmp_path / "gone"
    assert not Housekeeper(health, folder, store()).tick(5.0, S)
    (condition,) = health.snapshot(S).conditions
    assert (condition.name, condition.ok) == ("disk", False)
    assert str(folder) in condition.text


def test_dangling_links_and_locked_folders_count_nothing(tmp_path: Path) -> None:
    """People put links into session folders."""
    (tmp_path / "hdr").mkdir()
    (tmp_path / "hdr" / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "hdr" / "0").write_bytes(bytes(10))
    health = Health()
    assert Housekeeper(health, tmp_path, store()).tick(2.0, S)
    assert set(health.snapshot(0).totals["recorded_bytes"]) == {("hdr",)}


def test_a_machine_without_sensors_has_no_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers and other kernels lack these files; a zero would be a lie."""
    for broken in (tmp_path / "missing", tmp_path):
        monkeypatch.setattr(housekeeping, "THERMAL", broken)
        monkeypatch.setattr(housekeeping, "STATM", broken)
        health = Health()
        assert Housekeeper(health, tmp_path, store()).tick(2.0, S)
        assert gauge(health, "rss_bytes") is None
        assert gauge(health, "cpu_celsius") is None
    (tmp_path / "temp").write_text("48312\n")
    (tmp_path / "statm").write_text("100 25 1\n")
    monkeypatch.setattr(housekeeping, "THERMAL", tmp_path / "temp")
    monkeypatch.setattr(housekeeping, "STATM", tmp_path / "statm")
    Housekeeper(health, tmp_path, store()).tick(2.0, S)
    assert gauge(health, "cpu_celsius") == pytest.approx(48.312)
    assert gauge(health, "rss_bytes") == 25 * os.sysconf("SC_PAGE_SIZE")


def test_memory_of_this_process_is_known_here(tmp_path: Path) -> None:
    """The soak test and the page read it."""
    health = Health()
    Housekeeper(health, tmp_path, store()).tick(2.0, S)
    assert (gauge(health, "rss_bytes") or 0) > 10e6
