"""What a crash left is put in order at the next start, once, and no frame is lost by it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.session.recording import Session, SessionWriter
from edge.store import recover as recover_module
from edge.store.catalogue import SessionEntry, list_sessions
from edge.store.recover import recover_all
from tests.edge.store.test_store import header, record
from tests.edge.store.test_store_faults import FPS, NAME, Rig

GO = threading.Event()


def recovered(root: Path) -> list[str]:
    told: list[str] = []
    recover_all(root, told.append, GO)
    return told


def torn(root: Path, frames: int = 2 * FPS + 10) -> Path:
    """A session whose recorder died, with masters, a half line and what lies about."""
    rig = Rig(root)
    rig.film(frames)
    rig.session.sidecar.close()
    rig.writer._open.abandon()  # type: ignore[union-attr] # as a kill does
    rig.writer.retire()
    rig.writer.close()
    folder = root / NAME
    with (folder / "frames.jsonl").open("ab") as lines:
        lines.write(b'{"kind":"reference","seq":9')
    (folder / ".probe").write_bytes(bytes(10))
    (folder / "reference" / "000007.mkv").write_bytes(b"\x1aE\xdf\xa3")
    (folder / "hdr").mkdir()
    (folder / "hdr" / "000000.mp4").write_bytes(b"")
    return folder


def test_a_torn_session_is_put_in_order_once(tmp_path: Path) -> None:
    """Every file that is left opens, and the list says how much of it there is."""
    folder = torn(tmp_path)
    before = [frame.seq for frame in Session.open(folder).frames("reference")]
    assert len(before) >= FPS
    (told,) = recovered(tmp_path)
    assert NAME in told
    session = Session.open(folder)
    assert [frame.seq for frame in session.frames("reference")] == before
    (line,) = session.records("recovered")
    found = line.fields["streams"]
    assert found["reference"]["file"] == "reference/000001.mkv"
    assert list(found) == ["reference"], "a file without a frame is none"
    assert not any("cut off" in problem for problem in session.problems)
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
        "000000.mkv", "000001.mkv", "frames.jsonl", "session.json",
    ]  # fmt: skip
    assert list_sessions(tmp_path)[0].state == "torn"
    lines = (folder / "frames.jsonl").read_bytes()
    assert recovered(tmp_path) == []
    assert (folder / "frames.jsonl").read_bytes() == lines


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tail=st.binary(max_size=300), cut=st.integers(0, 2000))
def test_whatever_the_tail_looks_like_the_lines_before_stay(tmp_path: Path, tail: bytes, cut: int) -> None:
    """A power cut leaves zeros, halves, or nothing of the last block."""
    root = tmp_path / os.urandom(8).hex()
    folder = record(root / NAME, end=False)
    lines = folder / "frames.jsonl"
    whole = lines.read_bytes()[: max(0, len(lines.read_bytes()) - cut)]
    lines.write_bytes(whole + tail)
    kept = [r.fields for r in Session.open(folder).records("reference")]
    recovered(root)
    assert [r.fields for r in Session.open(folder).records("reference")][: len(kept)] == kept
    once = lines.read_bytes()
    recovered(root)
    assert lines.read_bytes() == once


def test_a_damaged_file_that_may_hold_frames_stays(tmp_path: Path) -> None:
    """Somebody with better tools may get them out; deleting is for ever."""
    folder = record(tmp_path / NAME, end=False)
    rubbish = np.random.default_rng(1).bytes(50_000)
    (folder / "hdr" / "000003.mp4").write_bytes(rubbish)
    recovered(tmp_path)
    assert (folder / "hdr" / "000003.mp4").read_bytes() == rubbish
    (line,) = Session.open(folder).records("recovered")
    assert "problem" in line.fields["streams"]["hdr"]


def test_deletions_that_were_cut_off_are_finished(tmp_path: Path) -> None:
    """Else half a session fills the disk for ever, hidden."""
    record(tmp_path / ".deleting-s000001-20260722T120000Z", size=1000)
    record(tmp_path / ".other")
    half = tmp_path / "s000002-20260722T120000Z"
    half.mkdir()
    (half / "session.tmp").write_text("{")
    os.utime(half, (1, 1))
    (tmp_path / "s000003-20260722T120000Z").mkdir()  # a recorder is making it just now
    recovered(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".other", "s000003-20260722T120000Z"}


def test_what_is_in_use_clean_or_not_ours_is_left_alone(tmp_path: Path) -> None:
    """Repairing a recording that is running would break it."""
    record(tmp_path / "s000001-20260722T120000Z")
    record(tmp_path / "mine", end=False)
    writer = SessionWriter.create(tmp_path / NAME.replace("1", "4"), header(), sync_s=None)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.jsonl")}
    assert recovered(tmp_path) == []
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.jsonl")} == before
    writer.sidecar.close()


def test_it_ends_when_it_is_told_or_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand torn sessions must not keep a recorder from ending; the next start goes on."""
    for number in range(1, 6):
        record(tmp_path / f"s{number:06d}-20260722T120000Z", end=False)
    recover_all(tmp_path, lambda _text: None, GO, most_s=-1.0)
    stop = threading.Event()
    stop.set()
    recover_all(tmp_path, lambda _text: None, stop)
    done: list[str] = []

    def note(entry: SessionEntry, _tell: object) -> None:
        done.append(entry.name)

    monkeypatch.setattr(recover_module, "recover", note)
    recovered(tmp_path)
    assert [name[:7] for name in done] == ["s000005", "s000004", "s000003", "s000002", "s000001"]
