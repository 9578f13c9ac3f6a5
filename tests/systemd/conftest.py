"""One installed device for all tests of this folder, made from one bundle by the real install.sh.

Opt-in: TWINHDR_SYSTEMD=1, as root. docs/install.md has the command.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import emulation
import pytest
from device import CAMERA_OVERLAY, HEIGHT, WIDTH, Device, Release, unpack
from machine import ARCHITECTURE, BUILT_FOR, EMULATED, PROJECT, Machine, cable, debian

FOLDER = Path(__file__).parent
TOOLS = ("systemd-nspawn", "debootstrap", "nsenter", "ip", "chrt", "apt-get")


def why_not() -> str:
    """Why these tests cannot run here; empty where they can."""
    if os.environ.get("TWINHDR_SYSTEMD") != "1":
        return "boots a Debian in a container, minutes: TWINHDR_SYSTEMD=1, as root (docs/install.md)"
    if os.geteuid() != 0:
        return "needs root, to boot a container"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    packages = "apt install systemd-container debootstrap iproute2 util-linux"
    return f"needs {', '.join(missing)} ({packages})" if missing else ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = why_not()
    for item in items:
        if item.path.parent == FOLDER:
            item.add_marker(pytest.mark.alone)
            item.add_marker(pytest.mark.timeout(7200 if EMULATED else 1200))
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def workshop() -> Iterator[Path]:
    """A folder for disks and bundles; gigabytes, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="twinhdr-systemd-", dir=os.environ.get("TWINHDR_SYSTEMD_TMP")))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def bundle(workshop: Path) -> Path:
    """What a device without a network gets; made by install.sh, fetched as this machine fetches."""
    file = workshop / "twinhdr.tar"
    command = [PROJECT / "install.sh", "bundle", file, "--arch", BUILT_FOR[ARCHITECTURE], "--python", "3.11"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return file


@pytest.fixture(scope="session")
def fresh(workshop: Path, bundle: Path) -> Iterator[Device]:
    """A Debian that runs, with the bundle at hand, two cameras on its cable and nothing of twinhdr."""
    disk = workshop / "disk"
    subprocess.run(["cp", "--archive", "--reflink=auto", debian(ARCHITECTURE), disk], check=True)
    if EMULATED:
        emulation.prepare(disk)
    first = Release(unpack(bundle, workshop / "first"))
    with cable() as wire:
        machine = Machine(disk, wire.device, (workshop,))
        try:
            machine.boot()
            for role in ("reference", "secondary"):
                wire.plug(role, WIDTH, HEIGHT)
            yield Device(machine, wire, bundle, first)
        finally:
            machine.power_off()


@pytest.fixture(scope="session")
def device(fresh: Device) -> Device:
    """Installed, and set up for two cameras with the shipped example. Tests leave it recording."""
    fresh.install_offline()
    example = "/opt/twinhdr/current/systemd/config-gige.yaml"
    fresh.machine.run(f"cp {example} /etc/twinhdr/config.yaml")
    fresh.write("/etc/twinhdr/conf.d/10-test.yaml", CAMERA_OVERLAY)
    fresh.machine.run("systemctl restart twinhdr")
    fresh.wait_recording()
    return fresh


@pytest.fixture(scope="session")
def second(device: Device, workshop: Path) -> Release:
    """Another state of the code, not installed yet."""
    release = device.first.copy(workshop / "second")
    release.change_version("0.1.99")
    return release


@pytest.fixture(autouse=True)
def afterwards(request: pytest.FixtureRequest) -> Iterator[None]:
    """What the device had to say, where a test failed."""
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed and "fresh" in request.fixturenames:
        made: Device = request.getfixturevalue("fresh")
        print(made.machine.journal())
