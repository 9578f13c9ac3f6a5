"""A Debian machine under real systemd: systemd-nspawn boots a debootstrapped root, PID 1 and all.

Its network is a cable to two simulated GigE cameras that stay up while it reboots.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import emulation

from tests.cache import CACHE

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = "systemd-sysv,dbus,udev,python3,iproute2,procps"
"""What every Debian server has, beyond debootstrap's smallest set."""
NOT_IN_BUNDLE = "python3-venv,python3-gi,gir1.2-aravis-0.8"
"""A bundle for another processor than that of the machine that made it has no system packages."""
BUILT_FOR = {"amd64": "x86_64", "arm64": "aarch64"}
ARCHITECTURE = os.environ.get("TWINHDR_SYSTEMD_ARCH") or (
    "arm64" if platform.machine() == "aarch64" else "amd64"
)
EMULATED = BUILT_FOR[ARCHITECTURE] != platform.machine()
ASKED_FOR_REBOOT = 133
"""What systemd-nspawn --keep-unit ends with."""
BOOT_S = 300.0
PATIENCE_S = 7200.0 if EMULATED else 600.0
"""For one command in the machine, an installation for instance."""
UP = ("running", "degraded")
DEVICE, REFERENCE, SECONDARY = "192.168.77.1", "192.168.77.2", "192.168.77.3"
CLEAN = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}


def debian(architecture: str) -> Path:
    """The folder of a fresh Debian 12, made once: a minute, and four times that for a foreign processor."""
    made = CACHE / f"bookworm-{architecture}"
    if not made.exists():
        half = made.with_suffix(".new")
        shutil.rmtree(half, ignore_errors=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        packages = (
            PACKAGES if BUILT_FOR[architecture] == platform.machine() else f"{PACKAGES},{NOT_IN_BUNDLE}"
        )
        options = ["--variant=minbase", f"--include={packages}", f"--arch={architecture}"]
        command = ["unshare", "--mount", "debootstrap", *options, "bookworm", half]  # its mounts end with it
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        half.rename(made)
    return made


@dataclass
class Machine:
    """One machine. ``root`` is its disk, ``network`` the name of its network namespace."""

    root: Path
    network: str
    bound: tuple[Path, ...] = ()
    """Folders of the host that it sees at the same place, read-only."""
    _nspawn: subprocess.Popen[bytes] | None = None
    _leader: int = 0

    def boot(self) -> None:
        """Until systemd has started everything."""
        command = ["systemd-nspawn", f"--directory={self.root}", "--boot", "--register=no", "--keep-unit"]
        command += ["--quiet", "--console=pipe", f"--network-namespace-path=/run/netns/{self.network}"]
        command += ["--machine=twinhdr-test", *(f"--bind-ro={folder}" for folder in self.bound)]
        if EMULATED:
            command.append(f"--bind-ro={self.root}{emulation.CPUINFO}:/proc/cpuinfo")
        with self.console.open("ab") as console:
            self._nspawn = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT
            )
        end_s = time.monotonic() + BOOT_S
        while True:
            assert self._nspawn.poll() is None, self.console.read_text(errors="replace")[-3000:]
            assert time.monotonic() < end_s, f"no boot within {BOOT_S} s; see {self.console}"
            self._leader = _first_process(self._nspawn.pid)
            if self._leader and self.run("systemctl is-system-running", check=False) in (
                "running",
                "degraded",
            ):
                return
            time.sleep(0.1)  # polls another machine; there is nothing to wait on

    @property
    def console(self) -> Path:
        return self.root.with_suffix(".console")

    def popen(self, script: str, **more: str) -> subprocess.Popen[str]:
        """A shell in the machine, as root, with a clean environment."""
        enter = ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "-C", "--"]
        return subprocess.Popen(
            [*enter, "bash", "-c", script],
            env=CLEAN | more,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def ended(self, script: str, timeout_s: float = PATIENCE_S, **more: str) -> tuple[int, str]:
        """Exit code and output."""
        process = self.popen(script, **more)
        try:
            output, _ = process.communicate(timeout=timeout_s)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        return process.returncode, output.strip()

    def run(self, script: str, *, check: bool = True, timeout_s: float = PATIENCE_S) -> str:
        """Output of a command that must succeed, unless ``check`` is False."""
        code, output = self.ended(script, timeout_s)
        assert not check or code == 0, f"{script}\nended with {code}:\n{output}"
        return output

    def show(self, unit: str, name: str) -> str:
        """A property of a unit, as systemd tells it."""
        return self.run(f"systemctl show {unit} --property={name} --value")

    def until(self, script: str, timeout_s: float, what: str) -> float:
        """Seconds until ``script`` succeeds in the machine; fails the test after ``timeout_s``."""
        begin_s = time.monotonic()
        while self.ended(script)[0] != 0:
            if time.monotonic() > begin_s + timeout_s:
                raise AssertionError(f"no {what} within {timeout_s} s:\n{self.journal()}")
            time.sleep(0.2)  # polls another machine; there is nothing to wait on
        return time.monotonic() - begin_s

    def journal(self, unit: str = "twinhdr.service", lines: int = 40) -> str:
        return self.run(f"journalctl --no-pager --output=short-precise -n {lines} -u {unit}", check=False)

    def reboot(self) -> None:
        self.ended("systemctl reboot")
        assert self._gone() == ASKED_FOR_REBOOT
        self.boot()

    def cut_power(self) -> None:
        """No process gets a signal that it could act on."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._leader, 9)
        self._gone()

    def power_off(self) -> None:
        if self._nspawn is not None and self._nspawn.poll() is None:
            self.ended("systemctl poweroff")
            try:
                self._gone()
            except subprocess.TimeoutExpired:
                self.cut_power()

    def _gone(self) -> int:
        assert self._nspawn is not None
        return self._nspawn.wait(60)


def _first_process(nspawn: int) -> int:
    """The host's number of what is process 1 in the machine; 0 while there is none."""
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split()
        for child in map(int, children):
            status = Path(f"/proc/{child}/status").read_text()
            numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
            if len(numbers) > 2 and numbers[-1] == "1":
                return child
            deeper = _first_process(child)
            if deeper:
                return deeper
    return 0


@dataclass
class Cable:
    """A device's network and, at its other end, two cameras."""

    device: str = field(default_factory=lambda: f"twinhdr-dev-{os.getpid()}")
    cameras: str = field(default_factory=lambda: f"twinhdr-cam-{os.getpid()}")
    _running: list[subprocess.Popen[str]] = field(default_factory=list)

    def plug(self, role: str, width: int, height: int) -> None:
        """A camera: REF01 or SEC01. Returns when it answers."""
        address, serial = (REFERENCE, "REF01") if role == "reference" else (SECONDARY, "SEC01")
        command = [sys.executable, "-m", "hw.simulator.gige", "--interface", address, "--serial", serial]
        command += ["--role", role, "--width", str(width), "--height", str(height)]
        command += ["--film-cache", str(CACHE / "films")]
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.cameras, "chrt", "--rr", "1", *command],
            cwd=PROJECT,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._running.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("READY"), line + process.stdout.read()

    def unplug(self) -> None:
        """Both cameras, with all that they are."""
        for process in self._running:
            process.terminate()
            process.wait(10)
            if process.stdout is not None:
                process.stdout.close()
        self._running.clear()


@contextlib.contextmanager
def cable() -> Iterator[Cable]:
    """Made by ``ip netns``, so it takes root."""
    made = Cable()
    ip = ["ip", "-n"]
    try:
        for name in (made.device, made.cameras):
            subprocess.run(["ip", "netns", "add", name], check=True)
            subprocess.run([*ip, name, "link", "set", "lo", "up"], check=True)
        ends = ["type", "veth", "peer", "name", "eth0", "netns", made.cameras]
        subprocess.run([*ip, made.device, "link", "add", "eth0", "mtu", "9000", *ends], check=True)
        subprocess.run([*ip, made.cameras, "link", "set", "eth0", "mtu", "9000"], check=True)
        for name, addresses in ((made.device, [DEVICE]), (made.cameras, [REFERENCE, SECONDARY])):
            for address in addresses:
                subprocess.run([*ip, name, "addr", "add", f"{address}/24", "dev", "eth0"], check=True)
            subprocess.run([*ip, name, "link", "set", "eth0", "up"], check=True)
        yield made
    finally:
        made.unplug()
        for name in (made.device, made.cameras):
            subprocess.run(["ip", "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)
