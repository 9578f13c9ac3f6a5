"""A configuration changed while cameras are filmed: no frame is lost, and a bad one changes nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.config.layers import load
from edge.errors import ConfigError
from edge.frames import CameraName
from edge.health.health import Health
from edge.session.recording import Session
from edge.settings.edit import effective
from edge.settings.reload import Reload
from edge.settings.state import LAST_GOOD, remember_good, running_values
from edge.settings.state import start as begin

BASE = """\
version: 1
rig: {{width: 192, height: 128}}
simulator: {{pace: 1}}
fuse: {{ladder: [merge, reference]}}
masters: {{enabled: true}}
web: {{port: 0}}
hdr: {{segment_s: 2}}
store: {{root: {root}, min_free_gb: 0, min_free_share: 0}}
"""


@dataclass
class Recorder:
    """``twinhdr run`` as a process under systemd's environment, and what it has said."""

    process: subprocess.Popen[str]
    main: Path
    state: Path
    session: Path
    said: list[str]
    heard: threading.Condition

    def wait_for(self, pattern: str, timeout_s: float = 60.0) -> str:
        """The first line that the pattern fits, said already or within ``timeout_s``."""
        found: list[str] = []

        def there() -> bool:
            found[:] = [line for line in self.said if re.search(pattern, line)]
            return bool(found) or self.process.poll() is not None

        with self.heard:
            self.heard.wait_for(there, timeout_s)
        if not found:
            pytest.fail(f"not said: {pattern}\n" + "".join(self.said))
        return found[0]

    def wait_for_frames(self, count: int, timeout_s: float = 60.0) -> None:
        deadline = time.monotonic() + timeout_s
        path = self.session / "frames.jsonl"
        while not path.exists() or path.read_bytes().count(b'"kind":"hdr"') < count:
            if time.monotonic() > deadline or self.process.poll() is not None:
                pytest.fail(f"no {count} frames in {timeout_s} s\n" + "".join(self.said))
            time.sleep(0.05)  # polls another process; there is nothing to wait on

    def frames(self) -> int:
        return (self.session / "frames.jsonl").read_bytes().count(b'"kind":"hdr"')

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)


Start = Callable[..., Recorder]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    begun: list[subprocess.Popen[str]] = []

    def start(text: str = "") -> Recorder:
        main, state = tmp_path / "etc" / "config.yaml", tmp_path / "state"
        for folder in (main.parent, state):
            folder.mkdir(exist_ok=True)
        main.write_text(text or BASE.format(root=tmp_path))
        session = tmp_path / "session"
        command = [sys.executable, "-m", "edge.cli", "run", "--config", str(main), "--session", str(session)]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"STATE_DIRECTORY": str(state)},
        )
        begun.append(process)
        recorder = Recorder(process, main, state, session, [], threading.Condition())
        threading.Thread(target=_listen, args=(recorder,), daemon=True).start()
        return recorder

    yield start
    for process in begun:
        process.kill()
        process.wait()


def _listen(recorder: Recorder) -> None:
    assert recorder.process.stderr is not None
    for line in recorder.process.stderr:
        with recorder.heard:
            recorder.said.append(line)
            recorder.heard.notify_all()
    with recorder.heard:
        recorder.heard.notify_all()


def bytes_a_frame(session: Session, number: int) -> float:
    """Of one file of the HDR video."""
    name = f"hdr/{number:06d}.mp4"
    return (session.path / name).stat().st_size / sum(record.file == name for record in session.hdr_records())


@pytest.mark.alone
def test_changes_while_filming_cost_no_frame(start: Start) -> None:
    """Whoever corrects a limit in the field would tear the recording that it is for."""
    recorder = start()
    recorder.wait_for_frames(20)
    good = recorder.main.read_text()

    recorder.main.write_text(good + "hdr: {crf: 99}\nrig: 7\n")  # twice hdr and rig
    recorder.reload()
    line = recorder.wait_for("not reloaded, the old configuration goes on")
    assert f"{recorder.main}:9: hdr: already set at line 7" in line
    assert recorder.process.poll() is None

    changed = good.replace("segment_s: 2", "segment_s: 2, crf: 51").replace("width: 192", "width: 256")
    recorder.main.write_text(changed + "log: {level: warning}\npreview: {width: 96, fps: 3}\n")
    recorder.reload()
    recorder.wait_for(r"configuration change: changed, and waiting for a restart: rig\.width")
    running = running_values(recorder.state)
    assert running is not None
    waiting = [row.key for row in effective(recorder.main) if row.value != running[row.key]]
    assert waiting == ["rig.width"]
    assert (running["hdr.crf"], running["preview.width"], running["log.level"]) == (51, 96, "warning")

    after = recorder.frames()
    recorder.wait_for_frames(after + 90)
    recorder.process.send_signal(signal.SIGTERM)
    assert recorder.process.wait(20) == 0
    session = Session.open(recorder.session)
    assert session.clean
    assert bytes_a_frame(session, after // 60 + 1) < 0.5 * bytes_a_frame(session, 0), "files of 60 frames"
    cameras: tuple[CameraName, ...] = ("reference", "secondary")
    for camera in cameras:
        records = list(session.frame_records(camera))
        seqs = [record.seq for record in records]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        assert all(record.file is not None for record in records), "a frame is not among the masters"
    fused = {record.seq for record in session.hdr_records()}
    busy = [r.fields["seq"] for r in session.records("drop") if r.fields["cause"] == "too_slow"]
    missing = [r.seq for r in session.frame_records("reference") if r.seq not in fused]
    assert missing == busy, "on a machine that has no time the encoder drops, and nothing else does"
    assert running_values(recorder.state) is None, "a recording that has ended runs with nothing"


def test_what_recorded_well_for_a_minute_is_remembered(tmp_path: Path) -> None:
    """A configuration that breaks after ten seconds is nothing to come back to."""
    path, state, health = tmp_path / "config.yaml", tmp_path / "state", Health()
    path.write_text(BASE.format(root=tmp_path))
    kept = state / LAST_GOOD
    state.mkdir()
    reload = Reload(begin(path, state), path, state)
    for now_s, good in ((0, True), (59, True), (59.5, False), (60, True), (119, True)):
        health.condition("disk", good, round(now_s * 1e9), "full.")
        reload.poll(round(now_s * 1e9), health)
        assert not kept.exists(), now_s
    reload.poll(round(120.5e9), health)
    assert load(kept).values == load(path).values
    written = kept.stat().st_mtime_ns
    remember_good(load(path).values, state)
    assert kept.stat().st_mtime_ns == written, "each start would wear the card"


def test_without_a_good_one_a_broken_configuration_is_an_error(tmp_path: Path) -> None:
    """A device that was never set up would record something else than what was written."""
    path, state = tmp_path / "config.yaml", tmp_path / "state"
    path.write_text("log: {level: hot}\n")
    for folder in (None, state):
        with pytest.raises(ConfigError, match=r"log\.level"):
            begin(path, folder)
    (state / LAST_GOOD).parent.mkdir(parents=True)
    (state / LAST_GOOD).write_text("rig: {width: of another version}\n")
    with pytest.raises(ConfigError, match=r"log\.level"):
        begin(path, state)


@pytest.mark.alone
def test_a_device_that_ran_before_starts_on_what_ran(start: Start, tmp_path: Path) -> None:
    """A typing error before a reboot would leave a device on a mast silent until somebody climbs up."""
    good = tmp_path / "good.yaml"
    good.write_text(BASE.format(root=tmp_path))
    (tmp_path / "state").mkdir()
    remember_good(load(good).values, tmp_path / "state")
    recorder = start(BASE.format(root=tmp_path) + "log: {level: hot}\n")
    recorder.wait_for(r"config\.yaml:9: log\.level: got \"hot\"")
    recorder.wait_for("recording with the last good configuration instead")
    recorder.wait_for("configuration: the files cannot be used, the last good one runs")
    recorder.wait_for_frames(5)
    recorder.main.write_text(BASE.format(root=tmp_path))
    recorder.reload()
    recorder.wait_for("reloaded: nothing has changed")
    recorder.process.send_signal(signal.SIGTERM)
    assert recorder.process.wait(20) == 0
