"""The first installation, on a Debian under real systemd: cut everywhere, then whole, then again."""

from __future__ import annotations

import json

import pytest
from device import UNIT, Device
from machine import EMULATED

FIRST_STEPS = (
    "install_debs",
    "make_environment",
    "pip_install",
    "install_pycuda",
    "make_user",
    "make_folders",
    "put_files",
    "switch_to",
    "apply_settings",
    "enable_units",
    "start_release",
)
"""Each is where a first installation is cut: before it begins."""
FAILED_UNITS = "systemctl list-units --failed --no-legend" + (" 'twinhdr*'" if EMULATED else "")
"""Of Debian's own three fall on an emulated processor, before anything is installed."""
RECORDS_S = 5.0
"""From the start of the unit to the first frame in its files."""


def test_a_first_installation_cut_at_every_step_goes_on_where_it_was(fresh: Device) -> None:
    """Whoever installs on a roof loses power, and must not have to begin with a new memory card."""
    for step in FIRST_STEPS[EMULATED:]:  # no system packages in the bundle for another processor
        fresh.install_cut(fresh.first, step)
        assert fresh.machine.run("systemctl is-system-running", check=False) in ("running", "degraded"), step


def test_it_installs_without_a_network_and_records_at_once(fresh: Device) -> None:
    """The bundle brings everything; a fresh device films its simulated scene, so its page shows something."""
    output = fresh.install_offline()
    fresh.wait_recording()
    assert "warning:" not in output, output
    assert fresh.machine.show(UNIT, "ActiveState") == "active"
    assert fresh.machine.run(FAILED_UNITS) == ""
    print(f"installed in {fresh.installed_s:.0f} s")


def test_a_second_installation_changes_nothing(device: Device) -> None:
    """Run twice by a script or a doubtful person, it must not cost a second of film."""
    before, invocation = device.footprint(), device.invocation()
    session = device.newest()
    code, output = device.install(device.first)
    assert code == 0, output
    after = device.footprint()
    assert {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)} == set()
    assert device.invocation() == invocation
    assert device.wait_recording() == session


def test_it_records_by_itself_after_a_reboot(device: Device) -> None:
    """Nobody is there when the power comes back: two cameras are filmed seconds after the unit's start."""
    count = len(device.sessions())
    device.machine.reboot()
    session = device.wait_recording(since=count)
    started_s = int(device.machine.show(UNIT, "ExecMainStartTimestampMonotonic")) / 1e6
    ready_s = int(device.machine.show(UNIT, "ActiveEnterTimestampMonotonic")) / 1e6
    first = {kind: device.lines(session, kind)[0] for kind in ("reference", "secondary")}
    until_s = {kind: row["t_host_ns"] / 1e9 - started_s for kind, row in first.items()}
    figures = {"ready": ready_s - started_s, **until_s}
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))
    assert EMULATED or max(figures.values()) < RECORDS_S, figures
    header = json.loads((session / "session.json").read_text())
    assert "REF01" in json.dumps(header)
    assert device.machine.show(UNIT, "NRestarts") == "0"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("systemctl show --property=RuntimeWatchdogUSec --value", "30s"),
        ("systemctl is-enabled twinhdr twinhdr-engine twinhdr-probation | uniq", "enabled"),
        ("systemd-analyze cat-config systemd/journald.conf | grep -o ^SystemMaxUse=.*", "SystemMaxUse=200M"),
        (
            "systemd-analyze cat-config sysctl.d | grep -o ^net.core.rmem_max.*",
            "net.core.rmem_max = 16777216",
        ),
        (FAILED_UNITS, ""),
    ],
)
def test_settings_of_the_system_hold(device: Device, command: str, answer: str) -> None:
    """A hang that nobody resets, a journal that fills the disk, a socket buffer that loses frames."""
    assert device.machine.run(command, check=False) == answer
