"""Upgrade, way back, probation, uninstall and bundle: what may happen to a device in the field.

As test_install: the real scripts on a stand-in of the project, below a folder of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from install_stand_in import PROGRAM, Clone, Device, make_clone

NEW = PROGRAM.replace("called", "new")

STEPS = (
    "make_environment",
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
"""Each is where an upgrade is cut: before it begins."""

SYSTEMCTL = """#!/bin/bash
# Stands for systemd: answers what the file "unit" beside it says.
state=$(dirname "$0")/unit
case " $* " in
  *" --property=ActiveState "*) sed -n 1p "$state" ;;
  *" --property=NRestarts "*) sed -n 2p "$state" ;;
  *" --property=InvocationID "*) sed -n 3p "$state" ;;
esac
"""


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    """An installed device."""
    with tempfile.TemporaryDirectory(prefix="twinhdr-life-") as folder:
        made = Device(make_clone(folder), tmp_path / "device", quick=True)
        ended = made.install()
        assert ended.returncode == 0, ended.stderr
        yield made


def upgrade(device: Device) -> None:
    (device.clone.folder / "edge/cli.py").write_text(NEW)
    ended = device.install()
    assert ended.returncode == 0, ended.stderr
    assert device.call("run") == "new: run\n"


def own_installer(device: Device, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The install.sh that lies on the device, which has no clone."""
    return subprocess.run(
        [device.current / "install.sh", *arguments],
        env=os.environ | {"TWINHDR_ROOT": str(device.root)},
        capture_output=True,
        text=True,
    )


def systemd(folder: Path, *, active: str, restarts: int, run: str = "") -> dict[str, str]:
    """An environment in which the recorder is in this state."""
    (folder / "bin").mkdir(exist_ok=True)
    program = folder / "bin" / "systemctl"
    program.write_text(SYSTEMCTL)
    program.chmod(0o755)
    (folder / "bin" / "unit").write_text(f"{active}\n{restarts}\n{run}\n")
    return {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}


def judge(
    device: Device, environment: dict[str, str], healthy_s: int = 1
) -> subprocess.CompletedProcess[str]:
    """The probation, as its unit runs it; it takes seconds here and a minute there."""
    times = {"TWINHDR_HEALTHY_S": str(healthy_s), "TWINHDR_STARTS_S": "2", "TWINHDR_ROOT": str(device.root)}
    return subprocess.run(
        [device.root / "opt/twinhdr/probation.sh"],
        env=os.environ | environment | times,
        capture_output=True,
        text=True,
    )


def test_the_release_before_comes_back_and_what_people_made_stays(device: Device) -> None:
    """An upgrade that records worse must be undone on the roof, without a clone and without a network."""
    config = device.root / "etc/twinhdr/config.yaml"
    config.write_text("version: 1  # mine\n")
    film = device.root / "var/lib/twinhdr/sessions/20260101/hdr.mp4"
    film.parent.mkdir(parents=True)
    film.write_text("film")
    old = device.current
    upgrade(device)
    ended = own_installer(device, "rollback")
    assert ended.returncode == 0, ended.stderr
    assert device.current == old
    assert device.call("run") == "called: run\n"
    assert (config.read_text(), film.read_text()) == ("version: 1  # mine\n", "film")
    assert own_installer(device, "rollback").returncode == 0  # and forward again
    assert device.call("run") == "new: run\n"


def test_without_a_release_before_nothing_is_changed(device: Device) -> None:
    """A rollback on a fresh device must not leave it with none."""
    ended = own_installer(device, "rollback")
    assert ended.returncode == 1
    assert "no release before" in ended.stderr
    assert device.call("run") == "called: run\n"


def test_units_go_back_with_their_release(device: Device) -> None:
    """An old program under a new unit is a mixture that nobody has tested."""
    unit = device.root / "etc/systemd/system/twinhdr.service"
    before = unit.read_text()
    source = device.clone.folder / "systemd/twinhdr.service"
    source.write_text(before + "# newer\n")
    assert device.install().returncode == 0
    assert unit.read_text().endswith("# newer\n")
    own_installer(device, "rollback")
    assert unit.read_text() == before


@pytest.mark.parametrize("step", STEPS)
def test_an_upgrade_cut_at_any_step_leaves_a_device_that_works(device: Device, step: str) -> None:
    """Power fails during upgrades; whoever runs it again must end with the new release, whole."""
    (device.clone.folder / "edge/cli.py").write_text(NEW)
    ended = device.bash(f"{step}() {{ kill -9 $BASHPID; }}; main")
    assert ended.returncode != 0
    assert device.call("run") in ("called: run\n", "new: run\n")
    again = device.install()
    assert again.returncode == 0, again.stderr
    assert device.call("run") == "new: run\n"
    units = {file.name for file in (device.root / "etc/systemd/system").glob("*.service")}
    assert units >= {"twinhdr.service", "twinhdr-engine.service", "twinhdr-probation.service"}
    assert not list(device.root.rglob("*.new"))


def test_a_release_that_stays_healthy_is_kept(device: Device, tmp_path: Path) -> None:
    """Else every upgrade would be undone."""
    upgrade(device)
    assert (device.root / "opt/twinhdr/probation").exists()
    ended = judge(device, systemd(tmp_path, active="active", restarts=0))
    assert ended.returncode == 0, ended.stderr
    assert "stays" in ended.stdout
    assert device.call("run") == "new: run\n"
    assert not (device.root / "opt/twinhdr/probation").exists()


@pytest.mark.parametrize("state", ["failed", "activating", "restarting"])
def test_a_release_that_does_not_record_is_left_again(device: Device, tmp_path: Path, state: str) -> None:
    """Nobody is there to see that the device of the last upgrade records nothing."""
    old = device.current
    upgrade(device)
    active = "active" if state == "restarting" else state
    environment = systemd(tmp_path, active=active, restarts=0)
    if state == "restarting":
        (tmp_path / "bin/systemctl").write_text(
            SYSTEMCTL.replace('sed -n 2p "$state"', "date +%s%N")  # another number each time it is asked
        )
    ended = judge(device, environment)
    assert ended.returncode == 1
    assert "going back" in ended.stderr
    assert device.current == old
    assert device.call("run") == "called: run\n"
    assert not (device.root / "opt/twinhdr/probation").exists()
    assert own_installer(device, "rollback").returncode == 1  # what failed is no release to go back to


def test_the_old_process_does_not_vouch_for_the_new_release(device: Device, tmp_path: Path) -> None:
    """The old release is active until its restart begins; a release that never starts would stay by that."""
    upgrade(device)
    mark = device.root / "opt/twinhdr/probation"
    mark.write_text(mark.read_text().replace("run=", "run=before"))
    assert judge(device, systemd(tmp_path, active="active", restarts=0, run="before")).returncode == 1
    assert device.call("run") == "called: run\n"


def test_an_installation_that_was_cut_still_owes_the_restart(device: Device) -> None:
    """Run again, it finds every file in place; the old release would film on and be judged in its place."""
    (device.clone.folder / "edge/cli.py").write_text(NEW)
    assert device.bash("start_release() { kill -9 $BASHPID; }; main").returncode != 0
    ended = device.bash("start_release() { is_changed && echo owed; }; main")
    assert ended.stdout.count("owed") == 1, ended.stderr


def test_a_probation_that_was_cut_before_the_switch_judges_nothing(device: Device, tmp_path: Path) -> None:
    """Else a boot after a power cut would throw out the release that works."""
    current = device.current.name
    (device.root / "opt/twinhdr/probation").write_text(f"old={current}\nnew=9.9-absent\n")
    ended = judge(device, systemd(tmp_path, active="failed", restarts=9))
    assert (ended.returncode, device.current.name) == (0, current)
    assert not (device.root / "opt/twinhdr/probation").exists()


def test_only_the_last_two_releases_are_kept(device: Device) -> None:
    """Each is several hundred megabytes on a disk that is for recordings."""
    for number in range(3):
        (device.clone.folder / "edge/cli.py").write_text(PROGRAM.replace("called", f"number {number}"))
        assert device.install().returncode == 0
    kept = sorted(folder.name for folder in (device.root / "opt/twinhdr/releases").iterdir())
    links = {(device.root / "opt/twinhdr" / link).resolve().name for link in ("current", "previous")}
    assert kept == sorted(links)
    assert len(kept) == 2


@pytest.mark.parametrize("purge", [False, True])
def test_uninstall_leaves_nothing_but_what_people_made(device: Device, purge: bool) -> None:
    """Recordings are worth more than the program; and with --purge a device is given away clean."""
    film = device.root / "var/lib/twinhdr/film"
    film.write_text("film")
    ended = own_installer(device, "uninstall", *(["--purge"] if purge else []))
    assert ended.returncode == 0, ended.stderr
    left = {str(p.relative_to(device.root)) for p in device.root.rglob("*") if not p.is_dir()}
    assert left == (set() if purge else {"var/lib/twinhdr/film", "etc/twinhdr/config.yaml"})
    assert device.install().returncode == 0


def test_an_installed_release_is_no_source_of_another(device: Device) -> None:
    """On the device "install.sh" without a word would else copy half a project over itself."""
    ended = own_installer(device)
    assert ended.returncode == 1
    assert "of a newer clone or bundle" in ended.stderr
    assert device.call("run") == "called: run\n"


# --- bundles ----------------------------------------------------------------------------------------------


def pack(clone: Clone, file: Path, *, arch: str = "$(uname -m)", python: str = "") -> None:
    """A bundle without the fetching, which takes a network: the stand-in needs no wheels."""
    version = python or '$(version_of "$(readlink -f "$TWINHDR_PYTHON")")'
    script = f"""
        source ./install.sh
        fetch_wheels() {{ touch "$1/none"; }}
        fetch_debs() {{ :; }}
        make_bundle '{file}' --arch {arch} --python {version}
    """
    ended = clone.bash(script)
    assert ended.returncode == 0, ended.stderr


@pytest.fixture
def clone() -> Iterator[Clone]:
    with tempfile.TemporaryDirectory(prefix="twinhdr-bundle-") as folder:
        yield make_clone(folder)


def test_a_bundle_installs_and_asks_no_network(clone: Clone, tmp_path: Path) -> None:
    """A roof has no network; pip must be told so, or it tries for minutes."""
    pack(clone, tmp_path / "b.tar")
    device = Device(clone, tmp_path / "device")
    ended = clone.bash(
        f"./install.sh --offline '{tmp_path}/b.tar'", TWINHDR_ROOT=str(device.root), PIP_NO_INDEX="0"
    )
    assert ended.returncode == 0, ended.stderr
    assert device.call("run") == "called: run\n"
    with tarfile.open(tmp_path / "b.tar") as tar:
        names = {Path(name).parts[1] for name in tar.getnames() if len(Path(name).parts) > 1}
    assert names >= {"wheels", "debs", "install.sh", "systemd", "edge", "hw", "export", "bundle"}


@pytest.mark.parametrize(
    ("arch", "python", "words"),
    [("aarch64", "", "is for aarch64"), ("$(uname -m)", "3.12", "is for Python 3.12")],
)
def test_a_bundle_for_another_machine_is_refused(
    clone: Clone, tmp_path: Path, arch: str, python: str, words: str
) -> None:
    """Else pip ends in "no matching distribution", and nobody knows why."""
    here = "aarch64" if os.uname().machine == "aarch64" else ""
    if arch == "aarch64" and here:
        arch, words = "x86_64", "is for x86_64"
    pack(clone, tmp_path / "b.tar", arch=arch, python=python)
    device = Device(clone, tmp_path / "device")
    ended = clone.bash(f"./install.sh --offline '{tmp_path}/b.tar'", TWINHDR_ROOT=str(device.root))
    assert ended.returncode == 1
    assert words in ended.stderr
    assert not (device.root / "opt").exists()


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt-get is missing: no Debian, no Ubuntu")
def test_system_packages_come_from_the_bundle_with_what_they_need(clone: Clone, tmp_path: Path) -> None:
    """A device lacks other things than the PC that made the bundle, and has no network to get them from."""
    debs = clone.folder / "debs"
    debs.mkdir()
    for name, needs in (("twinhdr-probe", "Depends: twinhdr-part (= 1:2)\n"), ("twinhdr-part", "")):
        control = tmp_path / name / "DEBIAN/control"
        control.parent.mkdir(parents=True)
        control.write_text(
            f"Package: {name}\nVersion: 1:2\nArchitecture: all\nMaintainer: x <x@example.org>\n{needs}"
            "Description: a probe\n"
        )
        packed = [
            "dpkg-deb",
            "--build",
            "--root-owner-group",
            control.parents[1],
            debs / f"{name}_1.2_all.deb",
        ]
        subprocess.run(packed, check=True, stdout=subprocess.DEVNULL)
    ended = clone.bash(
        "source ./install.sh; debs=$(mktemp -d); chmod a-w debs; open_debs $debs; apt_of_bundle $debs update;"
        "apt_of_bundle $debs install --simulate twinhdr-probe; rm -rf $debs"
    )
    assert ended.returncode == 0, ended.stderr
    assert "Inst twinhdr-part (1:2" in ended.stdout
    assert "Inst twinhdr-probe (1:2" in ended.stdout


def test_a_damaged_bundle_is_named(clone: Clone, tmp_path: Path) -> None:
    """A stick that was pulled too early has half a file on it."""
    pack(clone, tmp_path / "b.tar")
    whole = (tmp_path / "b.tar").read_bytes()
    (tmp_path / "b.tar").write_bytes(whole[: len(whole) // 3])
    ended = clone.bash(f"./install.sh --offline '{tmp_path}/b.tar'", TWINHDR_ROOT=str(tmp_path / "device"))
    assert ended.returncode == 1
    assert "make it again" in ended.stderr
    assert shutil.which("twinhdr", path=str(tmp_path / "device")) is None
