"""Every figure of every row on every case: one pass, one case in memory at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge.frames import FloatImage
from export.compare.row import Row
from export.judging.judged import Case
from export.judging.metrics import (
    l_avg,
    lsd,
    luminance_step,
    mean_luminance,
    mu_law,
    psnr_linear,
    psnr_mu,
    ssim,
    ssim_linear,
    ssim_mu,
)

Measure = Callable[[FloatImage, FloatImage], float]
"""(answer, truth), both (H, W, 3) linear in [0, 1], to a figure."""
Figures = Mapping[str, float]

QUICK: dict[str, Measure] = {"psnr_mu": psnr_mu, "psnr_linear": psnr_linear}
MEASURES: dict[str, Measure] = {**QUICK, "ssim_mu": ssim_mu, "ssim_linear": ssim_linear}

TITLES = {
    "psnr_mu": "PSNR-mu",
    "psnr_linear": "PSNR-L",
    "ssim_mu": "SSIM-mu",
    "ssim_linear": "SSIM-L",
    "colorvideovdp": "ColorVideoVDP",
    "l_avg": "L_avg",
    "lsd": "LSD",
    "lsd_beyond": "LSD beyond truth's",
    "lsd_difference": "LSD of difference",
    "step": "step",
    "step_beyond": "step beyond truth's",
    "t_ssim": "t-SSIM",
}
TRUTH = "truth"


@dataclass(slots=True)
class Steadiness:
    """A sequence's figures, one frame at a time; the last one is kept."""

    curve: list[float] = field(default_factory=list)
    similar: list[float] = field(default_factory=list)
    _last: FloatImage | None = None

    def add(self, image: FloatImage) -> None:
        """The next frame, (H, W, 3) linear in [0, 1]."""
        toned = mu_law(image)
        if self._last is not None:
            self.similar.append(ssim(self._last, toned))
        self.curve.append(mean_luminance(image))
        self._last = toned

    def figures(self, truth: Steadiness | None) -> dict[str, float]:
        """L_avg, LSD, largest step and t-SSIM; beyond the truth's where there is one."""
        figures = {"l_avg": l_avg(self.curve), "lsd": lsd(self.curve), "step": luminance_step(self.curve)}
        if truth is not None:
            figures["lsd_beyond"] = figures["lsd"] - lsd(truth.curve)
            figures["lsd_difference"] = lsd(self.curve, truth.curve)
            figures["step_beyond"] = luminance_step(self.curve, truth.curve)
        if self.similar:
            figures["t_ssim"] = float(np.mean(self.similar))
        return figures


@dataclass(frozen=True, slots=True)
class Report:
    """Figures by row and case; ``sequence`` by row, and the truth's own, where cases follow in time."""

    cases: tuple[str, ...]
    each: Mapping[str, Mapping[str, Figures]]
    sequence: Mapping[str, Figures]
    notes: tuple[str, ...]

    def mean(self, row: str) -> dict[str, float]:
        """Mean of each figure over the cases that have it; figures that none has are left out."""
        figures = self.each[row].values()
        names = dict.fromkeys(name for case in figures for name in case)
        return {name: float(np.mean([case[name] for case in figures if name in case])) for name in names}


def judge(
    cases: Iterable[Case],
    rows: Sequence[Row],
    measures: Mapping[str, Measure] = MEASURES,
    sequence: bool = False,
    show: Callable[[Case, Mapping[str, FloatImage]], None] = lambda _case, _answers: None,
) -> Report:
    """Judge ``rows`` on ``cases``; ``sequence``: they are frames of one recording, in order.

    ``show`` is handed each case and the answers by row, in [0, 1]. Raises ValueError without a case, and
    where a row answers with NaN.
    """
    each: dict[str, dict[str, Figures]] = {row.name: {} for row in rows}
    steadiness = {row.name: Steadiness() for row in rows if row.kind == "radiance"}
    truth = Steadiness()
    names, untold = [], 0
    for case in cases:
        names.append(case.name)
        answers = {row.name: _answer(row, case) for row in rows}
        for row in rows:
            each[row.name][case.name] = _figures(row, answers[row.name], case, measures)
        if sequence:
            for name, steady in steadiness.items():
                steady.add(answers[name])
            truth.add(case.sample.truth)
        untold += not case.has_truth
        show(case, answers)
    if not names:
        raise ValueError("nothing to judge: not one bracket was found")
    told = None if untold else truth
    over_time: dict[str, Figures] = {}
    if sequence:
        over_time = {name: steady.figures(told) for name, steady in steadiness.items()}
        if told is not None:
            over_time[TRUTH] = told.figures(None)
    return Report(tuple(names), each, over_time, _notes(rows, len(names), untold))


def _answer(row: Row, case: Case) -> FloatImage:
    answer: FloatImage = np.clip(row.method(case.sample), 0.0, 1.0)
    if not math.isfinite(float(answer.sum(dtype=np.float64))):
        raise ValueError(f"{row.name}: answers {case.name} with NaN")
    return answer


def _figures(row: Row, answer: FloatImage, case: Case, measures: Mapping[str, Measure]) -> dict[str, float]:
    truth = case.sample.truth
    if not case.has_truth:
        return {}
    if row.kind == "display":
        return {"ssim_mu": ssim(answer, mu_law(truth))} if "ssim_mu" in measures else {}
    return {name: measure(answer, truth) for name, measure in measures.items()}


def _notes(rows: Sequence[Row], cases: int, untold: int) -> tuple[str, ...]:
    notes = [f"{row.name}: {row.note}" for row in rows if row.note]
    if untold:
        notes.append(
            f"{untold} of {cases} brackets have no ground truth: they have no figures of nearness to it, "
            "only those of the sequence where there is one."
        )
    return tuple(notes)
