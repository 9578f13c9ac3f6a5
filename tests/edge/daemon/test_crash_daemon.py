"""The recorder killed, and its power cut, at random moments: what is lost, in seconds, and what is never.

``TWINHDR_LONG=1`` kills it a hundred times and cuts the power ten times (about ten minutes); ``-s`` shows the
figures. The disk is a real one of 96 MB that fills up many times over, where root can make one.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.store.catalogue import list_sessions
from edge.store.recover import recover_all
from tests.edge.loop_disk import LoopDisk, missing
from tests.edge.lost import Lost, S, assert_all_readable, lost, print_worst, worst

LONG = os.environ.get("TWINHDR_LONG") == "1"
KILLS = 100 if LONG else 3
CUTS = 10 if LONG else 1
FLOOR_BYTES = 30_000_000
MOST_LOST_KILLED_S, MOST_LOST_CUT_S = 1.0, 2.0
CONFIG = """
version: 1
rig: {{width: 192, height: 128}}
simulator: {{pace: 1}}
web: {{enabled: false}}
fuse: {{ladder: [merge, reference]}}
hdr: {{segment_s: 2}}
masters: {{enabled: true, segment_s: 2}}
store: {{root: {root}, min_free_gb: {floor_gb}, min_free_share: 0}}
"""


class Recorder:
    """``twinhdr run`` below one root, started again and again."""

    def __init__(self, root: Path, config: Path, floor_bytes: int) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        config.write_text(CONFIG.format(root=root, floor_gb=floor_bytes / 1e9))
        self.log = config.with_suffix(".log")
        self._command = [sys.executable, "-m", "edge.cli", "run", "--config", str(config)]

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stderr=log)
        return self._process

    def lines(self) -> Path | None:
        """Those of the newest session."""
        found = sorted(self.root.glob("s*/frames.jsonl"))
        return found[-1] if found else None

    def wait_for_video(self, before: Path | None, timeout_s: float = 120.0) -> Path:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            lines = self.lines()
            if lines is not None and lines != before and b'"kind":"hdr"' in lines.read_bytes():
                return lines
            assert self._process.poll() is None, self.log.read_text()
            time.sleep(0.02)  # polls another process; there is nothing to wait on
        pytest.fail(f"no video below {self.root} within {timeout_s} s: {self.log.read_text()}")


def filmed_until_ns(lines: Path, now_s: float) -> int:
    """Session time at the moment ``now_s`` (wall clock): that of the last line, and what went by since."""
    last = max(int(json.loads(line).get("t_ns", 0)) for line in lines.read_bytes().splitlines()[:-1])
    return last + round(max(0.0, now_s - lines.stat().st_mtime) * S)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopDisk | None]:
    if missing():
        yield None
        return
    made = LoopDisk(tmp_path, megabytes=96)
    yield made
    made.close()


class Watcher:
    """The least that was ever free on a disk."""

    def __init__(self, path: Path) -> None:
        self.least_bytes = shutil.disk_usage(path).free
        self._path = path
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            self.least_bytes = min(self.least_bytes, shutil.disk_usage(self._path).free)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.mark.alone
@pytest.mark.timeout(3600)
def test_killed_at_random_moments(tmp_path: Path, disk: LoopDisk | None) -> None:
    """The first promise of the device: whatever happens to it, at most the last second is lost."""
    chance = random.Random(6)
    root = (tmp_path if disk is None else disk.mount) / "sessions"
    recorder = Recorder(root, tmp_path / "run.yaml", 0 if disk is None else FLOOR_BYTES)
    watcher = Watcher(root)
    losses: list[Lost] = []
    try:
        for _ in range(KILLS):
            before = recorder.lines()
            process = recorder.start()
            try:
                early = LONG and chance.random() < 0.15
                lines = before if early else recorder.wait_for_video(before)
                time.sleep(chance.uniform(0.0, 2.0 if early else 1.2 if not LONG else 3.0))
            finally:
                process.send_signal(signal.SIGKILL)
                killed_s = time.time()
                process.wait()
            if lines is not None and lines != before:
                losses.append(lost(lines.parent, filmed_until_ns(lines, killed_s)))
                print(f"{len(losses)}: {lines.parent.name} {losses[-1]}", flush=True)
        process = recorder.start()  # the last one puts in order what the others left, and ends well
        try:
            last = recorder.wait_for_video(recorder.lines())
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()
    finally:
        watcher.close()
    states = [entry.state for entry in list_sessions(root)]
    files = assert_all_readable(root)
    print(f"\n{len(losses)} kills in mid-recording; {files} files, all readable")
    print_worst(losses)
    print(f"least free: {watcher.least_bytes / 1e6:.1f} MB; floor {FLOOR_BYTES / 1e6:.0f} MB")
    assert last.parent.name == list_sessions(root)[-1].name
    assert states[-1] == "clean"
    assert "unreadable" not in states
    assert worst(losses) <= MOST_LOST_KILLED_S
    if disk is not None:
        assert watcher.least_bytes > FLOOR_BYTES - 1_000_000  # a second of writing


@pytest.mark.alone
@pytest.mark.timeout(3600)
@pytest.mark.skipif(missing() != "", reason=missing())
def test_power_cut_at_random_moments(tmp_path: Path, disk: LoopDisk) -> None:
    """A pulled plug: what was not yet on the disk is gone, and that is two seconds at most.

    The file system stops at once, as if the disk had lost its power: nothing more is written, not even the
    journal's buffers. Mounting it again plays the journal back.
    """
    chance = random.Random(7)
    recorder = Recorder(disk.mount / "sessions", tmp_path / "run.yaml", FLOOR_BYTES)
    losses: list[Lost] = []
    for _ in range(CUTS):
        process = recorder.start()
        try:
            lines = recorder.wait_for_video(recorder.lines())
            time.sleep(chance.uniform(2.2, 3.0 if not LONG else 8.0))
            until_ns = filmed_until_ns(lines, time.time())
            disk.cut_power()
        finally:
            process.kill()
            process.wait()
        disk.replug()
        losses.append(lost(lines.parent, until_ns))
        assert list_sessions(recorder.root)[-1].state == "torn"
    recover_all(recorder.root, lambda _text: None, threading.Event())
    print(f"\n{len(losses)} power cuts; {assert_all_readable(recorder.root)} files, all readable")
    print_worst(losses)
    assert worst(losses) <= MOST_LOST_CUT_S
