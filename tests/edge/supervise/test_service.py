"""``twinhdr run`` as systemd starts it: told by one socket, ended by signals, and patient."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.session.recording import Session

PATIENCE_S = 120.0
LONG = os.environ.get("TWINHDR_LONG") == "1"
BOTH = (True, False) if LONG else (True,)
"""With masters READY means a master; without, which takes longer, an encoded frame."""
CONFIG = """\
version: 1
rig: {{width: 192, height: 128, bit_depth: 8, source: {source}, secondary: {{fps: {fps}}}}}
simulator: {{pace: 1}}
video: {{reference: {{uri: {folder}/reference.mp4}}, secondary: {{uri: {folder}/secondary.mp4}}}}
web: {{enabled: false}}
fuse: {{ladder: [merge, reference]}}
masters: {{enabled: {masters}}}
store: {{root: {folder}, min_free_gb: 0, min_free_share: 0}}
"""


class Service:
    """The process, and what it tells."""

    def __init__(self, folder: Path, source: str, masters: bool = True) -> None:
        self.session = folder / "session"
        config = folder / "run.yaml"
        fps = 30 if source == "video" else 15  # both films are the same one
        config.write_text(CONFIG.format(folder=folder, source=source, fps=fps, masters=str(masters).lower()))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify"))
        self._socket.settimeout(PATIENCE_S)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edge.cli", "run", "--config", config, "--session", self.session],
            env=os.environ | {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "10000000"},
            stderr=subprocess.PIPE,
        )
        self.told: list[str] = []

    def until(self, beginning: str) -> str:
        """The next line that begins so."""
        end_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < end_s:
            for line in self._socket.recv(4096).decode().split("\n"):
                self.told.append(line)
                if line.startswith(beginning):
                    return line
        pytest.fail(f"no {beginning} among {self.told[-20:]}")

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        self.process.kill()
        print(self.process.communicate()[1].decode())  # shown where a test fails
        self._socket.close()


@pytest.fixture
def service(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Service]:
    started = Service(tmp_path, *request.param)
    yield started
    started.close()


@pytest.mark.parametrize("service", [("simulator", masters) for masters in BOTH], indirect=True)
def test_ready_with_the_first_recorded_frame(service: Service) -> None:
    """What waits for the service would look for a recording that is not there."""
    service.until("READY=1")
    lines = [json.loads(line) for line in (service.session / "frames.jsonl").read_text().splitlines()]
    wanted = "hdr" if '"enabled":false' in _masters(service.session) else "reference"
    assert [line for line in lines if line["kind"] == wanted and "file" in line]
    assert any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in service.told), "measuring takes time"
    assert "WATCHDOG=1" not in service.told
    service.until("WATCHDOG=1")
    assert service.until("STATUS=session: ").endswith(("merge", "reference", "no rung yet"))
    assert service.end(signal.SIGTERM) == 0
    service.until("STOPPING=1")
    assert Session.open(service.session).clean


def _masters(session: Path) -> str:
    config = json.loads((session / "session.json").read_text())["config"]["masters"]
    return json.dumps({"enabled": config["enabled"]}, separators=(",", ":"))


@pytest.mark.parametrize("service", [("video", True)], indirect=True)
def test_cameras_that_are_not_there_yet_are_waited_for(
    service: Service, tmp_path: Path, recording: Path
) -> None:
    """Else a camera that boots slower than the computer makes a storm of restarts, and then silence."""
    status = service.until("STATUS=waiting for cameras: ")
    assert "reference.mp4" in status
    status = service.until("EXTEND_TIMEOUT_USEC=")
    video = next((recording / "hdr").glob("*.mp4"))
    for name in ("secondary", "reference"):  # the one that is asked for first comes last
        shutil.copy(video, tmp_path / f"{name}.new")
        (tmp_path / f"{name}.new").rename(tmp_path / f"{name}.mp4")
    service.until("STOPPING=1")
    assert service.process.wait(PATIENCE_S) == 0, "the film is over"
    assert "READY=1" in service.told
    assert len(list(Session.open(service.session).frame_records("reference"))) == 60


@pytest.mark.parametrize("service", [("video", True)], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT] if LONG else [signal.SIGTERM])
def test_who_waits_can_be_stopped(service: Service, number: signal.Signals) -> None:
    """A shutdown would wait for a camera that is in its box."""
    service.until("STATUS=waiting for cameras: ")
    assert service.end(number) == 0
    assert not service.session.exists()


def test_in_a_terminal_what_is_missing_ends_the_command(tmp_path: Path) -> None:
    """A person who types the command wants to read what is wrong, not to wait for nothing."""
    config = tmp_path / "run.yaml"
    config.write_text(CONFIG.format(folder=tmp_path, source="video", fps=30, masters="false"))
    environ = {key: value for key, value in os.environ.items() if key != "NOTIFY_SOCKET"}
    begin_s = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-m", "edge.cli", "run", "--config", config],
        env=environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert ended.returncode == 69
    assert "reference.mp4" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert time.monotonic() - begin_s < PATIENCE_S
