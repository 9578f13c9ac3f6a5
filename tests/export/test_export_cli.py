"""twinhdr-export teaches, and answers bad input with one clear line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from export.cli import app

RUNNER = CliRunner()


def test_importing_export_needs_no_torch() -> None:
    """The device has no torch; its tools may still import what is plain numpy."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import export, export.cli, export.training.data, export.judging.metrics, export.judging.evaluate\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_torch_the_text_says_what_to_install() -> None:
    """Not a traceback from deep inside."""
    code = (
        "import importlib.util as u\n"
        "found = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'torch' else found(name, *a)\n"
        "from export.cli import app\n"
        "app(['cost', 's'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install twinhdr[export]" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["", "render", "train", "evaluate", "onnx", "verify", "cost"])
def test_help_is_there(command: str) -> None:
    """Somebody with EXR images and no paper at hand finds the way."""
    result = RUNNER.invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert len(result.output) > 200


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["render", "--images", "nowhere"], "nowhere"),
        (["train", "--images", "nowhere", "--minutes", "1"], "nowhere"),
        (["onnx", "--checkpoint", "nowhere.pt", "--out", "x.onnx"], "nowhere.pt"),
        (["verify", "nowhere.onnx"], "nowhere.onnx"),
        (["cost", "xl"], "l, m, s, xs"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], says: str) -> None:
    """One error that names what and where."""
    if arguments[0] in ("train", "onnx", "verify", "cost"):
        pytest.importorskip("torch")
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 1
    assert says in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert "Traceback" not in result.output


def test_train_checks_its_options(tmp_path: Path) -> None:
    """A budget is needed, and patches must fit the windows."""
    pytest.importorskip("torch")
    where = ["train", "--images", str(tmp_path), "--pool", str(tmp_path), "--run", str(tmp_path / "run")]
    assert "--steps or --minutes" in RUNNER.invoke(app, where).output
    assert "multiple of 32" in RUNNER.invoke(app, [*where, "--steps", "1", "--size", "100"]).output
