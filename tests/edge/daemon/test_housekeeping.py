"""What room is left: a recorder that fills its disk loses the end of everything."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.config.schema import StoreConfig
from edge.daemon import housekeeping
from edge.daemon.housekeeping import Housekeeper, disk_floor_bytes
from edge.health.health import Health
from edge.health.snapshot import HealthSnapshot
from edge.session.recording import Session, SessionWriter
from edge.store.catalogue import keep_session, list_sessions
from edge.store.gate import DiskGate
from edge.store.keeper import StoreKeeper
from edge.store.wallclock import Reading
from tests.edge.store.test_store import header, record

S = 1_000_000_000


def store(root: Path = Path("/"), gb: float = 0.0, share: float = 0.0, delete: str = "never") -> StoreConfig:
    return StoreConfig(root=root, min_free_gb=gb, min_free_share=share, delete=delete)  # type: ignore[arg-type]


@pytest.fixture
def session(tmp_path: Path) -> Iterator[SessionWriter]:
    writer = SessionWriter.create(
        tmp_path / "s000009-20260722T120000Z", header(), gate=DiskGate(), sync_s=None
    )
    writer.sidecar.start(0)
    yield writer
    writer.sidecar.close()


def gauge(health: Health, name: str) -> float | None:
    return health.snapshot(0).gauges.get(name, {}).get(())


def condition(health: Health, name: str) -> Any:
    (found,) = [c for c in health.snapshot(0).conditions if c.name == name]
    return found


def after_a_round(keeper: Housekeeper, health: Health) -> HealthSnapshot:
    keeper.round()
    return health.snapshot(0)


def deleted(snapshot: HealthSnapshot, what: str) -> int:
    return snapshot.totals.get("deleted", {}).get((what,), 0)


def until(true: Callable[[], bool], timeout_s: float = 20.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not true() and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    return true()


@pytest.mark.parametrize(
    ("gb", "share", "total", "floor"),
    [(5, 0.1, 20e9, 5e9), (5, 0.1, 100e9, 10e9), (0, 0, 1e12, 0), (0, 0.9, 1e9, 0.9e9), (5, 0, 1e9, 5e9)],
)
def test_the_floor_is_the_larger_of_both(gb: float, share: float, total: float, floor: float) -> None:
    """5 GB or a tenth, whichever is more: documented so, relied on so."""
    assert disk_floor_bytes(store(gb=gb, share=share), int(total)) == pytest.approx(floor)


def test_recording_pauses_at_the_floor_says_so_and_goes_on(session: SessionWriter) -> None:
    """A full disk would tear the last files and take the log with it; a roof has nobody to press start."""
    health, gate = Health(), session.gate
    assert gate is not None
    free_gb = shutil.disk_usage(session.path).free / 1e9
    keeper = Housekeeper(health, session, store(gb=free_gb * 0.5))
    keeper.round()
    assert keeper.tick(10.0, S)
    assert gate.blocked is None
    keeper.configure(store(gb=free_gb * 2))
    keeper.round()
    assert keeper.tick(11.0, 100 * S)
    assert gate.blocked is not None
    gate.lost("masters", "secondary", 41)  # type: ignore[unreachable] # mypy: another thread changed it
    gate.lost("masters", "secondary", 42)
    found = condition(health, "disk")
    assert not found.ok
    assert "must stay" in found.text
    assert found.todo
    assert not condition(health, "disk space").ok
    keeper.configure(store(gb=free_gb * 0.5))
    keeper.round()
    keeper.tick(12.0, 200 * S)
    assert gate.blocked is None
    assert condition(health, "disk").ok
    totals = health.snapshot(0).totals
    assert totals["disk_faults"]["disk_full",] == 1
    assert totals["drops"]["masters", "disk_full"] == 2
    session.sidecar.end()
    lines = Session.open(session.path)
    (drop,) = lines.records("drop")
    assert (drop.fields["camera"], drop.fields["seq"], drop.fields["count"]) == ("secondary", 41, 2)
    assert [record.fields["ok"] for record in lines.records("disk")] == [False, True]


def test_old_sessions_make_room_and_it_is_told(tmp_path: Path, session: SessionWriter) -> None:
    """The device on the roof must go on for ever, and say what went."""
    for number in (1, 2, 3):
        record(tmp_path / f"s{number:06d}-20260722T110000Z", size=1_000_000)
    keep_session(tmp_path, "s000001-20260722T110000Z", True)
    record(tmp_path / "by-hand", size=1_000_000)
    (tmp_path / "photos").mkdir()
    free_gb = shutil.disk_usage(tmp_path).free / 1e9
    health = Health()
    keeper = Housekeeper(health, session, store(tmp_path, gb=free_gb * 2, delete="sessions"))
    keeper.round()

    def gone() -> bool:
        return len(list_sessions(tmp_path)) == 3

    assert until(gone)
    assert until(lambda: deleted(after_a_round(keeper, health), "session") == 2)
    left = {entry.name for entry in list_sessions(tmp_path)}
    assert left == {"s000001-20260722T110000Z", "by-hand", session.path.name}
    assert (tmp_path / "photos").is_dir()
    totals = health.snapshot(0).totals
    assert totals["deleted_bytes"]["session",] > 2_000_000
    events = [event.text for event in health.snapshot(0).events]
    assert any("deleted session s000002-" in text for text in events)
    assert session.gate is not None
    assert session.gate.blocked is not None, "the floor is still out of reach"


def test_then_the_oldest_files_of_the_running_session_go(tmp_path: Path, session: SessionWriter) -> None:
    """A session without end fills any disk; of each stream the newest two files stay."""
    for stream, files in (("hdr", 4), ("reference", 8)):
        (session.path / stream).mkdir()
        for number in range(files):
            suffix = "mp4" if stream == "hdr" else "mkv"
            (session.path / stream / f"{number:06d}.{suffix}").write_bytes(bytes(1000))
    health = Health()
    free_gb = shutil.disk_usage(tmp_path).free / 1e9
    keeper = Housekeeper(health, session, store(tmp_path, gb=free_gb * 2, delete="segments"))
    keeper.round()
    assert until(lambda: len(list(session.path.glob("*/*.m*"))) == 4)
    assert until(lambda: deleted(after_a_round(keeper, health), "segment") == 8)
    assert sorted(path.name for path in session.path.glob("*/*.m*")) == [
        "000002.mp4", "000003.mp4", "000006.mkv", "000007.mkv",
    ]  # fmt: skip
    session.sidecar.end()
    assert len(list(Session.open(session.path).records("deleted"))) == 8


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_recording_that_a_person_named_loses_nothing(tmp_path: Path, elsewhere: bool) -> None:
    """``twinhdr run --session ./mine`` on a full laptop must not delete what lies elsewhere, nor itself."""
    root = tmp_path / "root"
    record(root / "s000001-20260722T110000Z")
    path = tmp_path / "mine" if elsewhere else root / "mine"
    writer = SessionWriter.create(path, header(), gate=DiskGate(), sync_s=None)
    (path / "hdr").mkdir()
    for number in range(5):
        (path / "hdr" / f"{number:06d}.mp4").write_bytes(bytes(10))
    free_gb = shutil.disk_usage(tmp_path).free / 1e9
    keeper = Housekeeper(Health(), writer, store(root, gb=free_gb * 2, delete="segments"))
    keeper.round()
    assert until(lambda: not keeper._keeper._eraser.busy)
    writer.sidecar.close()
    assert len(list((path / "hdr").iterdir())) == 5
    assert (root / "s000001-20260722T110000Z").exists() == elsewhere


def test_the_time_left_follows_from_what_was_written(session: SessionWriter) -> None:
    """ "Two hours left" is what the operator plans by."""
    health = Health()
    keeper = Housekeeper(health, session, store())
    keeper.round()
    keeper.tick(10.0, S)
    assert gauge(health, "disk_left_s") is None, "nothing was written: nobody knows"
    (session.path / "hdr").mkdir()
    (session.path / "hdr" / "000000.mp4").write_bytes(bytes(1_000_000))
    assert until(lambda: after_a_round(keeper, health).t_ns == 0 and keeper._keeper.state.bytes_per_s > 0)
    keeper.tick(10.0, 2 * S)
    free, rate = gauge(health, "disk_free_bytes"), keeper._keeper.state.bytes_per_s
    assert free is not None
    assert gauge(health, "disk_left_s") == pytest.approx(free / rate, rel=0.05)


def test_each_stream_counts_what_it_grew_by(session: SessionWriter) -> None:
    """Counters only grow: segments that are deleted must not break the page."""
    health, folder = Health(), session.path
    keeper = Housekeeper(health, session, store())
    for stream in ("hdr", "reference"):
        (folder / stream).mkdir()
    (folder / "hdr" / "000000.mp4").write_bytes(bytes(150))
    for change in (
        lambda: None,
        lambda: (folder / "reference" / "000000.mkv").write_bytes(bytes(7)),
        lambda: (folder / "hdr" / "000000.mp4").write_bytes(bytes(100)),
        lambda: (folder / "hdr" / "000001.mp4").write_bytes(bytes(10)),
    ):
        change()
        keeper.round()
        keeper.tick(2.0, S)
    totals = health.snapshot(0).totals["recorded_bytes"]
    assert totals["hdr",] == 160
    assert totals["reference",] == 7


def test_a_disk_that_hangs_holds_up_nobody(session: SessionWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card that collects its garbage for ten seconds must not stop the main loop, and is named."""
    hangs, asked = threading.Event(), threading.Event()
    real = shutil.disk_usage

    def usage(path: Path) -> Any:
        asked.set()
        assert hangs.wait(30)
        return real(path)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    health = Health()
    keeper = Housekeeper(health, session, store())
    keeper.start()
    with contextlib.closing(keeper):
        assert asked.wait(20)
        now_ns = time.monotonic_ns()
        assert keeper.tick(1.0, now_ns)
        keeper.tick(4.0, now_ns + 4 * S)
        assert not condition(health, "disk").ok
        assert "has not answered" in condition(health, "disk").text
        hangs.set()
        assert until(lambda: keeper._keeper.state.free_bytes is not None)
    keeper.tick(5.0, time.monotonic_ns())
    assert condition(health, "disk").ok


def test_a_clock_that_is_set_is_noted_and_nothing_else_changes(
    tmp_path: Path, session: SessionWriter
) -> None:
    """A recording begun in 1970 can be dated later; a day's jump in mid-recording breaks nothing."""
    record(tmp_path / "s000001-20260722T110000Z")
    readings = [
        Reading(0, 10 * S, False),
        Reading(S, 11 * S, False),
        Reading(2 * S, (12 + 86_400) * S, True),
        Reading(3 * S, 13 * S, True),
        Reading(4 * S, 14 * S, True),
    ]
    told: list[str] = []
    gate = session.gate
    assert gate is not None
    clock = iter(readings)
    keeper = StoreKeeper(
        session, gate, store(tmp_path, delete="segments"), told.append, clock=lambda: next(clock)
    )
    for _ in readings[1:]:
        assert keeper.round() == []
    session.sidecar.end()
    lines = list(Session.open(session.path).records("utc"))
    assert [(line.fields["stepped_s"], line.fields["synchronised"]) for line in lines] == [
        (0.0, False), (86_400.0, True), (-86_400.0, True),
    ]  # fmt: skip
    assert lines[0].fields["utc"] == "1970-01-01T00:00:10.000+00:00"
    assert lines[1].fields["host_ns"] == 2 * S
    assert len(told) == 2
    assert "jumped by +86400.0 s" in told[0]
    assert len(list_sessions(tmp_path)) == 2


def test_a_machine_without_sensors_has_no_figures(
    tmp_path: Path, session: SessionWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers and other kernels lack these files; a zero would be a lie."""
    for broken in (tmp_path / "missing", tmp_path):
        monkeypatch.setattr(housekeeping, "THERMAL", broken)
        monkeypatch.setattr(housekeeping, "STATM", broken)
        health = Health()
        assert Housekeeper(health, session, store()).tick(2.0, S)
        assert gauge(health, "rss_bytes") is None
        assert gauge(health, "cpu_celsius") is None
    (tmp_path / "temp").write_text("48312\n")
    (tmp_path / "statm").write_text("100 25 1\n")
    monkeypatch.setattr(housekeeping, "THERMAL", tmp_path / "temp")
    monkeypatch.setattr(housekeeping, "STATM", tmp_path / "statm")
    Housekeeper(health, session, store()).tick(2.0, S)
    assert gauge(health, "cpu_celsius") == pytest.approx(48.312)
    assert gauge(health, "rss_bytes") == 25 * os.sysconf("SC_PAGE_SIZE")


def test_memory_of_this_process_is_known_here(session: SessionWriter) -> None:
    """The soak test and the page read it."""
    health = Health()
    Housekeeper(health, session, store()).tick(2.0, S)
    assert (gauge(health, "rss_bytes") or 0) > 10e6
