"""Upgrade, the way back and the probation, under real systemd."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from device import UNIT, Device, Release

UPGRADE_STEPS = (
    "install_packages",
    "build_release",
    "make_user",
    "begin_probation",
    "make_folders",
    "put_files",
    "switch_to",
    "apply_settings",
    "enable_units",
    "start_release",
    "await_probation",
    "remove_old_releases",
)
MARK = "/opt/twinhdr/probation"
SHORT = "/etc/systemd/system/twinhdr-probation.service.d/short.conf"


def kept(device: Device) -> dict[str, str]:
    """Configuration, and recordings that have ended."""
    files = [*device.path("/etc/twinhdr").rglob("*")]
    for session in device.sessions()[:-1]:
        files += session.rglob("*")
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()}


@pytest.fixture
def short_probation(device: Device) -> Iterator[None]:
    """Three seconds instead of a minute."""
    device.path(SHORT).parent.mkdir()
    device.write(SHORT, "[Service]\nEnvironment=TWINHDR_HEALTHY_S=3 TWINHDR_STARTS_S=40\n")
    device.machine.run("systemctl daemon-reload")
    yield
    device.path(SHORT).unlink()
    device.path(SHORT).parent.rmdir()
    device.machine.run("systemctl daemon-reload")


def test_an_upgrade_stays_after_its_minute_and_keeps_the_rest(device: Device, second: Release) -> None:
    """Configuration and film are worth more than any release; the full minute is waited here, once."""
    first, before, count = device.current, kept(device), len(device.sessions())
    code, output = device.install(second)
    assert code == 0, output
    assert "healthy for 60 s and stays" in device.machine.journal("twinhdr-probation.service")
    assert device.current.startswith("0.1.99-")
    assert device.current != first
    device.wait_recording(since=count)
    after = kept(device)
    assert {name: after.get(name) for name in before} == before
    assert not device.path(MARK).exists()


def test_the_way_back_needs_one_command_and_no_clone(device: Device, second: Release) -> None:
    """On a roof there is the device and a telephone."""
    assert device.current.startswith("0.1.99-")
    before, count = kept(device), len(device.sessions())
    device.machine.run("/opt/twinhdr/current/install.sh rollback")
    device.wait_recording(since=count)
    assert device.current.startswith("0.1.0-")
    main = device.machine.show(UNIT, "MainPID")
    assert device.current in device.machine.run(f"tr '\\0' ' ' </proc/{main}/cmdline")
    after = kept(device)
    assert {name: after.get(name) for name in before} == before


@pytest.mark.usefixtures("short_probation")
def test_an_upgrade_cut_at_any_step_and_run_again_records(device: Device, second: Release) -> None:
    """Whatever moment the power chooses: a device that records, and the new release when asked again."""
    assert device.current.startswith("0.1.0-")
    for step in UPGRADE_STEPS:
        device.install_cut(second, step)
        device.wait_recording(frames=3)
        code, output = device.install(second)
        assert code == 0, f"after a cut before {step}:\n{output}"
        device.wait_recording(frames=3)
        assert device.current.startswith("0.1.99-"), step
        main = device.machine.show(UNIT, "MainPID")
        assert "releases/0.1.99-" in device.machine.run(f"cat /proc/{main}/cmdline | tr '\\0' ' '"), step
        assert not device.path(MARK).exists(), step
        device.machine.run("/opt/twinhdr/current/install.sh rollback")
        device.wait_recording(frames=3)
        assert device.current.startswith("0.1.0-"), step


@pytest.mark.usefixtures("short_probation")
def test_power_lost_after_the_switch_is_judged_after_the_boot(device: Device, second: Release) -> None:
    """A new release that nobody watched must not become the one that stays by a power cut."""
    count = len(device.sessions())
    device.install_cut(second, "start_release")
    assert device.path(MARK).exists()
    device.machine.cut_power()
    device.machine.boot()
    device.wait_recording(since=count)
    device.machine.until(f"test ! -e {MARK}", 60, "judgement of the new release")
    assert device.current.startswith("0.1.99-")
    device.machine.run("/opt/twinhdr/current/install.sh rollback")
    device.wait_recording()


@pytest.mark.usefixtures("short_probation")
@pytest.mark.parametrize(
    "fault", ["raise SystemExit(1)", "import time; time.sleep(3600)"], ids=["falls", "hangs"]
)
def test_a_release_that_does_not_record_is_left_by_itself(device: Device, workshop: Path, fault: str) -> None:
    """Nobody is there to see that the release of last night films nothing."""
    good = device.current
    bad = device.first.copy(workshop / f"bad-{len(fault)}")
    bad.spoil("edge/daemon/run.py", f"\n\ndef run_daemon(*_: object) -> int:\n    {fault}\n")
    count = len(device.sessions())
    code, output = device.install(bad)
    assert code == 1, output
    assert f"{good} is back" in output
    device.wait_recording(since=count)
    assert device.current == good
    code, output = device.machine.ended("/opt/twinhdr/current/install.sh rollback")
    assert (code, "no release before" in output) == (1, True)
    device.machine.run("systemctl reset-failed")
