"""The demo, small: every figure it prints is made by the run it prints it of."""

from __future__ import annotations

import io
import json
from pathlib import Path

import cv2
import pytest
from rich.console import Console

from edge.bench.line import bench_line
from edge.commands.demo import DemoPlan, run_demo
from edge.errors import TwinhdrError
from edge.session.recording import Session


def test_the_demo_leaves_everything_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the first thing a user tries ends in a missing file."""
    from edge.commands import demo

    monkeypatch.setattr(
        demo, "CONFIG", demo.CONFIG.replace("  source:", "  width: 320\n  height: 192\n  source:")
    )
    out, text = tmp_path / "demo", io.StringIO()
    plan = DemoPlan(out, seconds=1.0, port=0)
    assert run_demo(plan, Console(file=text, width=200)) == 0
    figures = json.loads((out / "demo.json").read_text())
    assert figures["reference_frames"] == figures["hdr_frames"] == 30
    assert figures["drops"] == {}
    scores = figures["scores"]
    assert scores["EAFNet"]["psnr_mu_db"] > scores["reference alone"]["psnr_mu_db"]
    picture = cv2.imread(str(out / "comparison.png"))
    assert picture is not None
    assert picture.std() > 20
    assert Session.open(out / "session").refused_models() == ["eafnet-s"]
    assert str(out / "session") in text.getvalue()
    assert run_demo(plan, Console(file=text, width=200)) == 0


def test_the_demo_never_empties_a_folder_of_somebody_elses(tmp_path: Path) -> None:
    """Else `--out ~` would be the end of it."""
    (tmp_path / "thesis.tex").write_text("five years")
    with pytest.raises(TwinhdrError, match="not from a demo"):
        run_demo(DemoPlan(tmp_path), Console(file=io.StringIO()))
    assert (tmp_path / "thesis.tex").exists()


def test_bench_names_every_stage(config_of) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    """Else a slow stage hides in a total."""
    result = bench_line(config_of(), 8)
    assert set(result.stage_ms) == {
        "pair", "develop", "register", "fuse", "tonemap", "measure", "store", "preview",
    }  # fmt: skip
    assert all(ms > 0 for ms in result.stage_ms.values())
    assert json.loads(result.to_json())["frames"] == 8
