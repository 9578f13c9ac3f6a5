"""The running service under real systemd: how it falls, ends, is closed off, and what it may write."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import pytest
from device import HEIGHT, UNIT, WIDTH, Device

EXPOSURE = 2.0
"""systemd's measure, 0 (closed) to 10."""
OWN = ("/var/lib/twinhdr", "/etc/twinhdr/conf.d")
EVERYBODYS = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run/lock", "/proc", "/sys", "/dev")
"""World-writable on every Debian, or no folders of files; inside the unit they are its own or closed."""


def test_it_comes_back_after_kill_9(device: Device) -> None:
    """The kernel kills the largest process when memory runs out; film goes on within seconds."""
    old, count = device.newest(), len(device.sessions())
    device.machine.run(f"systemctl kill --signal=KILL {UNIT}")
    begin_s = time.monotonic()
    new = device.wait_recording(since=count, frames=1)
    print(f"recording {time.monotonic() - begin_s:.1f} s after kill -9")
    assert device.machine.show(UNIT, "NRestarts") == "1"
    assert new != old
    info = device.machine.run(
        f"/opt/twinhdr/current/venv/bin/twinhdr info /{old.relative_to(device.machine.root)}"
    )
    assert "reference" in info


def test_it_ends_within_its_limit_and_closes_its_files(device: Device) -> None:
    """A shutdown that has to kill the recorder costs the last second of film."""
    device.wait_recording()
    session = device.newest()
    begin_s = time.monotonic()
    device.machine.run(f"systemctl stop {UNIT}")
    took_s = time.monotonic() - begin_s
    limit_us = int(device.machine.show(UNIT, "TimeoutStopUSec").removesuffix("s")) * 1_000_000
    assert took_s * 1e6 < limit_us
    assert device.machine.show(UNIT, "Result") == "success"
    assert device.lines(session, "end"), "the session has no end"
    print(f"stopped in {took_s:.1f} s")
    count = len(device.sessions())
    device.machine.run(f"systemctl start {UNIT}")
    device.wait_recording(since=count)


WRONG = "/etc/twinhdr/conf.d/99-wrong.yaml"
LAST_GOOD = "/var/lib/twinhdr/last-good"


@pytest.fixture
def wrong_configuration(device: Device) -> Iterator[None]:
    """A typing error in the folder of configurations; afterwards it is corrected."""
    device.wait_recording()
    device.machine.until(f"test -e {LAST_GOOD}/config.yaml", 90, "last good configuration")
    device.write(WRONG, "version: 1\nrig: {width: many}\n")
    yield
    device.path(WRONG).unlink()
    count = len(device.sessions())
    device.machine.run(f"systemctl restart {UNIT}")
    device.wait_recording(since=count)


@pytest.mark.usefixtures("wrong_configuration")
def test_a_device_that_has_recorded_goes_on_with_its_last_good_configuration(device: Device) -> None:
    """A typing error must not cost the film of a day."""
    count = len(device.sessions())
    device.machine.run(f"systemctl restart {UNIT}")
    device.wait_recording(since=count)
    assert "99-wrong.yaml:2: rig.width" in device.machine.journal()


@pytest.mark.usefixtures("wrong_configuration")
def test_a_wrong_configuration_without_a_good_one_is_not_started_again_and_again(device: Device) -> None:
    """A restart every second would bury the one line that tells a person what to write."""
    device.machine.run(f"rm -r {LAST_GOOD}")
    device.machine.ended(f"systemctl restart {UNIT}")
    device.machine.until(f"systemctl is-failed {UNIT}", 30, "end of a service with a wrong configuration")
    time.sleep(3)  # longer than RestartSec: what must not happen would happen here
    assert device.machine.show(UNIT, "ExecMainStatus") == "78"
    assert device.machine.show(UNIT, "NRestarts") == "0"
    assert "99-wrong.yaml:2: rig.width" in device.machine.journal()


def test_cameras_that_come_up_after_it_are_filmed(device: Device) -> None:
    """A switch that powers its cameras boots longer than a Jetson; nobody is there to start it again."""
    device.machine.ended(f"systemctl stop {UNIT}")
    device.wire.unplug()
    count = len(device.sessions())
    device.machine.ended(f"systemctl start --no-block {UNIT}")
    time.sleep(45)  # what a switch takes
    assert device.machine.show(UNIT, "ActiveState") == "activating"
    assert "waiting for cameras" in device.machine.show(UNIT, "StatusText")
    assert device.machine.show(UNIT, "NRestarts") == "0"
    for unit in ("twinhdr-usb@none.service", "twinhdr-usb-settle.service", "twinhdr-probation.service"):
        code, _ = device.machine.ended(f"timeout 20 systemctl start {unit}")
        assert code != 124, (
            f"{unit} waits for cameras; a stick with another configuration would never be read"
        )
    for role in ("reference", "secondary"):
        device.wire.plug(role, WIDTH, HEIGHT)
    begin_s = time.monotonic()
    device.wait_recording(since=count)
    print(f"recording {time.monotonic() - begin_s:.1f} s after the cameras came")


def test_the_running_sandbox_is_as_closed_as_it_was_written(device: Device) -> None:
    """Whoever takes over the page must not own the machine. Judged by the systemd that runs it."""
    for unit in (UNIT, "twinhdr-engine.service"):
        text = device.machine.run(f"systemd-analyze security --no-pager {unit}")
        score = re.search(r"Overall exposure level for \S+: ([0-9.]+)", text)
        assert score is not None, text
        print(f"{unit}: {score[1]}")
        assert float(score[1]) <= EXPOSURE, text


def writable(device: Device, enter: str) -> list[str]:
    """What the service's user may write and not everybody; sockets are everybody's."""
    prune = " -o ".join(f"-path {folder}" for folder in EVERYBODYS)
    found = device.machine.run(
        f"{enter} setpriv --reuid=twinhdr --regid=twinhdr --init-groups -- "
        f"find / \\( {prune} \\) -prune -o ! -type l ! -type s -writable -print 2>/dev/null",
        check=False,
    ).splitlines()
    return [path for path in found if not path.startswith(OWN)]


def test_its_user_can_write_nothing_but_its_own_folders(device: Device) -> None:
    """A program or a unit that the recorder can change is one that whoever breaks into it can change."""
    main = device.machine.show(UNIT, "MainPID")
    assert writable(device, "") == []
    assert writable(device, f"nsenter --target {main} --mount") == []
    inside = f"nsenter --target {main} --mount setpriv --reuid=twinhdr --regid=twinhdr --clear-groups"
    for path in (
        "/etc/twinhdr/config.yaml",
        "/opt/twinhdr/current/venv/bin/twinhdr",
        "/etc/systemd/system/twinhdr.service",
    ):
        assert device.machine.ended(f"{inside} bash -c 'echo x >>{path}'")[0] != 0, path
    assert device.machine.ended(f"{inside} touch /etc/twinhdr/conf.d/probe")[0] == 0
    device.path("/etc/twinhdr/conf.d/probe").unlink()


def test_its_privileges_are_none(device: Device) -> None:
    """What systemd promised, as the kernel has it."""
    main = device.machine.show(UNIT, "MainPID")
    status = dict(
        line.split(":\t", 1)
        for line in device.machine.run(f"cat /proc/{main}/status").splitlines()
        if ":\t" in line
    )
    assert {status[key] for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert status["Uid"].split() == [device.machine.run("id -u twinhdr")] * 4
    assert device.machine.show(UNIT, "OOMScoreAdjust") == "-500"  # a container may not lower the kernel's


def test_it_does_not_fill_the_journal(device: Device) -> None:
    """A megabyte an hour would push out the line that says why the film stopped."""
    main = device.machine.show(UNIT, "MainPID")
    words = device.machine.run(f"journalctl _PID={main} --output=json --no-pager -q").splitlines()
    ages = [int(json.loads(word)["__MONOTONIC_TIMESTAMP"]) / 1e6 for word in words]
    late = [age for age in ages if age > ages[0] + 10]
    running_s = float(device.machine.run("cut -d' ' -f1 /proc/uptime")) - ages[0]
    print(f"{len(words)} lines, {len(late)} of them later than 10 s after the start, in {running_s:.0f} s")
    assert len(ages) - len(late) < 60
    assert len(late) <= 2 + running_s / 5
