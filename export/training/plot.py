"""The picture of a training run: loss, learning rate and scores against the patches it has seen."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

SMOOTHED = 30
"""Points of the bold line: about as many as the eye follows."""


def can_draw() -> bool:
    """Whether matplotlib is there."""
    return importlib.util.find_spec("matplotlib") is not None


def read_log(folder: Path) -> dict[str, list[float]]:
    """Columns of the run's ``log.csv``, {} where there is none; a line cut short is left out."""
    path = folder / "log.csv"
    if not path.exists():
        return {}
    with open(path, newline="") as file:
        rows = [r for r in csv.DictReader(file) if None not in r.values() and "" not in r.values()]
    return {name: [float(r[name]) for r in rows] for name in (rows[0] if rows else {})}


def read_scores(folder: Path) -> list[dict[str, float]]:
    """Lines of the run's ``scores.jsonl``, [] where there is none; a line cut short is left out."""
    path = folder / "scores.jsonl"
    scores: list[dict[str, float]] = []
    for line in path.read_text().splitlines() if path.exists() else []:
        with contextlib.suppress(json.JSONDecodeError):
            scores.append(json.loads(line))
    return scores


def draw(folder: Path) -> Path:
    """Write ``curve.png`` from the run's log and scores, whole or not at all; returns its path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    log, scores = read_log(folder), read_scores(folder)
    figure = Figure(figsize=(9, 9), layout="constrained")
    loss, rate, mu, linear = figure.subplots(4, 1, sharex=True, height_ratios=(3, 1, 2, 2))
    if log:
        _loss(loss, np.array(log["patches"]), np.array(log["loss"]))
        rate.semilogy(log["patches"], log["lr"], color="tab:gray")
    _scores(mu, scores, "psnr_mu")
    _scores(linear, scores, "psnr_linear")
    loss.set(ylabel="loss", title=folder.resolve().name)
    loss.yaxis.set_minor_formatter("{x:.2g}")
    rate.set(ylabel="learning rate")
    mu.set(ylabel="PSNR-mu in dB")
    linear.set(ylabel="PSNR-L in dB", xlabel="patches seen")
    for axes in (loss, rate, mu, linear):
        axes.grid(alpha=0.3)
    path = folder / "curve.png"
    partial = path.with_suffix(".partial")
    FigureCanvasAgg(figure).print_png(str(partial))  # type: ignore[no-untyped-call]
    os.replace(partial, path)
    return path


def _loss(axes: Any, patches: np.ndarray[Any, Any], loss: np.ndarray[Any, Any]) -> None:
    axes.semilogy(patches, loss, color="tab:blue", alpha=0.3, linewidth=0.8)
    points = [p for p in np.array_split(np.arange(len(loss)), SMOOTHED) if len(p)]
    axes.semilogy([patches[p].mean() for p in points], [loss[p].mean() for p in points], color="tab:blue")


def _scores(axes: Any, scores: list[dict[str, float]], key: str) -> None:
    points = [(line["patches"], line[key]) for line in scores if key in line]
    if points:
        axes.plot(*zip(*points, strict=True), color="tab:green", marker="o")
        axes.annotate(f"{points[-1][1]:.2f}", points[-1], textcoords="offset points", xytext=(4, 4))
