"""``twinhdr-export evaluate`` on what people have: folders of brackets and recordings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edge.images.imageio import write_exr
from export.cli import app
from tests.edge.tiny_model import write_tiny_model
from tests.export.bracket_sets import STOPS, exposed, radiance, write_coded

RUNNER = CliRunner()


def evaluate(*arguments: object) -> tuple[int, str]:
    result = RUNNER.invoke(app, ["evaluate", *(str(a) for a in arguments)], terminal_width=200)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result.exit_code, result.output


def triple(folder: Path, seed: int, truth: bool = True) -> None:
    scene = radiance(seed, 48, 64)
    for role, stops in zip(("low", "reference", "high"), STOPS, strict=True):
        write_coded(folder / f"{role}.png", exposed(scene, stops))
    (folder / "exposure.txt").write_text("-2\n0\n2\n")
    if truth:
        write_exr(folder / "truth.exr", scene)


def test_a_folder_of_triples(tmp_path: Path) -> None:
    """One command from pictures to tables, pictures and somebody's network beside them."""
    for number in range(2):
        triple(tmp_path / "set" / f"{number:03d}", number)
    model, out = write_tiny_model(tmp_path / "other.onnx"), tmp_path / "out"
    code, text = evaluate("--triples", tmp_path / "set", "--onnx", model, "--out", out)
    assert code == 0, text
    scores = json.loads((out / "scores.json").read_text())
    assert set(scores["methods"]) >= {"reference", "debevec", "mertens", "flow + merge", "other"}
    assert set(scores["methods"]["merge"]["each"]) == {"000", "001"}
    assert len(scores["files"]["other.onnx"]) == 64
    assert (
        scores["methods"]["merge"]["mean"]["psnr_linear"]
        > scores["methods"]["reference"]["mean"]["psnr_linear"]
    )
    assert sorted(p.name for p in (out / "pictures").iterdir()) == ["000.png", "001.png"]
    assert "| sample | reference |" in (out / "scores.md").read_text()


def test_triples_without_truth_are_shown_not_scored(tmp_path: Path) -> None:
    """Real brackets: pictures to look at, and a word why there are no figures."""
    triple(tmp_path / "set" / "a", 0, truth=False)
    code, text = evaluate("--triples", tmp_path / "set", "--out", tmp_path / "out")
    assert code == 0, text
    assert "1 of 1 brackets have no ground truth" in text.replace("\n", " ")
    assert (tmp_path / "out" / "pictures" / "a.png").is_file()


def test_a_simulated_session_is_judged_by_its_truth(recording: Path, tmp_path: Path) -> None:
    """The demo's session, by every row, flicker included."""
    out = tmp_path / "out"
    code, text = evaluate("--session", recording, "--every", 4, "--frames", 3, "--out", out, "--no-pictures")
    assert code == 0, text
    scores = json.loads((out / "scores.json").read_text())
    assert len(scores["methods"]["reference"]["each"]) == 3
    assert list(scores["methods"]["reference"]["each"]) == ["000000", "000004", "000008"]
    assert (
        scores["methods"]["flow + merge"]["mean"]["psnr_mu"]
        > scores["methods"]["reference"]["mean"]["psnr_mu"]
    )
    assert scores["methods"]["reference"]["mean"]["psnr_mu"] > 20
    assert 0 < scores["truth"]["t_ssim"] < 1
    assert {"lsd_beyond", "step_beyond"} <= set(scores["methods"]["merge"]["sequence"])
    assert not (out / "pictures").exists()


def test_a_session_of_real_cameras_has_flicker_only(recording: Path, tmp_path: Path) -> None:
    """Without a simulator there is no truth, and that is said."""
    copy = shutil.copytree(recording, tmp_path / "session")
    header = json.loads((copy / "session.json").read_text())
    header["simulator"] = None
    (copy / "session.json").write_text(json.dumps(header))
    code, text = evaluate("--session", copy, "--frames", 2)
    assert code == 0, text
    assert "2 of 2 brackets have no ground truth" in text.replace("\n", " ")
    assert "t-SSIM" in text
    assert "PSNR" not in text


def test_a_session_without_masters_says_so(recording: Path, tmp_path: Path) -> None:
    """One line, not a traceback."""
    copy = shutil.copytree(recording, tmp_path / "session")
    shutil.rmtree(copy / "reference")
    code, text = evaluate("--session", copy)
    assert code == 1
    assert "masters.enabled" in text


def test_a_result_folder_that_is_a_file_is_refused_before_the_work(tmp_path: Path) -> None:
    """Not after an hour of judging."""
    (tmp_path / "scores.json").write_text("{}")
    code, text = evaluate("--scenes", "--out", tmp_path / "scores.json")
    assert code == 1
    assert "name another with --out" in text.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "say what to judge on"),
        (["--scenes", "--triples", "x"], "say what to judge on"),
        (["--triples", "nowhere"], "nowhere"),
        (["--session", "nowhere"], "nowhere"),
        (["--scenes", "--onnx", "nowhere.onnx"], "nowhere.onnx"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], says: str) -> None:
    """Named and before any work."""
    code, text = evaluate(*arguments)
    assert code == 1
    assert says in text
    assert len(text.strip().splitlines()) == 1


def test_two_rows_of_one_name_are_refused(tmp_path: Path) -> None:
    """One of them would silently overwrite the other."""
    triple(tmp_path / "set" / "a", 0)
    model = write_tiny_model(tmp_path / "merge.onnx")
    code, text = evaluate("--triples", tmp_path / "set", "--onnx", model)
    assert code == 1
    assert "two rows are called merge" in text


def test_the_weights_and_their_onnx_file_agree(tmp_path: Path) -> None:
    """The table's row is what the device runs; a network no one trained is enough to see it."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    from export.eafnet.config import variant
    from export.eafnet.model import Eafnet
    from export.graphs.to_onnx import write
    from export.training.weights import save_weights

    net = Eafnet(variant("s", width=8, growth=4, attention_width=4)).eval()
    save_weights(net, tmp_path / "tiny.safetensors")
    write(net, tmp_path / "tiny.onnx", {})
    triple(tmp_path / "set" / "a", 0)
    out = tmp_path / "out"
    code, text = evaluate(
        "--triples", tmp_path / "set", "--weights", tmp_path / "tiny.safetensors",
        "--onnx", tmp_path / "tiny.onnx", "--out", out, "--no-pictures",
    )  # fmt: skip
    assert code == 0, text
    methods = json.loads((out / "scores.json").read_text())["methods"]
    assert methods["eafnet"]["mean"]["psnr_mu"] == pytest.approx(methods["tiny"]["mean"]["psnr_mu"], abs=0.02)
    assert np.isfinite(methods["eafnet"]["mean"]["psnr_mu"])
