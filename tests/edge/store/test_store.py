"""The catalogue of recordings: what is shown, kept and deleted on a device that nobody watches."""

from __future__ import annotations

import datetime
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.errors import TwinhdrError
from edge.frames import Exposure
from edge.session.recording import SessionHeader, SessionWriter
from edge.store.catalogue import (
    NoSuchSessionError,
    ProtectedSessionError,
    delete_session,
    hidden_folders,
    keep_session,
    list_sessions,
)
from edge.store.lock import reading
from edge.store.names import new_session_folder, number_of
from hw.camera import CameraInfo

NOON = datetime.datetime(2026, 7, 22, 12, tzinfo=datetime.timezone.utc)


def header(name: str = "s") -> SessionHeader:
    cameras = {
        camera: CameraInfo(camera, "test", "1", 64, 48, "bayer_rggb", 12, 64, 4095, 1e6 / 30)
        for camera in ("reference", "secondary")
    }
    planned = {"reference": (Exposure(8000.0),), "secondary": (Exposure(2000.0), Exposure(32000.0))}
    return SessionHeader(name, "2026-07-22T12:00:00+00:00", "test", cameras, planned)  # type: ignore[arg-type]


def record(path: Path, *, end: bool = True, seconds: float = 2.0, size: int = 1000) -> Path:
    """A session as a recorder leaves it, its video a lump of zeros."""
    writer = SessionWriter.create(path, header(path.name), sync_s=None)
    writer.sidecar.start(0)
    for t_ns in (0, round(seconds * 1e9)):
        writer.sidecar.event("reference", seq=0, t_ns=t_ns, exposure_us=8000.0)
    (path / "hdr").mkdir()
    (path / "hdr" / "000000.mp4").write_bytes(bytes(size))
    writer.sidecar.end() if end else writer.sidecar.close()
    return path


def names(root: Path) -> list[str]:
    return [entry.name for entry in list_sessions(root)]


def test_each_recording_is_told_as_it_is(tmp_path: Path) -> None:
    """The page and the deletion both rely on it: what is still recorded, what broke off, what is damaged."""
    record(tmp_path / "clean", seconds=7.5)
    record(tmp_path / "torn", end=False)
    record(tmp_path / "unreadable")
    (tmp_path / "unreadable" / "session.json").write_text("{")
    writer = SessionWriter.create(tmp_path / "running", header(), sync_s=None)
    found = {entry.name: entry for entry in list_sessions(tmp_path)}
    assert {name: entry.state for name, entry in found.items()} == {
        "clean": "clean",
        "torn": "torn",
        "unreadable": "unreadable",
        "running": "recording",
    }
    assert found["clean"].seconds == 7.5
    assert found["clean"].started_utc == "2026-07-22T12:00:00+00:00"
    assert found["clean"].size_bytes > 1000
    assert found["running"].seconds is None
    writer.sidecar.close()
    assert {e.name: e.state for e in list_sessions(tmp_path)}["running"] == "torn"


def test_a_killed_recorder_holds_nothing(tmp_path: Path) -> None:
    """A lock that outlives its process would keep a torn session for ever."""
    record(tmp_path / "s", end=False)
    code = (
        "import sys,time; from pathlib import Path; from edge.session.sidecar import SidecarWriter\n"
        "w = SidecarWriter(Path(sys.argv[1]), sync_s=None); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "s/frames.jsonl")], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert list_sessions(tmp_path)[0].state == "recording"
        with pytest.raises(ProtectedSessionError, match="being recorded"):
            delete_session(tmp_path, "s")
        process.send_signal(signal.SIGKILL)
    assert list_sessions(tmp_path)[0].state == "torn"
    delete_session(tmp_path, "s")
    assert names(tmp_path) == []


def test_kept_and_read_sessions_stay(tmp_path: Path) -> None:
    """The one recording of the accident must not go for the thousandth of an empty road."""
    record(tmp_path / "s")
    keep_session(tmp_path, "s", True)
    keep_session(tmp_path, "s", True)
    assert list_sessions(tmp_path)[0].kept
    with pytest.raises(ProtectedSessionError, match="release"):
        delete_session(tmp_path, "s")
    keep_session(tmp_path, "s", False)
    with reading(tmp_path / "s" / "frames.jsonl") as taken:
        assert taken
        with pytest.raises(ProtectedSessionError):
            delete_session(tmp_path, "s")
    delete_session(tmp_path, "s")
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_ours_is_neither_shown_nor_touched(tmp_path: Path) -> None:
    """Disks hold other things, and links lead out of the root."""
    record(tmp_path / "outside")
    root = tmp_path / "root"
    record(root / "real")
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "photos").mkdir()
    (root / "lost+found").mkdir(mode=0)
    (root / "file").write_text("x")
    (root / "half").mkdir()
    (root / "half" / "session.tmp").write_text("{")
    (root / "zero").mkdir()
    (root / "zero" / "session.json").symlink_to("/dev/zero")
    (root / "pipe").mkdir()
    os.mkfifo(root / "pipe" / "session.json")
    record(root / ".hidden")
    record(root / "odd")
    (root / "odd" / "frames.jsonl").unlink()
    os.mkfifo(root / "odd" / "frames.jsonl")
    record(root / os.fsdecode(b"raw-\xff"))
    assert [e.state for e in list_sessions(root) if e.name == "odd"] == ["torn"]
    assert set(names(root)) == {"real", "odd", os.fsdecode(b"raw-\xff")}
    for name in ("link", "photos", "half", "zero", ".hidden", "..", ".", "", "../outside", "real/../real"):
        with pytest.raises(NoSuchSessionError):
            delete_session(root, name)
        with pytest.raises(NoSuchSessionError):
            keep_session(root, name, True)
    assert (tmp_path / "outside" / "session.json").exists()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=300))
def test_no_name_leads_out_of_the_root(tmp_path: Path, name: str) -> None:
    """The page hands over whatever a browser sends."""
    with pytest.raises(TwinhdrError):
        delete_session(tmp_path, name)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.binary(max_size=400), head=st.binary(max_size=400) | st.none())
def test_rubbish_in_a_session_is_a_session_with_rubbish(
    tmp_path: Path, lines: bytes, head: bytes | None
) -> None:
    """One damaged folder must not hide all the others."""
    folder = tmp_path / "s"
    if not folder.exists():
        record(folder)
    (folder / "frames.jsonl").write_bytes(lines)
    if head is not None:
        (folder / "session.json").write_bytes(head)
    (entry,) = list_sessions(tmp_path)
    assert entry.state in ("torn", "unreadable", "clean")


def test_a_deletion_cut_off_leaves_no_half_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut in the middle of 50 GB would leave a session without its first half."""
    record(tmp_path / "s")

    def cut(folder: Path) -> None:
        (folder / "hdr" / "000000.mp4").unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr("edge.store.catalogue.remove_hidden", cut)
    with pytest.raises(KeyboardInterrupt):
        delete_session(tmp_path, "s")
    assert names(tmp_path) == []
    assert [path.name for path in hidden_folders(tmp_path)] == [".deleting-s"]
    record(tmp_path / "s")
    with pytest.raises(KeyboardInterrupt):
        delete_session(tmp_path, "s")
    assert len(hidden_folders(tmp_path)) == 2


def test_names_rise_whatever_the_clock_does(tmp_path: Path) -> None:
    """A board without a clock battery begins in 1970: its newest recording must not count as its oldest."""
    times = [NOON, NOON - datetime.timedelta(days=1), datetime.datetime(1970, 1, 1), NOON, NOON]
    record(tmp_path / "20261231T235959Z-812")  # of the first version, and from the future
    given = [new_session_folder(tmp_path, time).name for time in times]
    assert given == sorted(given)
    assert [number_of(name) for name in given] == [1, 2, 3, 4, 5]
    for name in given:
        (tmp_path / name).rmdir()
        record(tmp_path / name)
    assert names(tmp_path) == ["20261231T235959Z-812", *given]
    delete_session(tmp_path, given[-1])
    assert number_of(new_session_folder(tmp_path, NOON).name) == 6
    for damage in ("", "x", "-5", "9" * 40):
        (tmp_path / ".next-session").write_text(damage)
        number = number_of(new_session_folder(tmp_path, NOON).name)
        assert number is not None
        assert number > 6


def test_an_empty_or_missing_root_has_no_sessions(tmp_path: Path) -> None:
    """A device fresh from the box shows an empty page, not an error."""
    assert list_sessions(tmp_path) == []
    assert list_sessions(tmp_path / "missing") == []
    (tmp_path / "file").write_text(json.dumps({}))
    assert list_sessions(tmp_path / "file") == []
