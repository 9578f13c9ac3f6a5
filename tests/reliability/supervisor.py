"""A stand-in for systemd: starts a recorder again when it ends or lets its watchdog go hungry.

It knows of the unit what counts here: ``WatchdogSec``, ``RestartSec`` and ``TimeoutStopSec``. The real one is
in tests/systemd.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
import time

from tests.hw.gige.gige_net import ROOT
from tests.reliability.recorder import Recorder

UNIT = ROOT / "systemd" / "twinhdr.service"


def seconds_of(key: str, otherwise: float) -> float:
    """A time of the unit file, in seconds."""
    found = re.search(rf"^{key}=(\d+)s?$", UNIT.read_text(), re.MULTILINE)
    return float(found[1]) if found else otherwise


class Supervisor:
    """Keeps ``recorder`` running in a thread, until ``stop``. ``starts`` counts its processes."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.starts = 0
        self.bitten = 0
        """How often the watchdog bit."""
        self._stopping = threading.Event()
        self._path = recorder.folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._path))
        self._socket.settimeout(0.1)
        self.watchdog_s = seconds_of("WatchdogSec", 0.0)
        self.restart_s = seconds_of("RestartSec", 0.1)
        self.abort_s = seconds_of("TimeoutStopSec", 90.0)
        self._begin()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No restart any more."""
        self._stopping.set()
        self._thread.join(10)
        self._socket.close()

    def _begin(self) -> None:
        self.starts += 1
        process = self.recorder.start(
            NOTIFY_SOCKET=str(self._path), WATCHDOG_USEC=str(round(self.watchdog_s * 1e6))
        )
        self._process = process
        self._fed_s: float | None = None

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._listen()
            hungry_s = 0.0 if self._fed_s is None else time.monotonic() - self._fed_s
            if self._process.poll() is None and self.watchdog_s and hungry_s > self.watchdog_s:
                self._bite()
            if self._process.poll() is not None and not self._stopping.wait(self.restart_s):
                self._begin()

    def _listen(self) -> None:
        try:
            said = self._socket.recv(4096).decode().splitlines()
        except TimeoutError:
            return
        if "READY=1" in said or "WATCHDOG=1" in said:
            self._fed_s = time.monotonic()

    def _bite(self) -> None:
        """As systemd: SIGABRT, SIGCONT so that a stopped process hears it, SIGKILL for who is deaf."""
        self.bitten += 1
        self._process.send_signal(signal.SIGABRT)
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(self.abort_s)
        except subprocess.TimeoutExpired:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
