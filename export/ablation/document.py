"""The ablation's results as Markdown, put between the markers of a document.

A marker pair is ``<!-- ablation:KEY -->`` and ``<!-- /ablation:KEY -->``; KEY is that of a table,
``settings``, ``baselines`` or ``verdicts``. What stands between is replaced, so refreshing twice changes
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from export.ablation.rows import TABLES, Table

_MARKED = re.compile(r"(<!-- ablation:(?P<key>[a-z-]+) -->\n)(?P<old>.*?)(<!-- /ablation:(?P=key) -->)", re.S)

BASELINE_NAMES = {
    "reference": "reference alone",
    "merge": "radiance merge",
    "blend": "blend (low where the reference clips)",
}

VERDICTS = {
    "costs": "Costs",
    "gains": "Gains",
    "not told apart": "Not told apart",
    "one seed so far": "One seed so far, not judged",
}
"""A row costs or gains where the differences to the base have one sign in all seeds, lie no further apart
than their mean is from zero, and three quarters of the brackets agree."""


@dataclass(frozen=True, slots=True)
class Line:
    """One row over its seeds. ``mu``, ``linear``: PSNR in dB by seed, means over the brackets.

    ``better``: of ``compared`` brackets (over all seeds), on how many PSNR-mu is above the base's of the same
    seed; ``delta``: PSNR-mu less the base's, by seed. Both empty for the base, or where it is not trained.
    """

    parameters: int
    kmac: float
    mu: tuple[float, ...]
    linear: tuple[float, ...]
    delta: tuple[float, ...]
    better: int
    compared: int


def summary(results: Mapping[str, Any], row: str) -> Line | None:
    """``row`` of ``results`` (``ablation.collect``); None where no seed of it is finished."""
    runs = [r for r in results["runs"] if r["row"] == row]
    if not runs:
        return None
    base = {r["seed"]: r["scores"] for r in results["runs"] if r["row"] == "base" and row != "base"}
    delta, better, compared = [], 0, 0
    for r in runs:
        if r["seed"] in base:
            other = base[r["seed"]]
            brackets = [name for name in other if name != "mean"]
            delta.append(r["scores"]["mean"][0] - other["mean"][0])
            better += sum(r["scores"][name][0] > other[name][0] for name in brackets)
            compared += len(brackets)
    means = [r["scores"]["mean"] for r in runs]
    return Line(
        runs[0]["parameters"],
        runs[0]["kmac"],
        tuple(m[0] for m in means),
        tuple(m[1] for m in means),
        tuple(delta),
        better,
        compared,
    )


def _spread(values: tuple[float, ...]) -> str:
    """Mean, and half the distance between the extremes."""
    mean = sum(values) / len(values)
    return f"{mean:.2f}" + (f" ± {(max(values) - min(values)) / 2:.2f}" if len(values) > 1 else "")


def table(results: Mapping[str, Any], which: Table) -> str:
    """``which`` in Markdown; a row that is not trained yet has dashes."""
    lines = [
        "| row | parameters | kMAC/px | PSNR-mu | PSNR-L | PSNR-mu against the base, by seed | better on |",
        "|---|---|---|---|---|---|---|",
    ]
    for row, label in which.lines:
        line = summary(results, row)
        if line is None:
            lines.append(f"| {label} | - | - | - | - | - | - |")
            continue
        delta = ", ".join(f"{d:+.2f}" for d in line.delta) or "-"
        better = f"{line.better} of {line.compared}" if line.compared else "-"
        cost = f"{line.parameters:,} | {line.kmac:.1f}"
        lines.append(
            f"| {label} | {cost} | {_spread(line.mu)} | {_spread(line.linear)} | {delta} | {better} |"
        )
    return "\n".join(lines)


def verdict(line: Line) -> str:
    """What the seeds of a row say together; see ``VERDICTS``."""
    if len(line.delta) < 2:
        return "one seed so far"
    mean = sum(line.delta) / len(line.delta)
    apart = max(line.delta) - min(line.delta)
    agree = min(line.delta) * max(line.delta) > 0 and abs(mean) >= apart
    share = line.better / line.compared
    if agree and mean < 0 and share <= 0.25:
        return "costs"
    if agree and mean > 0 and share >= 0.75:
        return "gains"
    return "not told apart"


def verdicts(results: Mapping[str, Any]) -> str:
    """The rows by what throwing their switch does, the largest effect first."""
    labels: dict[str, str] = {}
    for which in TABLES:
        for row, label in which.lines:
            labels.setdefault(row, which.prefix + label)
    del labels["base"]
    found: dict[str, list[tuple[float, str]]] = {key: [] for key in VERDICTS}
    for row, label in labels.items():
        line = summary(results, row)
        if line is not None and line.delta:
            mean = sum(line.delta) / len(line.delta)
            found[verdict(line)].append((mean, f"{label} ({mean:+.2f})"))
    lines = []
    for key, meaning in VERDICTS.items():
        rows = [text for _, text in sorted(found[key], key=lambda entry: -abs(entry[0]))]
        lines.append(f"- **{meaning}**: {'; '.join(rows) if rows else 'none'}")
    return "\n".join(lines)


def baselines(results: Mapping[str, Any]) -> str:
    """What needs no network, on the same brackets."""
    lines = ["| without a network | PSNR-mu | PSNR-L |", "|---|---|---|"]
    for name, scores in results["baselines"].items():
        mu, linear = scores["mean"]
        lines.append(f"| {BASELINE_NAMES.get(name, name)} | {mu:.2f} | {linear:.2f} |")
    return "\n".join(lines)


def settings(results: Mapping[str, Any]) -> str:
    """What all rows share, and what the trainings so far took."""
    s, runs = results["settings"], results["runs"]
    seeds = sorted({r["seed"] for r in runs})
    each = [sum(r["seed"] == seed for r in runs) for seed in seeds]
    shards = [name.removesuffix(".npz") for name in s["shards"]]
    facts = [
        f"{s['steps']} steps of {s['batch']} patches of {s['size']}x{s['size']}, Adam from {s['lr']:g} "
        f"to 1e-5 (cosine, {s['warmup']:.0%} warm-up), averaged weights (decay {s['ema']:g}), "
        f"mu-law L1 + {s['sobel_weight']:g} D-ASL",
        f"{len(shards)} shards, {shards[0]} to {shards[-1]}",
        "trainings finished: " + (", ".join(f"{n} with seed {k}" for k, n in zip(seeds, each, strict=True))),
    ]
    if runs:
        brackets, (width, height) = len(runs[0]["scores"]) - 1, runs[0]["size"]
        core = sum(r["train_core_s"] for r in runs)
        facts.append(f"judged on {brackets} brackets of {width}x{height}")
        facts.append(f"{core / len(runs):.0f} s of one core per training, {core / 60:.0f} minutes in all")
    return "\n".join(f"- {fact}" for fact in facts)


def refreshed(text: str, results: Mapping[str, Any]) -> str:
    """``text`` with what stands between its markers made anew from ``results``.

    Raises ValueError where it has no markers, or a marker no table belongs to.
    """
    made = {t.key: table(results, t) for t in TABLES}
    made |= {
        "settings": settings(results),
        "baselines": baselines(results),
        "verdicts": verdicts(results),
    }

    def block(found: re.Match[str]) -> str:
        key = found["key"]
        if key not in made:
            raise ValueError(f"unknown marker ablation:{key}; there are {', '.join(made)}")
        return f"{found[1]}{made[key]}\n{found[4]}"

    new, count = _MARKED.subn(block, text)
    if not count:
        raise ValueError("no markers such as <!-- ablation:components --> ... <!-- /ablation:components -->")
    return new
