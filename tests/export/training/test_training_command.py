"""What is wrong with a command line is said in one line, before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch", reason="training needs PyTorch: pip install twinhdr[export]")

from export.cli import app
from export.eafnet.config import variant
from export.training.checkpoint import start
from export.training.recipe import Recipe
from export.training.weights import save_weights


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--steps", "3", "--recipe", "quick"], "there are fast, paper"),
        (["--steps", "3", "--recipe", "paper"], "render --tile 256"),
        (["--steps", "3", "--recipe", "paper", "--workers", "3"], "give --batch"),
        (["--steps", "3", "--recipe", "paper", "--workers", "3", "--batch", "2"], "render --tile 256"),
        (["--steps", "3", "--size", "100"], "not a multiple of 32"),
        (["--steps", "3", "--precision", "fp8"], "fp32, bf16, fp16"),
        (["--steps", "3", "--device", "gpu"], "cpu, cuda, auto"),
        (["--steps", "3", "--teacher-weight", "1"], "--teacher"),
        (["--steps", "3", "--resume", "--init", "w.safetensors"], "leave out --init"),
        (
            ["--steps", "3", "--size", "32", "--large-fraction", "0", "--init", "w.safetensors"],
            "no such weights",
        ),
        (["--steps", "3", "--init", "a.pt", "--widen", "b.pt"], "--init or --widen"),
        ([], "--steps or --minutes"),
    ],
    ids=str,
)
def test_a_mistake_is_one_line(pool: Path, tmp_path: Path, words: list[str], text: str) -> None:
    """A traceback, or hours with another recipe than the one meant."""
    options = ["--images", str(tmp_path), "--pool", str(pool), "--run", str(tmp_path / "run")]
    result = CliRunner().invoke(app, ["train", *options, *words])
    assert result.exit_code == 1
    assert text in result.output
    assert "Traceback" not in result.output
    assert len(result.output.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_weights_of_another_variant_are_refused(pool: Path, tmp_path: Path) -> None:
    """S for M is --widen; S for XS is nothing."""
    weights = tmp_path / "s.safetensors"
    save_weights(start(Recipe(variant("s"), steps=1)).net, weights)
    options = ["--images", str(tmp_path), "--pool", str(pool), "--steps", "3"]
    result = CliRunner().invoke(app, ["train", *options, "--variant", "m", "--init", str(weights)])
    assert result.exit_code == 1
    assert "width (32 and 64)" in result.output
    result = CliRunner().invoke(
        app, ["train", *options, "--variant", "xs", "--size", "128", "--widen", str(weights)]
    )
    assert result.exit_code == 1
    assert "reduction (2 and 4)" in result.output
