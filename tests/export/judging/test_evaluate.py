"""Figures, tables and pictures of an evaluation say what was measured and what was not."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from export.compare.merges import reference_only
from export.compare.row import Row
from export.judging.evaluate_pictures import ERROR_FULL, case_picture, error_map
from export.judging.evaluate_report import case_table, mean_table, to_json, to_markdown, write_report
from export.judging.judge import judge
from export.judging.judged import Case
from export.judging.metrics import lsd, luminances, mu_law, psnr_mu, ssim, t_ssim
from tests.export.brackets_known import moved, still

REFERENCE = Row("reference", reference_only)
PERFECT = Row("perfect", lambda sample: sample.truth)
PICTURE = Row("picture", lambda sample: mu_law(sample.truth), "display", "makes pictures")


def test_figures_are_those_of_the_metrics() -> None:
    """A table that disagrees with its own definitions is worth nothing."""
    cases = [Case("one", still(0)), Case("two", still(1))]
    report = judge(cases, [REFERENCE, PERFECT])
    expected = [psnr_mu(reference_only(case.sample), case.sample.truth) for case in cases]
    assert [report.each["reference"][c.name]["psnr_mu"] for c in cases] == pytest.approx(expected)
    assert report.mean("reference")["psnr_mu"] == pytest.approx(np.mean(expected))
    assert report.mean("perfect")["psnr_linear"] == math.inf
    assert report.mean("perfect")["ssim_linear"] == pytest.approx(1.0)


def test_a_picture_has_no_radiance_to_judge() -> None:
    """PSNR-L of an exposure fusion would only show that it is none."""
    report = judge([Case("one", still())], [REFERENCE, PICTURE])
    assert report.mean("picture") == {"ssim_mu": pytest.approx(1.0)}
    text = to_markdown(report, "title")
    assert "| picture | - | - | 1.0000 | - |" in text
    assert "- picture: makes pictures" in text


def test_a_sequence_has_its_flicker_beside_the_truths() -> None:
    """What a scene does by itself must not be taken for flicker."""
    frames = [still(0), still(0), still(1)]
    steps = iter((1.0, 1.1, 1.0))
    jumpy = Row("jumpy", lambda sample: sample.truth * np.float32(next(steps)))
    report = judge([Case(str(n), s) for n, s in enumerate(frames)], [jumpy, PERFECT], sequence=True)
    truths = [frame.truth for frame in frames]
    assert report.sequence["truth"]["lsd"] == pytest.approx(lsd(luminances(truths)))
    assert report.sequence["truth"]["t_ssim"] == pytest.approx(t_ssim(truths), abs=1e-6)
    assert report.sequence["perfect"]["lsd_beyond"] == pytest.approx(0.0)
    assert report.sequence["perfect"]["step_beyond"] == pytest.approx(0.0)
    brighter = mu_law(np.clip(truths[1] * np.float32(1.1), 0, 1))
    assert report.sequence["jumpy"]["step_beyond"] > 0.5 * float(np.mean(brighter - mu_law(truths[1])))
    assert report.sequence["jumpy"]["t_ssim"] == pytest.approx(
        np.mean([ssim(mu_law(truths[0]), brighter), ssim(brighter, mu_law(truths[2]))]), abs=1e-6
    )


def test_without_truth_only_flicker_is_judged() -> None:
    """A real recording has no truth; figures against black would look like figures."""
    cases = [Case(str(n), still(n), has_truth=False) for n in range(3)]
    report = judge(cases, [REFERENCE], sequence=True)
    assert report.mean("reference") == {}
    assert set(report.sequence) == {"reference"}
    assert set(report.sequence["reference"]) == {"l_avg", "lsd", "step", "t_ssim"}
    assert "3 of 3 brackets have no ground truth" in report.notes[0]
    text = to_markdown(report, "title")
    assert "## Over time" in text
    assert "## Means" not in text


def test_nothing_and_nan_are_refused() -> None:
    """An empty folder, or a network that diverged, is not a result."""
    with pytest.raises(ValueError, match="nothing to judge"):
        judge([], [REFERENCE])
    broken = Row("broken", lambda sample: sample.truth * np.float32(np.nan))
    with pytest.raises(ValueError, match="broken: answers one with NaN"):
        judge([Case("one", still())], [broken])


def test_the_report_can_be_read_back(tmp_path: Path) -> None:
    """JSON knows no infinity, and a program must find every figure and the file it belongs to."""
    report = judge([Case("a/b", still())], [REFERENCE, PERFECT])
    write_report(tmp_path, report, "A title", {"files": {"x.onnx": "00"}})
    read = json.loads((tmp_path / "scores.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert read["files"] == {"x.onnx": "00"}
    assert read["methods"]["perfect"]["mean"]["psnr_mu"] == "inf"
    mean = read["methods"]["reference"]["mean"]["psnr_mu"]
    assert mean == pytest.approx(report.mean("reference")["psnr_mu"])
    text = (tmp_path / "scores.md").read_text()
    assert text.startswith("# A title\n")
    assert f"| a/b | {mean:.2f} | inf |" in text
    assert case_table(report, ["reference"]).row_count == 2
    assert mean_table(report).row_count == 2
    assert json.loads(to_json(report, {}))["methods"]["reference"]["each"]["a/b"]["psnr_mu"] == pytest.approx(
        mean
    )


def test_error_maps_share_one_scale() -> None:
    """A scale fitted to each picture would make every method look equally wrong."""
    truth = np.full((8, 8, 3), 0.5, np.float32)
    darkest, brightest = error_map(truth, truth), error_map(truth + np.float32(ERROR_FULL), truth)
    assert darkest.max() < 8
    assert np.array_equal(brightest, error_map(truth + 1.0, truth))
    half = error_map(truth - np.float32(0.5 * ERROR_FULL), truth)
    assert darkest.mean() < half.mean() < brightest.mean()


def test_the_picture_shows_every_row_the_truth_and_a_legend() -> None:
    """What people look at first."""
    sample = moved()
    answers = dict.fromkeys(("a", "b", "c"), sample.truth) | {"d": mu_law(sample.truth)}
    picture = case_picture(Case("x", sample), answers, frozenset({"d"}))
    width = sample.truth.shape[1]
    assert picture.shape[1] >= 4 * width
    top = picture[26 : 26 + sample.truth.shape[0], :width]
    assert np.abs(top.astype(int) - np.rint(mu_law(sample.truth) * 255)).max() <= 1
    without = case_picture(Case("x", sample, has_truth=False), answers, frozenset({"d"}))
    assert without.shape[0] < picture.shape[0]


def test_wide_pictures_are_shown_smaller() -> None:
    """A page of a dozen rows at full size is 20 MB."""
    sample = still(height=60, width=1000)
    picture = case_picture(Case("x", sample), {"a": sample.truth}, frozenset())
    assert picture.shape[1] < 1600
    assert cv2.imencode(".png", picture)[0]
