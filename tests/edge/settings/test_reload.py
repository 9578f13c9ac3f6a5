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

from edge.frames import CameraName
from edge.session import Session
from edge.settings.edit import effective
from edge.settings.state import running_values

BASE = """\
version: 1
rig: {{width: 192, height: 128}}
simulator: {{pace: 0.5}}
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

    def start(text: str = "", number: int = 0) -> Recorder:
        main, state = tmp_path / "etc" / "config.yaml", tmp_path / "state"
        for folder in (main.parent, state):
            folder.mkdir(exist_ok=True)
        main.write_text(text or BASE.format(root=tmp_path))
        session = tmp_path / f"session{number}"
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

    changed = good.replace("segment_s: 2", "segment_s: 2, crf: 40").replace("width: 192", "width: 256")
    recorder.main.write_text(changed + "log: {level: warning}\npreview: {width: 96, fps: 3}\n")
    recorder.reload()
    recorder.wait_for(r"configuration change: changed, and waiting for a restart: rig\.width")
    running = running_values(recorder.state)
    assert running is not None
    waiting = [row.key for row in effective(recorder.main) if row.value != running[row.key]]
    assert waiting == ["rig.width"]
    assert (running["hdr.crf"], running["preview.width"], running["log.level"]) == (40, 96, "warning")

    recorder.wait_for_frames(recorder.frames() + 75)  # a file begun after the change
    recorder.process.send_signal(signal.SIGTERM)
    assert recorder.process.wait(20) == 0
    session = Session.open(recorder.session)
    assert session.clean
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


@pytest.mark.alone
def test_a_device_that_ran_before_starts_on_what_ran(start: Start, tmp_path: Path) -> None:
    """A typing error before a reboot would leave a device on a mast silent until somebody climbs up."""
    first = start(BASE.format(root=tmp_path) + "log: {level: hot}\n")
    assert first.process.wait(30) == 78, "there is nothing to come back to"
    from edge.config import load
    from edge.settings.state import LAST_GOOD, remember_good

    good = tmp_path / "good.yaml"
    good.write_text(BASE.format(root=tmp_path))
    values = load(good).values
    remember_good(values, first.state)
    written = (first.state / LAST_GOOD).stat().st_mtime_ns
    remember_good(values, first.state)
    assert (first.state / LAST_GOOD).stat().st_mtime_ns == written, "each boot would wear the card"
    assert load(first.state / LAST_GOOD).values == values

    second = start(BASE.format(root=tmp_path) + "log: {level: hot}\n", number=1)
    second.wait_for(r"config\.yaml:9: log\.level: got \"hot\"")
    second.wait_for("recording with the last good configuration instead")
    second.wait_for("configuration: the files cannot be used, the last good one runs")
    second.wait_for_frames(5)
    second.main.write_text(BASE.format(root=tmp_path))
    second.reload()
    second.wait_for("configuration: good again|configuration reloaded|nothing has changed")
    second.process.send_signal(signal.SIGTERM)
    assert second.process.wait(20) == 0
