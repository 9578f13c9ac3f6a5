"""A network of its own for two simulated GigE Vision cameras and what receives them.

As root a network namespace made by ``ip netns``; without, one of ``unshare -rn``. Programs in it run without
privileges either way, as the recorder does in the field. Where neither can be made, tests say why they skip.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

OWN_PROCESSOR = ("chrt", "--rr", "1")
"""As a camera: nothing else that runs on this machine holds it up."""
DEDICATED = ("nice", "-n", "-16")
"""As on a machine that does nothing else."""

ROOT = Path(__file__).resolve().parents[3]
REFERENCE, SECONDARY = "127.0.0.2", "127.0.0.3"
NOBODY = 65534
SOCKET_BUFFER = 4 << 20

NEEDS_ARAVIS = "needs Aravis: apt install gir1.2-aravis-0.8 python3-gi, venv with --system-site-packages"

_FETCH = """
import json, sys, urllib.request
for line in sys.stdin:
    try:
        with urllib.request.urlopen(line.strip(), timeout=5) as answer:
            print(json.dumps(answer.read().decode()), flush=True)
    except OSError as error:
        print(json.dumps(None), flush=True)
"""


def missing() -> str:
    """Why no network can be made here; empty where one can."""
    for tool in ("ip", "setpriv") if os.geteuid() == 0 else ("unshare", "nsenter", "ip"):
        if shutil.which(tool) is None:
            return f"needs {tool} (apt install iproute2 util-linux)"
    probe = ["ip", "netns", "list"] if os.geteuid() == 0 else ["unshare", "-rn", "ip", "link", "show"]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        return f"needs a network namespace, and '{' '.join(probe)}' fails here"
    return ""


def lacks_aravis() -> bool:
    code = "import gi; gi.require_version('Aravis', '0.8'); from gi.repository import Aravis"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode != 0


def small_socket_buffer() -> bool:
    """Whether the kernel would not give a receiver the buffer that a camera's bursts need."""
    return int(Path("/proc/sys/net/core/rmem_max").read_text()) < SOCKET_BUFFER


NEEDS_BUFFER = f"needs a receive buffer of 4 MiB: sysctl -w net.core.rmem_max={SOCKET_BUFFER}"

_HOLD = """
import socket, struct, sys, time
address, until = sys.argv[1], None
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.settimeout(0.005)
given_up = time.monotonic() + 20
for number in range(1, 60000):
    link.sendto(struct.pack(">BBHHHII", 0x42, 1, 0x82, 8, number, 0xA00, 2), (address, 3956))
    try:
        held = link.recv(64)[:2] == b"\\0\\0"
    except OSError:
        held = False
    if held and until is None:
        print("HELD", flush=True)
        until = time.monotonic() + float(sys.argv[2])
    if until is None and time.monotonic() > given_up:
        break
    if until is None:
        time.sleep(0.002)
    elif time.monotonic() < until:
        time.sleep(0.1)
    else:
        break
link.sendto(struct.pack(">BBHHHII", 0x42, 1, 0x82, 8, 60000, 0xA00, 0), (address, 3956))
print("RELEASED", flush=True)
"""
"""Another application: takes control of a camera as soon as it can, and lets go after some seconds."""


@dataclass
class SimulatedCamera:
    """One ``python -m hw.simulator.gige`` process; it may be killed and started again."""

    net: GigeNet
    address: str
    arguments: list[str]
    truth_file: Path
    process: subprocess.Popen[str] | None = None
    back_at: list[float] = field(default_factory=list)
    """time.monotonic() of each READY."""

    def start(self) -> None:
        command = [sys.executable, "-m", "hw.simulator.gige", "--interface", self.address, *self.arguments]
        process = self.net.popen(
            command, first=OWN_PROCESSOR, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("READY"), line + process.stdout.read()
        self.process = process
        self.back_at.append(time.monotonic())

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """As a cut power cable."""
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait()

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(10)
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()

    def truth(self) -> list[dict[str, Any]]:
        """Every exposure the camera took, as it knows itself; a torn last line is left out."""
        lines = self.truth_file.read_text().splitlines() if self.truth_file.exists() else []
        rows = []
        for line in lines:
            with contextlib.suppress(json.JSONDecodeError):
                rows.append(json.loads(line))
        return rows


@dataclass
class GigeNet:
    """``prefix`` enters the network as an ordinary user; ``folder`` is that user's to write."""

    prefix: list[str]
    folder: Path
    films: Path
    cameras: list[SimulatedCamera] = field(default_factory=list)
    _fetcher: subprocess.Popen[str] | None = None

    def popen(self, command: list[str], *, first: Sequence[str] = (), **more: Any) -> subprocess.Popen[str]:
        """``first``: a command that lets it run before other work, used where that may be asked for."""
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "HOME": str(self.folder),
        }
        more.setdefault("cwd", self.folder)
        priority = first if os.geteuid() == 0 else ()
        return subprocess.Popen([*priority, *self.prefix, *command], text=True, env=environment, **more)

    def run(self, command: list[str], timeout_s: float = 60.0) -> str:
        """Standard output of a command that must succeed."""
        process = self.popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            output, _ = process.communicate(timeout=timeout_s)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        assert process.returncode == 0, output
        return output

    def camera(self, role: str, *arguments: str) -> SimulatedCamera:
        """A running camera: REF01 at 127.0.0.2 or SEC01 at 127.0.0.3."""
        address, serial = (REFERENCE, "REF01") if role == "reference" else (SECONDARY, "SEC01")
        truth = self.folder / f"truth-{role}-{len(self.cameras)}.jsonl"
        fixed = ["--role", role, "--serial", serial, "--truth", str(truth), "--film-cache", str(self.films)]
        camera = SimulatedCamera(self, address, [*fixed, *arguments], truth)
        self.cameras.append(camera)
        camera.start()
        return camera

    def hold(self, address: str, seconds: float) -> subprocess.Popen[str]:
        """Another application that takes the camera; says HELD when it has it and RELEASED when it let go."""
        command = [sys.executable, "-c", _HOLD, address, str(seconds)]
        return self.popen(command, first=OWN_PROCESSOR, stdout=subprocess.PIPE)

    def fetch(self, url: str) -> str | None:
        """What a page in the network answers; None where nothing does."""
        if self._fetcher is None:
            self._fetcher = self.popen(
                [sys.executable, "-c", _FETCH], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        assert self._fetcher.stdin is not None
        assert self._fetcher.stdout is not None
        self._fetcher.stdin.write(url + "\n")
        self._fetcher.stdin.flush()
        answer: str | None = json.loads(self._fetcher.stdout.readline())
        return answer

    def end(self) -> None:
        for camera in self.cameras:
            camera.end()
        if self._fetcher is not None:
            self._fetcher.kill()
            self._fetcher.wait()


@contextlib.contextmanager
def network() -> Iterator[GigeNet]:
    """Two addresses, a folder, nothing else. Skips the test where that cannot be made."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    folder = _open_folder()
    entered = _named_namespace() if os.geteuid() == 0 else _own_namespace()
    try:
        with entered as prefix:
            net = GigeNet(prefix, folder, _films())
            try:
                yield net
            finally:
                net.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _open_folder() -> Path:
    """A folder that the ordinary user may write; pytest's own are closed to everybody else."""
    folder = Path(tempfile.mkdtemp(prefix="twinhdr-gige-"))
    folder.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    return folder


@functools.cache
def _films() -> Path:
    """Prepared films, kept for all tests of one run."""
    folder = _open_folder()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextlib.contextmanager
def _named_namespace() -> Iterator[list[str]]:
    name = f"twinhdr-{os.getpid()}-{time.monotonic_ns() % 10**9}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        for address in (REFERENCE, SECONDARY):
            subprocess.run(["ip", "-n", name, "addr", "add", f"{address}/8", "dev", "lo"], check=True)
        ids = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        yield ["ip", "netns", "exec", name, "setpriv", *ids, "--"]
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False)


@contextlib.contextmanager
def _own_namespace() -> Iterator[list[str]]:
    addresses = "".join(f"ip addr add {address}/8 dev lo; " for address in (REFERENCE, SECONDARY))
    script = f"ip link set lo up; {addresses}echo ready; exec cat"
    with subprocess.Popen(
        ["unshare", "-rn", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        try:
            yield ["nsenter", "-t", str(holder.pid), "-U", "-n", "--preserve-credentials", "--"]
        finally:
            holder.kill()


def metric(text: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels in Prometheus' text format; 0.0 without any."""
    total = 0.0
    for row in re.finditer(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE):
        found = dict(re.findall(r'(\w+)="([^"]*)"', row[1] or ""))
        if all(found.get(key) == value for key, value in labels.items()):
            total += float(row[2])
    return total
