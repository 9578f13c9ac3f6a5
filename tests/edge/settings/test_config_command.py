"""``twinhdr config`` as it is typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from edge.cli import app
from edge.config.layers import load
from edge.settings.state import remember_running


@pytest.fixture
def main(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("version: 1\nrig:\n  width: 640  # as the lens\n")
    return path


def config(main: Path, *arguments: str) -> Result:
    command, *rest = arguments
    return CliRunner().invoke(app, ["config", command, "--config", str(main), *rest])


def test_show_tells_where_each_value_comes_from(main: Path) -> None:
    """An engineer would look for the line in every file."""
    lines = config(main, "show", "rig").stdout.splitlines()
    assert f"rig.width: 640  # {main}:3" in lines
    assert "rig.height: 540  # default" in lines
    assert all(line.startswith("rig.") for line in lines)
    told = json.loads(config(main, "show", "rig.width", "--json").stdout)
    assert told["rig.width"]["value"] == 640
    assert told["rig.width"]["changes"] == "after a restart"


def test_set_says_what_was_and_what_to_do(main: Path) -> None:
    """A change that does not count yet looks as if it were not taken."""
    ended = config(main, "set", "rig.secondary.low_ev", "-3")
    assert ended.stdout.splitlines() == [
        f"{main}:5: rig.secondary.low_ev: -3 (was -2)",
        "It counts after: sudo systemctl restart twinhdr",
    ]
    assert "reload" in config(main, "set", "hdr.crf", "22").stdout
    assert "# as the lens" in main.read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("set", "rig.width", "641"), 78, "rig.width: got 641; expected an even number"),
        (("set", "rig.widht", "640"), 78, "did you mean width"),
        (("show", "rgi"), 78, "did you mean rig"),
        (("reset",), 2, "name a key, or --all"),
        (("diff", "--running", "--state", "/nonexistent"), 78, "no recording runs"),
    ],
)
def test_errors_are_one_text_and_a_code(main: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    """A script in the field goes by the code, a person by the text."""
    before = main.read_text()
    ended = config(main, *arguments)
    assert ended.exit_code == code
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert main.read_text() == before


def test_diff_against_the_defaults_and_against_what_runs(main: Path, tmp_path: Path) -> None:
    """What a restart would change must be known before it."""
    assert config(main, "diff").stdout == f"rig.width: 640  # {main}:3, default 960\n"
    remember_running(load(main).values, (), tmp_path)
    state = ("--running", "--state", str(tmp_path))
    assert "runs with what the files say" in config(main, "diff", *state).stdout
    config(main, "set", "rig.width", "800")
    said = config(main, "diff", *state).stdout
    assert f"rig.width: 800  # {main}:3, running 640; counts after a restart" in said
    config(main, "reset", "--all")
    assert config(main, "diff").stdout == "everything is as by default\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody without rights")
def test_without_rights_it_says_sudo(main: Path, tmp_path: Path) -> None:
    """The answer to a refused write is known, so it is given."""
    program = "import os, sys; os.setuid(65534); from edge.cli import app; app()"
    above = [folder for folder in tmp_path.parents if folder.name.startswith(("pytest-", "popen-"))]
    for folder in (tmp_path, *above):
        folder.chmod(0o755)
    arguments = ["config", "set", "rig.width", "800", "--config", str(main)]
    ended = subprocess.run(
        [sys.executable, "-c", f"import edge.settings.edit; {program}", *arguments],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    if "ModuleNotFoundError" in ended.stderr or "Permission denied: '/" in ended.stderr:
        pytest.skip("somebody without rights cannot read this program")
    assert ended.returncode == 73, ended.stderr
    assert "use sudo" in ended.stderr
    assert "640" in main.read_text()
