"""``twinhdr run`` as a process, seen from outside: its files, its page, its log, its exit code."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.hw.gige.gige_net import DEDICATED, ROOT

CONFIG = """\
version: 1
rig: {{width: 320, height: 180}}
simulator: {{pace: 1}}
fuse: {{ladder: [merge, reference], threads: 1}}
hdr: {{segment_s: 5}}
masters: {{enabled: true, segment_s: 5}}
preview: {{fps: 5, width: 320}}
web: {{port: {port}}}
thermal: {{enabled: false}}
store: {{root: {root}, min_free_gb: 0, min_free_share: 0}}
"""


class Recorder:
    """One process at a time; ``start`` may be called again after it ended."""

    def __init__(
        self,
        folder: Path,
        root: Path,
        *,
        config: str = CONFIG,
        more: str = "",
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = ("-m", "edge.cli"),
    ) -> None:
        self.folder, self.root, self.port = folder, root, free_port()
        (folder / "conf.d").mkdir(exist_ok=True)
        self.main = folder / "twinhdr.yaml"
        self.main.write_text(config.format(port=self.port, root=root))
        self.overlay = folder / "conf.d" / "10-fault.yaml"
        if more:
            self.overlay.write_text("version: 1\n" + more)
        self.log = folder / "log"
        self.begun_s = 0.0
        self.environment = dict(environment or {})
        self._command = command
        self.process: subprocess.Popen[str] | None = None

    def start(self, **more: str) -> subprocess.Popen[str]:
        """``more``: variables of the environment for this process alone."""
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | self.environment | more
        words = [sys.executable, *self._command, "run", "--config", str(self.main)]
        with self.log.open("a") as log:
            self.process = self.popen(words, environment, log)
        self.begun_s = time.monotonic()
        return self.process

    def popen(self, words: list[str], environment: dict[str, str], log: Any) -> subprocess.Popen[str]:
        first = DEDICATED if os.geteuid() == 0 else ()
        return subprocess.Popen(
            [*first, *words],
            env=environment,
            cwd=self.folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def text(self) -> str:
        """The log of all its processes."""
        return self.log.read_text()

    def line(self, part: str) -> str:
        """The first line of the log with ``part``, without its time and level."""
        found = [line for line in self.text().splitlines() if part in line]
        assert found, f"the log does not say {part!r}:\n{self.text()}"
        return found[0][found[0].index(part) :]

    def fetch(self, path: str) -> str | None:
        """What the page answers; None where it does not."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except (OSError, urllib.error.URLError):
            return None

    def wait(self, timeout_s: float) -> int:
        """The exit code. One that does not end is killed, and the test fails."""
        assert self.process is not None
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"the recorder did not end within {timeout_s} s:\n{self.text()}")

    def end(self, timeout_s: float = 30.0) -> int:
        """As systemd asks."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def until(self, happened: Callable[[], object], timeout_s: float, what: str) -> float:
        """Seconds until ``happened``; fails the test when that takes longer, or the process ends before."""
        begin_s = time.monotonic()
        while not happened():
            waited_s = time.monotonic() - begin_s
            if self.process is not None and self.process.poll() is not None:
                pytest.fail(f"the recorder ended ({self.process.returncode}) before {what}:\n{self.text()}")
            if waited_s > timeout_s:
                pytest.fail(f"no {what} within {timeout_s:.0f} s:\n{self.text()}")
            time.sleep(0.05)  # looks at another process; there is nothing to wait on
        return time.monotonic() - begin_s


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
