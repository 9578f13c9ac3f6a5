"""A report on disk and on the terminal: JSON for programs, Markdown for people."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from edge.images.imageio import replace_atomically
from export.judging.judge import TITLES, Figures, Report

DIGITS = {"psnr_mu": 2, "psnr_linear": 2, "colorvideovdp": 2, "ssim_mu": 4, "ssim_linear": 4, "t_ssim": 4}
OTHER_DIGITS = 5
MISSING = "-"


def figure(name: str, value: float | None) -> str:
    """A figure with the digits that mean something."""
    if value is None:
        return MISSING
    return f"{value:.{DIGITS.get(name, OTHER_DIGITS)}f}"


def to_json(report: Report, about: Mapping[str, Any]) -> str:
    """``about`` says what was judged and with what. Infinite figures (equal images) become strings."""
    methods = {
        row: {
            "mean": _plain(report.mean(row)),
            "sequence": _plain(report.sequence.get(row, {})),
            "each": {case: _plain(figures) for case, figures in cases.items()},
        }
        for row, cases in report.each.items()
    }
    truth = _plain(report.sequence.get("truth", {}))
    whole = {**about, "methods": methods, "truth": truth, "notes": report.notes}
    return json.dumps(whole, indent=1) + "\n"


def to_markdown(report: Report, title: str) -> str:
    """Means, the sequence's figures, then each figure by case and row."""
    lines = [f"# {title}", ""]
    means = {row: report.mean(row) for row in report.each}
    names = dict.fromkeys(name for figures in means.values() for name in figures)
    if names:
        lines += ["## Means", "", *_table("method", list(names), means), ""]
    if report.sequence:
        over_time = dict.fromkeys(name for figures in report.sequence.values() for name in figures)
        lines += ["## Over time", "", *_table("method", list(over_time), report.sequence), ""]
    for name in names:
        lines += [f"## {TITLES.get(name, name)}", "", *_by_case(report, name), ""]
    lines += [f"- {note}" for note in report.notes]
    return "\n".join(lines).rstrip() + "\n"


def write_report(folder: Path, report: Report, title: str, about: Mapping[str, Any]) -> None:
    """``scores.json`` and ``scores.md`` in ``folder``. Raises ImageError where the disk refuses."""
    write_text(folder / "scores.json", to_json(report, {"title": title, **about}))
    write_text(folder / "scores.md", to_markdown(report, title))


def write_text(path: Path, text: str) -> None:
    """Whole or not at all. Raises ImageError."""
    replace_atomically(path, lambda temporary: _written(temporary, text))


def mean_table(report: Report) -> Table:
    """Means by row, for the terminal."""
    means = {row: {**report.mean(row), **report.sequence.get(row, {})} for row in report.each}
    if "truth" in report.sequence:
        means["truth"] = dict(report.sequence["truth"])
    names = list(dict.fromkeys(name for figures in means.values() for name in figures))
    table = Table("method", title=f"means over {len(report.cases)} brackets")
    for name in names:
        table.add_column(TITLES.get(name, name), justify="right")
    for row, figures in means.items():
        table.add_row(row, *(figure(name, figures.get(name)) for name in names))
    return table


def case_table(report: Report, rows: Sequence[str]) -> Table:
    """PSNR-mu / PSNR-L by case of a few rows, for the terminal."""
    table = Table("image", *rows, title="PSNR-mu / PSNR-L in dB")
    for case in report.cases:
        table.add_row(case, *(_pair(report.each[row][case]) for row in rows))
    table.add_row("mean", *(_pair(report.mean(row)) for row in rows))
    return table


def markdown_table(head: Iterable[str], body: Iterable[Iterable[str]]) -> list[str]:
    """Lines of a table; the first column is text, the others figures."""
    columns = list(head)
    return [
        f"| {' | '.join(columns)} |",
        f"|{'|'.join([' --- ', *[' ---: '] * (len(columns) - 1)])}|",
        *(f"| {' | '.join(cells)} |" for cells in body),
    ]


def _table(what: str, names: list[str], rows: Mapping[str, Figures]) -> list[str]:
    body = ([row, *(figure(name, figures.get(name)) for name in names)] for row, figures in rows.items())
    return markdown_table([what, *(TITLES.get(name, name) for name in names)], body)


def _by_case(report: Report, name: str) -> list[str]:
    rows = [row for row in report.each if name in report.mean(row)]
    body = [
        [case, *(figure(name, report.each[row][case].get(name)) for row in rows)] for case in report.cases
    ]
    mean = ["**mean**", *(figure(name, report.mean(row).get(name)) for row in rows)]
    return markdown_table(["sample", *rows], [*body, mean])


def _pair(figures: Figures) -> str:
    return (
        f"{figure('psnr_mu', figures.get('psnr_mu'))} / {figure('psnr_linear', figures.get('psnr_linear'))}"
    )


def _plain(figures: Figures) -> dict[str, float | str]:
    """JSON has no infinity."""
    return {name: value if math.isfinite(value) else str(value) for name, value in figures.items()}


def _written(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
