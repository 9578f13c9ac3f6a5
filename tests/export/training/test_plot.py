"""The picture of a run shows what happened in it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="drawing needs matplotlib: pip install twinhdr[export]")

from export.training.plot import draw, read_log, read_scores


def write(folder: Path, lines: int, scores: int) -> None:
    rows = [f"{n},{8 * n},{n}.5,{1e-3 * 0.99**n:.3e},{0.2 * 0.98**n:.5f},3" for n in range(1, lines + 1)]
    (folder / "log.csv").write_text("\n".join(["step,patches,trained_s,lr,loss,shards", *rows]) + "\n")
    points = [{"patches": 80 * n, "psnr_mu": 30.0 + n, "psnr_linear": 25.0 + n} for n in range(1, scores + 1)]
    (folder / "scores.jsonl").write_text("".join(json.dumps(p) + "\n" for p in points))


def coloured(path: Path) -> int:
    """Pixels that are neither white nor grey: the curves."""
    picture = cv2.imread(str(path))
    assert picture is not None
    assert picture.shape[0] > 400
    return int(np.count_nonzero(np.ptp(picture.astype(int), axis=2) > 40))


def test_the_picture_has_curves_and_they_grow(tmp_path: Path) -> None:
    """A blank picture tells nobody that a run has gone wrong."""
    (tmp_path / "log.csv").touch()
    empty = coloured(draw(tmp_path))
    write(tmp_path, lines=5, scores=0)
    young = coloured(draw(tmp_path))
    write(tmp_path, lines=100, scores=4)
    assert empty < 10 < young < coloured(draw(tmp_path))
    assert not list(tmp_path.glob("*.partial"))


def test_a_run_without_log_or_scores_is_still_drawn(tmp_path: Path) -> None:
    """The first report comes before the first score."""
    assert draw(tmp_path).stat().st_size > 1000


def test_torn_lines_are_left_out(tmp_path: Path) -> None:
    """A power cut in the middle of a line must not end the next run at its first report."""
    write(tmp_path, lines=3, scores=2)
    with open(tmp_path / "log.csv", "a") as log, open(tmp_path / "scores.jsonl", "a") as scores:
        log.write("4,32,4.")
        scores.write('{"patches": 32')
    assert len(read_log(tmp_path)["loss"]) == 3
    assert len(read_scores(tmp_path)) == 2
    with open(tmp_path / "scores.jsonl", "a") as scores:
        scores.write('{"patches": 40, "psnr_mu": 33.0}\n{"patches": 48, "psnr_mu": 34.0}\n')
    assert len(read_scores(tmp_path)) == 3
    draw(tmp_path)
