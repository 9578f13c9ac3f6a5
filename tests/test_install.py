"""install.sh on a small stand-in of the project: real environments, real pip, no network.

The stand-in has the real install.sh and unit files, and a program that only says how it was called.
"""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from install_stand_in import PROGRAM, PROJECT, Clone, Device, make_clone, state_of

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def clone() -> Iterator[Clone]:
    """A clone in which nothing was run yet."""
    with tempfile.TemporaryDirectory(prefix="twinhdr-install-") as folder:
        yield make_clone(folder)


@pytest.fixture(scope="module")
def demonstrated() -> Iterator[Clone]:
    """A clone in which the demo ran once. Tests leave its environment as they found it."""
    with tempfile.TemporaryDirectory(prefix="twinhdr-install-") as folder:
        clone = make_clone(folder)
        first = clone.run("demo", "--out", "'a folder'")
        assert first.returncode == 0, first.stderr
        assert "called: demo --out a folder" in first.stdout
        yield clone


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """An installed device. Tests leave it with a release that works."""
    with tempfile.TemporaryDirectory(prefix="twinhdr-install-") as folder:
        made = Device(make_clone(folder), tmp_path_factory.mktemp("device") / "with a space")
        ended = made.install()
        assert ended.returncode == 0, ended.stderr
        yield made


# --- how it is called -------------------------------------------------------------------------------------


def test_without_root_and_mode_it_teaches_its_modes(clone: Clone) -> None:
    """Somebody who just runs it must learn what it could do, and nothing must have been done."""
    drop = "setpriv --reuid=65534 --regid=65534 --clear-groups " if os.geteuid() == 0 else ""
    ended = clone.bash(f"{drop} ./install.sh")
    assert ended.returncode == 2
    assert ended.stdout == ""
    for mode in ("./install.sh demo", "./install.sh test", "sudo ./install.sh"):
        assert mode in ended.stderr
    assert not clone.venv.exists()


def test_help_is_not_an_error(clone: Clone) -> None:
    """``--help`` goes to standard output, so that it can be paged."""
    ended = clone.run("--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "sudo ./install.sh" in ended.stdout


def test_an_unknown_mode_is_named_and_changes_nothing(clone: Clone) -> None:
    """A misspelt mode as root must not install a device."""
    ended = clone.run("tset")
    assert ended.returncode == 2
    assert '"tset"' in ended.stderr
    assert not clone.venv.exists()


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is missing (package shellcheck)")
def test_shellcheck_finds_nothing() -> None:
    """Unquoted names break on the first clone in a folder with a space."""
    scripts = ["install.sh", "systemd/setup/probation.sh", ".ci/run"]
    ended = subprocess.run(
        ["shellcheck", "-x", "-a", "--source-path=SCRIPTDIR", *scripts],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ended.stdout == ""


# --- which Python -----------------------------------------------------------------------------------------


def fake_python(folder: Path, name: str, version: str, makes_environments: bool) -> Path:
    """A program that answers the two questions that install.sh asks a Python."""
    path = folder / name
    path.write_text(
        f"""#!/bin/bash
case $2 in
  *version_info*) echo {version} ;;
  *ensurepip*) exit {0 if makes_environments else 1} ;;
esac
"""
    )
    path.chmod(0o755)
    return path


CHOOSE = """
source ./install.sh
is_root() { false; }
DISTRIBUTION_PYTHON=$PWD/bin/distribution
choose_python
echo $PYTHON
"""


def choose(clone: Clone, *pythons: tuple[str, str, bool]) -> subprocess.CompletedProcess[str]:
    """What install.sh chooses among these and no other: (name, version, whether it makes environments)."""
    folder = clone.folder / "bin"
    folder.mkdir()
    for name, version, makes_environments in pythons:
        fake_python(folder, name, version, makes_environments)
    for tool in ("dirname", "bash"):
        (folder / tool).symlink_to(str(shutil.which(tool)))
    return clone.bash(CHOOSE, PATH=str(folder), TWINHDR_PYTHON="")


def test_the_distribution_comes_first(clone: Clone) -> None:
    """Cameras (gi) and TensorRT exist for the distribution's Python only."""
    ended = choose(clone, ("distribution", "3.10", True), ("python3.12", "3.12", True))
    assert ended.stdout.strip().endswith("bin/distribution"), ended.stderr


def test_a_python_of_another_age_is_passed_over(clone: Clone) -> None:
    """Debian 13 has 3.13, for which the libraries are not tested; a 3.12 beside it will do."""
    ended = choose(
        clone, ("distribution", "3.13", True), ("python3", "3.13", True), ("python3.12", "3.12", True)
    )
    assert ended.stdout.strip() == "python3.12", ended.stderr


def test_without_root_a_python_that_can_is_better_than_an_error(clone: Clone) -> None:
    """Debian's Python cannot make environments until python3-venv is installed; another may."""
    ended = choose(clone, ("distribution", "3.11", False), ("python3", "3.11", True))
    assert ended.stdout.strip() == "python3", ended.stderr


def test_without_python3_venv_the_command_to_run_is_named(clone: Clone) -> None:
    """ensurepip's own message is long and names no cause."""
    ended = choose(clone, ("distribution", "3.11", False))
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "sudo apt-get install python3.11-venv" in ended.stderr


def test_without_any_python_the_command_to_run_is_named(clone: Clone) -> None:
    """Else the first error would be of something that Python was needed for."""
    ended = choose(clone, ("python3", "3.9", True))
    assert ended.returncode == 1
    assert "sudo apt-get install python3" in ended.stderr


# --- demo -------------------------------------------------------------------------------------------------


def test_the_second_demo_needs_no_pip(demonstrated: Clone) -> None:
    """A demo that needs the network each time fails on the train, in front of people."""
    before = state_of(demonstrated.venv)
    second = demonstrated.run("demo")
    assert f"called: demo --out {demonstrated.folder}/demo" in second.stdout
    assert state_of(demonstrated.venv) == before


def test_the_exit_code_of_the_demo_is_that_of_the_installer(demonstrated: Clone) -> None:
    """Else a demo that failed would look like one that worked."""
    assert demonstrated.run("demo", STAND_IN_EXIT="3").returncode == 3


def test_changed_dependencies_are_installed(demonstrated: Clone) -> None:
    """After ``git pull`` the old environment would miss what the new code imports."""
    project = demonstrated.folder / "pyproject.toml"
    project.write_text(PROJECT.replace("requires = []", 'requires = ["no-such-package-here"]'))
    ended = demonstrated.run("demo")
    assert ended.returncode != 0
    assert "no-such-package-here" in ended.stderr
    assert "run the same command again" in ended.stderr
    assert "called:" not in ended.stdout
    project.write_text(PROJECT)
    assert "called:" in demonstrated.run("demo").stdout


@pytest.mark.parametrize("lost", ["bin/pip", "bin/python", "lib"])
def test_a_half_made_environment_is_recognised(demonstrated: Clone, lost: str) -> None:
    """Ctrl-C at the wrong moment must not need a person who knows what to delete."""
    question = 'source ./install.sh; if is_sound "$PWD/.venv"; then echo sound; fi'
    assert demonstrated.bash(question).stdout == "sound\n"
    part, aside = demonstrated.venv / lost, demonstrated.folder / "aside"
    part.rename(aside)
    try:
        assert demonstrated.bash(question).stdout == ""
    finally:
        aside.rename(part)


def test_a_moved_environment_is_made_again(demonstrated: Clone) -> None:
    """A virtual environment has its own path in every program: a copied clone would run the other's code."""
    with tempfile.TemporaryDirectory(prefix="twinhdr-moved-") as name:
        moved = copy.copy(demonstrated)
        moved.folder = Path(name).resolve() / "a clone"
        shutil.copytree(demonstrated.folder, moved.folder, symlinks=True)
        ended = moved.run("demo")
        assert "was moved" in ended.stdout
        assert f"called: demo --out {moved.folder}/demo" in ended.stdout


# --- device -----------------------------------------------------------------------------------------------


def test_device_install_puts_everything_in_its_place(device: Device) -> None:
    """A missing file is found at the next boot, by somebody else."""
    assert device.current.name.startswith("1.2.3-")
    for file in ("config.yaml", "conf.d"):
        assert (device.root / "etc/twinhdr" / file).exists()
    assert (device.root / "etc/sysctl.d/60-twinhdr.conf").is_file()
    assert (device.root / "etc/udev/rules.d/70-twinhdr.rules").is_file()
    assert (device.root / "var/lib/twinhdr").is_dir()
    units = device.root / "etc/systemd/system"
    if shutil.which("systemctl"):
        assert (units / "multi-user.target.wants/twinhdr.service").is_symlink()
        assert (units / "twinhdr.service.wants/twinhdr-engine.service").is_symlink()
    assert (units / "twinhdr-engine.service").is_file()
    lines = (units / "twinhdr.service").read_text().splitlines()
    command = next(line.split("=", 1)[1] for line in lines if line.startswith("ExecStart="))
    assert os.access(device.root / command.split()[0].lstrip("/"), os.X_OK)
    assert device.call("run") == "called: run\n"
    assert not (device.clone.folder / "build").exists()


def test_the_second_device_install_changes_nothing(device: Device) -> None:
    """Running the installer again must never be a risk."""
    before = state_of(device.root)
    assert device.install().returncode == 0
    assert state_of(device.root) == before


def test_a_configuration_that_was_edited_is_kept(device: Device) -> None:
    """A device in the field would come back from an upgrade as somebody else's."""
    config = device.root / "etc/twinhdr/config.yaml"
    config.write_text("version: 1  # mine\n")
    (device.clone.folder / "systemd/config.yaml").write_text("version: 1  # theirs\n")
    device.install()
    assert config.read_text() == "version: 1  # mine\n"


def test_a_release_that_does_not_start_is_never_switched_to(device: Device) -> None:
    """A bad upgrade must cost nothing but its own failure."""
    program, old = device.clone.folder / "edge/cli.py", device.current
    good = program.read_text()
    program.write_text("raise SystemExit(9)\n")
    ended = device.install()
    program.write_text(good)
    assert ended.returncode == 1
    assert "does not start" in ended.stderr
    assert device.current == old


def test_new_code_is_a_new_release_cut_or_not_and_the_old_one_stays(device: Device) -> None:
    """Power fails during an upgrade too; and the old release is the way back."""
    old = device.current
    (device.clone.folder / "edge/cli.py").write_text(PROGRAM.replace("called", "new"))
    name = device.clone.bash("source ./install.sh; release_name").stdout.strip()
    cut = device.root / "opt/twinhdr/releases" / name / "venv/bin"
    cut.mkdir(parents=True)
    (cut / "twinhdr").write_text("half a program")
    assert device.install().returncode == 0
    assert device.current.name == name
    assert device.call("run") == "new: run\n"
    assert (old / "venv/bin/twinhdr").exists()


def test_too_full_a_disk_is_said_before_anything_is_done(clone: Clone) -> None:
    """pip on a full disk ends in a traceback and half an environment."""
    ended = clone.bash('source ./install.sh; check_machine "$PWD" 999999999')
    assert ended.returncode == 1
    assert "MB free; this needs 999999999 MB" in ended.stderr
