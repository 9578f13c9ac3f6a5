"""``twinhdr-export robustness``: what a network loses when its inputs are wrong, as a table and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from edge.errors import TwinhdrError
from export.command import fail, need_folder, need_torch, out_folder
from export.judging.evaluate_command import progress_bar
from export.judging.evaluate_report import markdown_table, write_text
from export.judging.judged import shipped_set, validation_set
from export.judging.robustness import Outcome, faults, try_faults

HEAD = ("what is wrong", "PSNR-mu", "PSNR-L", "costs mu", "costs L", "worst picture", "bar", "")


def robustness(
    weights: Annotated[Path, typer.Option(help="Checkpoint (.pt) or weights (.safetensors).")],
    images: Annotated[
        Path | None, typer.Option(help="Folder of radiance images; the held-out ones are judged.")
    ] = None,
    scenes: Annotated[bool, typer.Option(help="Judge on the simulator's shipped scenes instead.")] = False,
    size: Annotated[tuple[int, int], typer.Option(help="Width and height of the pictures; even.")] = (
        480,
        288,
    ),
    out: Annotated[Path | None, typer.Option(help="Folder for robustness.json and robustness.md.")] = None,
) -> None:
    """Judge a network with exposures misreported, the pair displaced, and low or high missing.

    Costs are mean PSNR in dB less than with nothing wrong. The worst picture is its gain over the reference
    alone in PSNR-mu, which a missing exposure must not push below zero.
    """
    if scenes == (images is not None):
        raise fail("say what to judge on, one of the two: --images FOLDER or --scenes")
    if images is not None:
        need_folder(images, "radiance images (--images)")
    need_torch()
    out_folder(out)
    console = Console()
    try:
        from export.compare.network import forward
        from export.training.origin import read_network

        net = read_network(weights)
        samples = shipped_set(size) if images is None else validation_set(images, size)
        if not samples:
            raise ValueError(f"{images}: none of the held-out images is in this folder")
        with progress_bar(console) as progress:
            task = progress.add_task("judging", total=len(faults()))
            outcomes = try_faults(forward(net), samples, seen=lambda: progress.advance(task))
        console.print(_table(outcomes))
        if out is not None:
            whole = {
                "weights": weights.name,
                "pictures": list(samples),
                "faults": [asdict(o) for o in outcomes],
            }
            write_text(out / "robustness.json", json.dumps(whole, indent=1) + "\n")
            write_text(out / "robustness.md", to_markdown(outcomes))
    except (ValueError, OSError, TwinhdrError) as error:
        raise fail(str(error)) from error


def to_markdown(outcomes: Iterable[Outcome]) -> str:
    """One table."""
    head = [*HEAD, "which picture"]
    lines = ["# Robustness", "", *markdown_table(head, [[*_cells(o), o.worst_picture] for o in outcomes])]
    return "\n".join(lines) + "\n"


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table(title="in dB")
    for number, head in enumerate(HEAD):
        table.add_column(head, justify="right" if number else "left")
    for outcome in outcomes:
        table.add_row(*_cells(outcome))
    return table


def _cells(outcome: Outcome) -> list[str]:
    figures = (outcome.psnr_mu, outcome.psnr_linear, outcome.cost_mu, outcome.cost_linear, outcome.worst_mu)
    said = "" if outcome.within is None else "kept" if outcome.within else "MISSED"
    bar = "" if outcome.bar_db is None else f"{outcome.bar_db:g}"
    return [outcome.fault, *(f"{value:.2f}" for value in figures), bar, said]
