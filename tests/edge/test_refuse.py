"""Fusing a recording again, offline."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from edge.config import load_config
from edge.engines import open_engine
from edge.frames import Rung
from edge.line import Fused
from edge.refuse import fuse_session, offline_line, refuse, refuse_session
from edge.session import Session, SessionError
from edge.session_config import session_config


@pytest.fixture
def copy(recording: Path, tmp_path: Path) -> Path:
    """A recording of one's own to write into."""
    return shutil.copytree(recording, tmp_path / "session")


def test_every_frame_gets_the_network(copy: Path) -> None:
    """Else the low rungs of a busy day stay low for ever."""
    seen: list[Fused] = []
    done = refuse(Session.open(copy), "s", threads=2, on_fused=seen.append)
    assert done.frames == 60
    assert done.rungs == {Rung.MODEL: 60}
    assert done.drops == {}
    refused = Session.open(copy).refused("eafnet-s")
    records = list(refused.hdr_records())
    assert [r.seq for r in records] == list(range(60))
    assert all((refused.path / str(r.file)).is_file() for r in records)
    assert len({id(fused.prepared.low) for fused in seen}) <= 16


def test_the_same_recording_gives_the_same_frames(copy: Path) -> None:
    """Else a figure measured on a recording cannot be checked by anybody else."""
    session = Session.open(copy)
    config = session_config(session.header.config, copy)

    def first_frames() -> list[np.ndarray]:
        line = offline_line(session, config, open_engine("s", 1), lambda _cause, _seq: None)
        frames = fuse_session(session, line)
        return [next(frames).hdr.radiance for _ in range(3)]

    for one, two in zip(first_frames(), first_frames(), strict=True):
        assert np.array_equal(one, two)


def test_a_torn_recording_is_fused_as_far_as_it_goes(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Else a power cut makes the whole recording useless offline."""
    for master in copy.glob("*/000000.mkv"):
        master.write_bytes(master.read_bytes()[: int(master.stat().st_size * 0.6)])
    sidecar = copy / "frames.jsonl"
    sidecar.write_bytes(sidecar.read_bytes()[:-40])
    assert refuse_session(copy, "s", Console(width=200)) == 0
    fused = list(Session.open(copy).refused("eafnet-s").hdr_records())
    assert 20 <= len(fused) < 60
    assert "skipped" in capsys.readouterr().out


def test_a_session_without_masters_is_refused_with_a_word(copy: Path) -> None:
    """Else the user waits for a video of nothing."""
    shutil.rmtree(copy / "reference")
    with pytest.raises(SessionError, match=r"masters\.enabled"):
        refuse(Session.open(copy), "s")


def test_frames_brought_in_without_a_configuration_use_the_defaults(copy: Path) -> None:
    """Else importing pictures means writing sixty keys first."""
    assert session_config({}, copy) == load_config(main_file=Path("/nonexistent"))
    with pytest.raises(SessionError, match=r"session\.json: config does not fit"):
        session_config({"version": 1, "nonsense": 3}, copy)
