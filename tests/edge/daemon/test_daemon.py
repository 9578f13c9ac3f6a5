"""The whole line as one process runs it: cameras in, a recording out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import av
import psutil
import pytest

from edge.config.schema import Config
from edge.daemon.run import run_daemon
from edge.session.recording import Session

ConfigOf = Callable[..., Config]


def decodable_frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_every_reference_frame_becomes_one_hdr_frame(recording: Path) -> None:
    """Else the video stutters: a reference frame was received and never shown."""
    session = Session.open(recording)
    reference = [record.seq for record in session.frame_records("reference")]
    fused = [record.seq for record in session.hdr_records()]
    assert len(reference) == 60
    assert fused == reference
    assert session.clean
    assert session.problems == []
    assert sum(decodable_frames(path) for path in (recording / "hdr").glob("*.mp4")) == 60


def test_masters_hold_every_raw_frame(recording: Path) -> None:
    """Else the recording cannot be fused again."""
    session = Session.open(recording)
    for camera, expected in (("reference", 60), ("secondary", 30)):
        frames = list(session.frames(camera))  # type: ignore[arg-type]
        assert len(frames) == expected
        assert frames[0].image.shape == (128, 192)
        assert frames[0].bit_depth == 12


def test_pairs_are_near_and_shared(recording: Path) -> None:
    """Else the network sees stale exposures, or computes each pair again for every frame."""
    records = list(Session.open(recording).hdr_records())
    settled = records[6:-6]
    assert all(abs(r.low_age_ns or 10**12) < 110e6 and abs(r.high_age_ns or 10**12) < 110e6 for r in settled)
    pairs = [(r.low_seq, r.high_seq) for r in settled]
    assert len(set(pairs)) == pytest.approx(len(pairs) / 4, abs=1.5)


def test_a_network_fuses_where_there_is_time(config_of: ConfigOf, tmp_path: Path) -> None:
    """Else the ladder never reaches the rung the device was bought for."""
    slow = "rig: {reference: {fps: 10}, secondary: {fps: 10}}\n"
    config = config_of(slow + "fuse: {ladder: [model, merge, reference], deadline_share: 10.0}\n")
    assert run_daemon(config, 2.0, tmp_path / "session") == 0
    models = {record.model for record in Session.open(tmp_path / "session").hdr_records()}
    assert "eafnet-s" in models


def test_losses_are_counted_by_cause(config_of: ConfigOf, tmp_path: Path) -> None:
    """Else a bad cable looks like a good recording."""
    config = config_of("simulator: {faults: {lost_frame_share: 0.2}}\n")
    assert run_daemon(config, 2.0, tmp_path / "session") == 0
    session = Session.open(tmp_path / "session")
    received = {c: {r.seq for r in session.frame_records(c)} for c in ("reference", "secondary")}  # type: ignore[arg-type]
    for camera, seqs in received.items():
        drops = [r.fields for r in session.records("drop") if r.fields.get("camera") == camera]
        lost = [d for d in drops if d["stage"] == "capture"]
        first = min(min(seqs), *(int(str(d["seq"])) for d in lost))
        assert sum(int(str(d["count"])) for d in lost) == max(seqs) + 1 - first - len(seqs)
        assert lost
    assert [r.seq for r in session.hdr_records()] == sorted(received["reference"])


def test_wrong_ticks_of_a_camera_are_found(config_of: ConfigOf, tmp_path: Path) -> None:
    """Else a known firmware fault (stamps off by x10) leaves every frame without a pair."""
    config = config_of("simulator: {faults: {secondary_clock_ratio: 10}}\n")
    assert run_daemon(config, 2.0, tmp_path / "session") == 0
    records = list(Session.open(tmp_path / "session").hdr_records())
    paired = [r for r in records if r.low_age_ns is not None and abs(r.low_age_ns) < 110e6]
    assert len(paired) > 0.8 * len(records)


def test_a_silent_secondary_costs_the_rung_not_the_frame(config_of: ConfigOf, tmp_path: Path) -> None:
    """Else one dead camera ends the recording of the other."""
    config = config_of("simulator: {faults: {silent_after_s: 0.5}}\n")
    assert run_daemon(config, 1.5, tmp_path / "session") == 0
    records = list(Session.open(tmp_path / "session").hdr_records())
    assert len(records) == 45
    assert records[10].rung.name == "MERGE"
    assert records[-1].rung.name == "REFERENCE"


def test_nothing_is_left_behind(config_of: ConfigOf, tmp_path: Path) -> None:
    """Else a device that restarts recordings runs out of threads or files."""
    process = psutil.Process()
    run_daemon(config_of(), 0.3, tmp_path / "warm")
    threads, files = threading.active_count(), process.num_fds()
    for number in range(3):
        run_daemon(config_of(), 0.3, tmp_path / f"session{number}")
    assert threading.active_count() == threads
    assert process.num_fds() <= files


def start_daemon(tmp_path: Path, config: str = "") -> subprocess.Popen[bytes]:
    """``twinhdr run`` without end, as a process of its own."""
    main = tmp_path / "run.yaml"
    main.write_text(
        "version: 1\nrig: {width: 192, height: 128}\nsimulator: {pace: 1}\nweb: {enabled: false}\n"
        "fuse: {ladder: [merge, reference]}\nmasters: {enabled: true}\n"
        f"store: {{root: {tmp_path}, min_free_gb: 0, min_free_share: 0}}\n" + config
    )
    command = [sys.executable, "-m", "edge.cli", "run", "--config", str(main)]
    return subprocess.Popen([*command, "--session", str(tmp_path / "session")], stderr=subprocess.PIPE)


def wait_for_frames(session: Path, kind: str, count: int, timeout_s: float = 60.0) -> None:
    """Until the sidecar holds ``count`` lines of ``kind``."""
    deadline = time.monotonic() + timeout_s
    marker = f'"kind":"{kind}"'.encode()
    while time.monotonic() < deadline:
        path = session / "frames.jsonl"
        if path.exists() and path.read_bytes().count(marker) >= count:
            return
        time.sleep(0.05)  # polls another process; there is nothing to wait on
    pytest.fail(f"{session}: no {count} lines of kind {kind} within {timeout_s} s")


@pytest.mark.alone
@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_within_two_seconds(tmp_path: Path, number: signal.Signals) -> None:
    """Else Ctrl-C or a shutdown leaves open files.

    Two seconds are for a machine that does nothing else (0.3 s were seen); a busy one gets three times that.
    """
    process = start_daemon(tmp_path)
    try:
        wait_for_frames(tmp_path / "session", "hdr", 40)
        begin = time.monotonic()
        process.send_signal(number)
        assert process.wait(30) == 0
        ended_s = time.monotonic() - begin
        print(f"ended {ended_s:.2f} s after {number.name}")
        assert ended_s < (2.0 if os.getloadavg()[0] < 1.5 else 6.0)
    finally:
        process.kill()
        process.communicate()
    session = Session.open(tmp_path / "session")
    assert session.clean
    assert [r.seq for r in session.hdr_records()] == [r.seq for r in session.frame_records("reference")]


def test_a_kill_costs_at_most_a_second(tmp_path: Path) -> None:
    """Else a crash takes what was recorded with it."""
    process = start_daemon(tmp_path)
    try:
        wait_for_frames(tmp_path / "session", "hdr", 150)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
    finally:
        process.kill()
        process.communicate()
    session = Session.open(tmp_path / "session")
    told = max(record.t_ns for record in session.hdr_records())
    video = sum(decodable_frames(path) for path in sorted((tmp_path / "session" / "hdr").glob("*.mp4")))
    records = list(session.hdr_records())
    assert not session.clean
    assert told - records[video - 1].t_ns <= 1e9
    raw = [t_ns for _frame, t_ns in session.stamped("reference")]
    assert told - max(raw) <= 1e9


def test_a_failing_stage_ends_with_its_error_and_closed_files(config_of: ConfigOf, tmp_path: Path) -> None:
    """Else a full disk hangs the process instead of letting systemd restart it."""
    target = tmp_path / "session"
    config = config_of()

    from edge.encode import video as encode

    original = encode.HdrEncoder.write
    calls = {"n": 0}

    def failing(self: encode.HdrEncoder, *args: object, **kwargs: object) -> object:
        calls["n"] += 1
        if calls["n"] > 5:
            raise encode.EncodeError("disk is full")
        return original(self, *args, **kwargs)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode.HdrEncoder, "write", failing)
        with pytest.raises(encode.EncodeError, match="disk is full"):
            run_daemon(config, 5.0, target)
    session = Session.open(target)
    assert not session.clean
    assert len(list(session.hdr_records())) == 5
    assert threading.active_count() < 20
