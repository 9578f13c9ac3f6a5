"""Fusing recordings again, offline: all of it, once, and the same to the byte whoever does it."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from rich.console import Console

from edge.config.layers import load_config
from edge.config.schema import Config
from edge.daemon.run import run_daemon
from edge.engines import open_engine
from edge.frames import Rung
from edge.fuse.line import Fused
from edge.refusing import refuse as refuse_module
from edge.refusing.fusion import fuse_planned
from edge.refusing.plan import make_plan
from edge.refusing.refuse import RefuseJob, open_work, refuse, refuse_sessions
from edge.refusing.task import run_task
from edge.session.config import session_config
from edge.session.recording import Session, SessionError
from edge.store.catalogue import ProtectedSessionError, delete_session
from tests.conftest import SMALL
from tests.edge.tiny_model import write_tiny_model


@pytest.fixture
def copy(recording: Path, tmp_path: Path) -> Path:
    """A recording of one's own to write into."""
    return shutil.copytree(recording, tmp_path / "session")


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    return str(write_tiny_model(tmp_path / "eafnet-tiny.onnx"))


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds and a bit in files of two. Read only."""
    folder = tmp_path_factory.mktemp("filmed")
    main = folder / "small.yaml"
    main.write_text(SMALL.format(root=folder / "sessions") + "hdr:\n  segment_s: 2\n")
    (folder / "conf.d").mkdir()
    (folder / "conf.d" / "fast.yaml").write_text("version: 1\nfuse: {alignment: off}\n")
    assert run_daemon(load_config(main), 4.2, folder / "session") == 0
    return folder / "session"


@pytest.fixture
def parts(filmed: Path, tmp_path: Path) -> Path:
    """A copy of it to write into."""
    return shutil.copytree(filmed, tmp_path / "parts")


def contents(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def run(*sessions: Path, model: str, **how: object) -> tuple[int, list[dict[str, str]]]:
    job = RefuseJob(sessions, model, **how)  # type: ignore[arg-type]
    code = refuse_sessions(job, Console(quiet=True))
    return code, [contents(session / "refused") for session in sessions]


def test_every_frame_gets_the_network(copy: Path, tiny: str) -> None:
    """Else the low rungs of a busy day stay low for ever."""
    seen: list[Fused] = []
    done = refuse(Session.open(copy), tiny, threads=2, on_fused=seen.append)
    assert done.frames == 60
    assert done.rungs == {Rung.MODEL: 60}
    assert done.drops == {}
    refused = Session.open(copy).refused("eafnet-tiny")
    records = list(refused.hdr_records())
    assert [r.seq for r in records] == list(range(60))
    assert all((refused.path / str(r.file)).is_file() for r in records)
    assert len({id(fused.prepared.low) for fused in seen}) <= 16
    assert refused.clean


def test_the_same_frames_on_any_number_of_cores(copy: Path) -> None:
    """Else a figure measured on a recording cannot be checked by anybody else, who has another machine."""
    session = Session.open(copy)
    config = session_config(session.header.config, copy)
    frames = make_plan(session, "s", 2).segments[0]

    def third(first: int) -> np.ndarray:
        engine = open_engine("s", 2)
        return [item.hdr.radiance for item in fuse_planned(session, config, frames[first:3], engine)][-1]

    cores, threads = os.sched_getaffinity(0), cv2.getNumThreads()
    try:
        one = third(0)
        os.sched_setaffinity(0, {min(cores)})
        cv2.setNumThreads(1 if threads > 1 else 3)
        assert np.array_equal(third(2), one)
    finally:
        os.sched_setaffinity(0, cores)
        cv2.setNumThreads(threads)


def test_segments_need_nothing_of_each_other(parts: Path, tiny: str) -> None:
    """Else the output would depend on which machine did which part, and in what order."""
    code, (forwards,) = run(parts, model=tiny)
    assert code == 0
    work = open_work(Session.open(parts), tiny)
    work.begin(fresh=True)
    tasks = work.tasks(tiny)
    assert [len(task.frames) for task in tasks] == [60, 60, 6]
    for task in reversed(tasks):
        run_task(task)
    work.finish()
    assert contents(parts / "refused") == forwards
    assert len([name for name in forwards if name.endswith(".mp4")]) == 3


def test_an_interrupted_run_goes_on(parts: Path, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A night's work must survive the morning's reboot."""
    ran: list[int] = []
    real = refuse_module.try_task

    def until_the_third(task: object, on_fused: object) -> object:
        ran.append(task.number)  # type: ignore[attr-defined]
        if len(ran) == 3:
            raise KeyboardInterrupt
        return real(task, on_fused)  # type: ignore[arg-type]

    monkeypatch.setattr(refuse_module, "try_task", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        run(parts, model=tiny)
    assert Session.open(parts).refused_models() == []
    code, (again,) = run(parts, model=tiny)
    assert (code, ran) == (0, [0, 1, 2, 2])
    run(parts, model=tiny)
    assert len(ran) == 4  # a finished session costs nothing
    monkeypatch.setattr(refuse_module, "try_task", real)
    assert run(parts, model=tiny, again=True) == (0, [again])


def test_what_is_being_refused_is_not_deleted(
    parts: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorder makes room on the same disk: hours of work would end with the session gone."""
    told: list[str] = []

    def deleted_meanwhile(_task: object, _on_fused: object) -> object:
        with pytest.raises(ProtectedSessionError) as refused:
            delete_session(parts.parent, parts.name)
        told.append(str(refused.value))
        raise KeyboardInterrupt

    monkeypatch.setattr(refuse_module, "try_task", deleted_meanwhile)
    with pytest.raises(KeyboardInterrupt):
        run(parts, model=tiny)
    assert "is being recorded or read" in told[0]
    delete_session(parts.parent, parts.name)
    assert not parts.exists()


def test_another_plan_starts_anew(parts: Path, tiny: str) -> None:
    """Else half of a result would be of yesterday's settings."""
    work = open_work(Session.open(parts), tiny)
    work.begin()
    run_task(work.tasks(tiny)[0])
    header = parts / "session.json"
    header.write_text(header.read_text().replace('"segment_s": 2.0', '"segment_s": 60.0', 1))
    code, (files,) = run(parts, model=tiny)
    assert code == 0
    assert len([name for name in files if name.endswith(".mp4")]) == 1


def test_many_sessions_and_one_that_cannot(
    parts: Path, tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One bad folder must not end a night's work on forty."""
    other = shutil.copytree(parts, tmp_path / "other")
    job = RefuseJob((parts, tmp_path / "nothing", other), tiny)
    assert refuse_sessions(job, Console(width=250)) == 1
    assert "nothing/session.json: cannot be read" in capsys.readouterr().out
    assert contents(parts / "refused") == contents(other / "refused")


def test_a_torn_recording_is_fused_as_far_as_it_goes(
    copy: Path, tiny: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else a power cut makes the whole recording useless offline."""
    for master in copy.glob("*/000000.mkv"):
        master.write_bytes(master.read_bytes()[: int(master.stat().st_size * 0.6)])
    sidecar = copy / "frames.jsonl"
    sidecar.write_bytes(sidecar.read_bytes()[:-40])
    assert refuse_sessions(RefuseJob((copy,), tiny), Console(width=200)) == 0
    fused = list(Session.open(copy).refused("eafnet-tiny").hdr_records())
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


@pytest.fixture
def cluster_model() -> str:
    """The real network: slow enough to be killed in the middle."""
    if os.environ.get("TWINHDR_LONG") != "1":
        pytest.skip("starts a Ray cluster (about a minute): set TWINHDR_LONG=1")
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'twinhdr[ray]'")
    return "s"


@pytest.mark.timeout(900)  # three times the network over the film, on whatever cores are free
def test_a_cluster_gives_the_same_bytes_and_survives_a_killed_worker(
    config_of: Callable[[str], Config], cluster_model: str, tmp_path: Path
) -> None:
    """Work on many machines is worth nothing if nobody can tell whether its result is right."""
    parts = tmp_path / "session"
    assert run_daemon(config_of("hdr: {segment_s: 2}\n"), 5.0, parts) == 0
    other = shutil.copytree(parts, tmp_path / "other")
    _, (local,) = run(parts, model=cluster_model)
    shutil.rmtree(parts / "refused")
    killed: list[int] = []
    ended = threading.Event()

    def kill_one() -> None:
        """SIGKILL a worker that has a task, once the first segment is there."""
        while not ended.wait(0.05):
            finished = [p for p in (parts / "refused").glob(".*.part/*") if p.name.isdigit()]
            for process in workers() if finished else ():
                killed.append(process.pid)
                os.kill(process.pid, signal.SIGKILL)
                return

    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        code, results = run(parts, other, model=cluster_model, ray=True)
    finally:
        ended.set()
        killer.join()
    assert code == 0
    assert len(killed) == 1
    assert results == [local, local]


def workers() -> Iterator[psutil.Process]:
    """Ray's processes below this one that are fusing a segment just now."""
    for process in psutil.Process().children(recursive=True):
        try:
            if process.cmdline()[:1] == ["ray::refuse_segment"]:
                yield process
        except psutil.Error:
            continue
