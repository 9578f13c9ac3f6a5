"""The systemd unit: understood by systemd, closed to what it does not need, in step with the program."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edge.config.layers import MAIN_FILE, load
from edge.errors import ConfigError
from export.cli import app as export_app

SYSTEMD = Path(__file__).resolve().parents[1] / "systemd"
UNITS = sorted(SYSTEMD.glob("*.service"))
SANDBOXED = [unit for unit in UNITS if "\nUser=" in unit.read_text()]
"""The probation switches releases, which takes root; it reads nothing that anybody else could write."""
HIGHEST_EXPOSURE = 20  # tenths: systemd's exposure level 2.0

needs_systemd_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing (package systemd)"
)


def settings_of(unit: Path) -> dict[str, list[str]]:
    """Values of the section [Service]; a key can stand there more than once."""
    values: dict[str, list[str]] = {}
    section = unit.read_text().split("[Service]")[1].split("\n[")[0]
    for line in section.splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            values.setdefault(key, []).append(value)
    return values


@needs_systemd_analyze
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_every_line(unit: Path, tmp_path: Path) -> None:
    """systemd ignores a misspelt key with a line in a log: the protection it names is silently absent."""
    copy = tmp_path / unit.name  # the program is not installed here, so another stands in for it
    program = settings_of(unit)["ExecStart"][0].split()[0]
    copy.write_text(unit.read_text().replace(program, "/bin/true"))
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=yes", "--man=no", copy],
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@needs_systemd_analyze
@pytest.mark.parametrize("unit", SANDBOXED, ids=lambda unit: unit.name)
def test_exposure_stays_low(unit: Path) -> None:
    """Whoever takes over the page must not own the machine."""
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={HIGHEST_EXPOSURE}", str(unit)]
    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"LC_ALL": "C.UTF-8"})
    if "Unknown" in ended.stderr or "unrecognized" in ended.stderr:
        pytest.skip("this systemd cannot judge a unit offline; 250 can")
    assert ended.returncode == 0, ended.stdout[-300:] + ended.stderr


def test_a_wrong_configuration_is_not_restarted_for_ever(tmp_path: Path) -> None:
    """Else a typing error in the field becomes a restart loop that buries its own message."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("version: 1\nrig:\n  fps: many\n")
    with pytest.raises(ConfigError) as caught:
        load(wrong)
    restart = settings_of(SYSTEMD / "twinhdr.service")
    assert restart["RestartPreventExitStatus"] == [str(caught.value.exit_code)]
    assert restart["Restart"] == ["on-failure"]


def test_the_shipped_configuration_is_valid_where_it_will_lie(tmp_path: Path) -> None:
    """Else a fresh device does not record until somebody repairs the file that it came with."""
    loaded = load(SYSTEMD / "config.yaml", main_file=tmp_path / "absent")
    folder = settings_of(SYSTEMD / "twinhdr.service")["StateDirectory"][0]
    assert loaded.config.store.root.is_relative_to(f"/var/lib/{folder}")
    assert MAIN_FILE.parent.name == settings_of(SYSTEMD / "twinhdr.service")["ConfigurationDirectory"][0]


def test_the_recorder_does_not_wait_for_engines() -> None:
    """After an update of JetPack they are built for minutes; who films then must have a recording."""
    recorder, engines = (SYSTEMD / f"twinhdr{name}.service" for name in ("", "-engine"))
    text = engines.read_text()
    ordered = [line for line in text.splitlines() if line.startswith(("Before=", "After="))]
    assert not any("twinhdr" in line for line in ordered)
    assert "twinhdr-engine" not in recorder.read_text()
    assert "\nWantedBy=twinhdr.service\n" in text  # not RequiredBy: without engines there is ONNX Runtime
    ours, theirs = settings_of(engines), settings_of(recorder)
    assert ours["Type"] == ["oneshot"]
    assert int(ours["Nice"][0]) > int(theirs.get("Nice", ["0"])[0])
    assert int(ours["OOMScoreAdjust"][0]) > int(theirs["OOMScoreAdjust"][0])
    assert int(ours["CPUWeight"][0]) < 100  # the recorder's, by default
    for key in ("User", "Group", "StateDirectory", "UMask"):  # the recorder reads what this writes
        assert ours[key] == theirs[key]
    program, command = ours["ExecStart"][0].split()
    assert Path(program).parent == Path(theirs["ExecStart"][0].split()[0]).parent
    names = {info.name or info.callback.__name__ for info in export_app.registered_commands if info.callback}
    assert command in names


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_no_unit_waits_for_cameras(unit: Path) -> None:
    """The recorder's start ends with its first frame, perhaps never; what is ordered after it would not run:
    neither a stick with the right configuration nor the judge of a release that finds no camera."""
    ordered = [
        line.partition("=")[2].split() for line in unit.read_text().splitlines() if line[:6] == "After="
    ]
    assert "twinhdr.service" not in [name for names in ordered for name in names]


def test_large_socket_buffers_are_allowed() -> None:
    """With the kernel's default limit a GigE camera lost two frames of three."""
    parser = configparser.ConfigParser()
    parser.read_string("[sysctl]\n" + (SYSTEMD / "60-twinhdr.conf").read_text())
    assert parser.getint("sysctl", "net.core.rmem_max") >= 4 * 2**20
