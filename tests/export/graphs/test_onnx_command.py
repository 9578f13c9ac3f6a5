"""twinhdr-export onnx and verify: from weights to device files and their proof, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from export.cli import app

torch = pytest.importorskip("torch", reason="export needs PyTorch: pip install twinhdr[export]")
onnx = pytest.importorskip("onnx")

from export.graphs.onnx_graph import facts  # noqa: E402
from export.graphs.verify import verify  # noqa: E402
from export.training.weights import save_weights  # noqa: E402
from tests.export.tiny_eafnet import tiny  # noqa: E402

RUNNER = CliRunner()
NIGHT = ("night-ev4",)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "trained.safetensors"
    save_weights(tiny("s"), path)
    return path


def test_a_folder_of_device_graphs_and_their_proof(weights: Path, tmp_path: Path) -> None:
    """The usual way to a device: one size, FP16, two graphs with their census, proven from either file."""
    out = tmp_path / "device"
    form = ["--size", "90x70", "--half", "--split", "--report"]
    result = RUNNER.invoke(app, ["onnx", "--checkpoint", str(weights), "--out", str(out), *form])
    assert result.exit_code == 0, result.output
    assert "Conv" in result.output
    stem = "eafnet-s-90x70-fp16"
    assert sorted(p.name for p in out.iterdir()) == sorted(
        [f"{stem}.{part}{end}" for part in ("encode_pair", "fuse") for end in (".onnx", ".census.json")]
        + ["eafnet-s.safetensors"]
    )
    told = json.loads((out / f"{stem}.fuse.census.json").read_text())
    assert {"name", "op", "part", "precision", "shape", "macs"} == set(told["nodes"][0])
    known = facts(onnx.load(str(out / f"{stem}.encode_pair.onnx")))
    assert known["twinhdr.means"] == "inside"
    assert known["twinhdr.precision"] == "fp16"
    for part in ("encode_pair", "fuse"):
        findings = verify(out / f"{stem}.{part}.onnx", out / "eafnet-s.safetensors", scenes=NIGHT)
        assert [f for f in findings if not f.ok] == []
        assert any("FP16 against FP32 on night-ev4" in f.check for f in findings)
    save_weights(tiny("s", seed=1), out / "eafnet-s.safetensors")
    result = RUNNER.invoke(app, ["verify", str(out / f"{stem}.fuse.onnx")])
    assert result.exit_code == 1
    assert "FAULT FP16 against FP32" in result.output


def test_one_file_stays_the_portable_one(weights: Path, tmp_path: Path) -> None:
    """What the software engines load: any size, FP32, means from the host."""
    out = tmp_path / "m.onnx"
    result = RUNNER.invoke(app, ["onnx", "--checkpoint", str(weights), "--out", str(out)])
    assert result.exit_code == 0, result.output
    model = onnx.load(str(out))
    assert {"twinhdr.size", "twinhdr.means", "twinhdr.precision"} & set(facts(model)) == set()
    assert [i.name for i in model.graph.input] == ["low", "reference", "high", "exposure", "mean"]
    findings = verify(out, out.with_suffix(".safetensors"), ((32, 64),), NIGHT)
    assert [f for f in findings if not f.ok] == []
    assert {"wavelets and filters folded against step by step", "FP16 against FP32 on night-ev4"} <= {
        f.check for f in findings
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--out", "x", "--size", "960"], "WIDTHxHEIGHT"),
        (["--out", "x", "--size", "0x0"], "WIDTHxHEIGHT"),
        (["--out", "x.onnx", "--size", "64x64", "--size", "96x96"], "name a folder"),
        (["--out", "x", "--dynamic", "--size", "64x64"], "one of them"),
        (["--out", "x", "--means", "outside"], "inside, reference or input"),
    ],
)
def test_a_wrong_form_is_one_line(arguments: list[str], says: str) -> None:
    """Before minutes are spent on the export."""
    result = RUNNER.invoke(app, ["onnx", "--checkpoint", "x.pt", *arguments])
    assert result.exit_code == 1
    assert says in result.output
    assert len(result.output.strip().splitlines()) == 1
