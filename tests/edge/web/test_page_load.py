"""Fifty readers who do not read, at a daemon that really records: the recording must not notice them.

Eight seconds in the suite; two minutes at the default size with TWINHDR_LONG=1.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge.session.recording import Session
from tests.edge.web.page_client import make_session

LONG = os.environ.get("TWINHDR_LONG") == "1"
SECONDS, SIZE, FPS = (120.0, (960, 540), 30) if LONG else (8.0, (192, 128), 15)
READERS = 50
CONFIG = """\
version: 1
rig:
  width: {size[0]}
  height: {size[1]}
  reference: {{fps: {fps}}}
  secondary: {{fps: {fps}}}
simulator: {{pace: 1.0}}
# What is tested is the page beside the recording, not how fast this machine fuses and encodes.
fuse: {{ladder: [reference]}}
hdr: {{codec: av1, preset: 13}}
web: {{port: {port}}}
store: {{root: {root}, min_free_gb: 0, min_free_share: 0}}
"""
# The paths that hold a connection longest: moving pictures, figures, the largest file, and single pictures.
PATHS = (
    "/preview/fused.mjpg",
    "/api/events",
    "/api/sessions/big/session.tar",
    "/preview/set?streams=fused,reference,low,high,fused-clipped,reference-clipped",
    "/preview/reference.jpg",
)


@dataclass
class Recorder:
    """A recording under way, with its page."""

    process: subprocess.Popen[bytes]
    port: int
    session: Path

    def status(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/status", timeout=30) as answer:
            told: dict[str, Any] = json.loads(answer.read())
            return told


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    port = free_port()
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.format(size=SIZE, fps=FPS, port=port, root=tmp_path / "sessions"))
    big = make_session(tmp_path / "sessions", "big")
    with (big / "hdr" / "000001.mp4").open("wb") as file:
        file.truncate(2_000_000_000)
    session = tmp_path / "session"
    command = [sys.executable, "-m", "edge.cli", "run", "--config", str(config), "--session", str(session)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield Recorder(process, port, session)
    finally:
        process.kill()
        process.wait()


def frames(status: dict[str, Any]) -> dict[str, int]:
    counted: dict[str, int] = status["totals"].get("frames", {})
    return counted


def wait_for_frames(recorder: Recorder) -> None:
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError, ValueError):
            if frames(recorder.status()).get("fused", 0) > FPS:
                return
        assert time.monotonic() < deadline, "the recording did not begin"
        time.sleep(0.2)


def ask_and_not_read(port: int, path: str) -> socket.socket:
    """A connection with as little room for an answer as the kernel gives."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.settimeout(20)
    reader.connect(("127.0.0.1", port))
    reader.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    reader.setblocking(False)
    return reader


@pytest.mark.alone
def test_fifty_slow_readers_cost_no_frame(recorder: Recorder) -> None:
    """A school class with phones, a forgotten tab, a download over a bad radio link: no frame is lost."""
    wait_for_frames(recorder)
    before = recorder.status()
    with contextlib.ExitStack() as readers:
        asleep = [
            readers.enter_context(ask_and_not_read(recorder.port, PATHS[i % len(PATHS)]))
            for i in range(READERS)
        ]
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            # Now and then each takes a few bytes, as a bad link would, so that nobody lets it go.
            for reader in asleep:
                with contextlib.suppress(OSError):
                    reader.recv(64)
            time.sleep(0.2)
        during = recorder.status()
    recorder.process.send_signal(signal.SIGINT)
    assert recorder.process.wait(30) == 0
    taken = {name: frames(during)[name] - frames(before)[name] for name in frames(before)}
    print(f"{READERS} readers for {SECONDS:.0f} s: {taken} frames")
    session = Session.open(recorder.session)
    assert session.clean
    assert list(session.records("drop")) == []
    sequence = [record.fields["seq"] for record in session.records("reference")]
    assert sequence == list(range(sequence[0], sequence[0] + len(sequence))), "no number is missing"
    fused = [record.fields["seq"] for record in session.records("hdr")]
    assert fused == sequence[: len(fused)]
    assert len(sequence) - len(fused) <= 1
    assert sum(during["totals"].get("drops", {}).values()) == 0
    assert taken["reference"] >= 0.5 * SECONDS * FPS, "and it went on at its pace"
