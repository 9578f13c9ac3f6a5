"""``twinhdr-export flicker``: our two cameras beside one that alternates its exposure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from edge.errors import TwinhdrError
from edge.images.imageio import write_png
from edge.images.panel import stacked
from edge.tone.sdr import Rgb8
from export.command import fail, out_folder
from export.compare import merges
from export.compare.merges import OnReference
from export.compare.row import Row
from export.judging.curves import curve_picture, value_span
from export.judging.evaluate_command import OnnxFiles, Weights, network_rows, progress_bar
from export.judging.evaluate_report import figure, markdown_table, write_text
from export.judging.flicker import LSD_BAR, OURS, SETUPS, STEP_BAR, Flicker, watch
from export.judging.judge import TITLES
from export.judging.setups import Shoot
from hw.simulator.library import SCENES

COLUMNS = (
    "psnr_mu",
    "psnr_linear",
    "l_avg",
    "lsd",
    "lsd_beyond",
    "lsd_difference",
    "step_beyond",
    "step_at_change",
    "t_ssim",
)
SHOWN = ("psnr_mu", "psnr_linear", "lsd_beyond", "step_beyond", "step_at_change", "t_ssim")
"""What fits a terminal."""
HEADS = {**TITLES, "step_at_change": "step at a change"}


def flicker(
    scene: Annotated[
        list[str] | None, typer.Option(help="Shipped scene or EXR file; may be given again. All by default.")
    ] = None,
    weights: Weights = None,
    onnx: OnnxFiles = None,
    frames: Annotated[int, typer.Option(min=2, help="Frames at 30 per second.")] = 48,
    width: Annotated[int, typer.Option(min=64, help="Of the pictures, in pixels; 16:9.")] = 960,
    out: Annotated[Path | None, typer.Option(help="Folder for flicker.json, flicker.md and curves.")] = None,
) -> None:
    """Fuse the same scenes filmed by two cameras and by one that alternates, and compare how they flicker.

    Each setup's truth is what its own frames would show without noise and clipping, so that the motion of the
    scene itself is not counted.
    """
    out_folder(out)
    console = Console()
    height = round(width * 9 / 16 / 2) * 2
    results: list[Flicker] = []
    try:
        rows = flicker_rows(weights, onnx or [])
        with progress_bar(console) as progress:
            for name in scene or list(SCENES):
                shoot = Shoot(name, width // 2 * 2, height, frames)
                task = progress.add_task(Path(name).stem, total=frames * len(SETUPS))
                some = [watch(shoot, setup, rows, partial(progress.advance, task)) for setup in SETUPS]
                results += some
                if out is not None:
                    write_png(out / f"{Path(name).stem}.png", strip(some, rows[-1].name))
        for result in results:
            console.print(_table(result))
        console.print(verdict(results, rows[-1].name), markup=False, highlight=False)
        if out is not None:
            write_text(out / "flicker.json", to_json(results))
            write_text(out / "flicker.md", to_markdown(results, rows[-1].name))
    except (ValueError, OSError, TwinhdrError) as error:
        raise fail(str(error)) from error


def flicker_rows(weights: Path | None, onnx: Iterable[Path]) -> list[Row]:
    """The frame alone, the flow-aligned merge, and the networks; the last one is what the curves show."""
    on_reference = OnReference()
    return [
        Row("reference", merges.reference_only),
        Row("flow + merge", merges.aligned(merges.radiance_merge, on_reference)),
        *network_rows(weights, onnx, on_reference),
    ]


def strip(results: Sequence[Flicker], method: str) -> Rgb8:
    """Mean luminance over time of one scene: a line for each setup, truth and ``method``, on one scale."""
    pairs = [
        {"truth": (r.times_s, r.curves["truth"]), method: (r.times_s, r.curves[method])} for r in results
    ]
    span = value_span(curve for curves in pairs for curve in curves.values())
    return stacked(
        [
            curve_picture(f"{r.setup}: mean luminance, mu domain", curves, span)
            for r, curves in zip(results, pairs, strict=True)
        ]
    )


def verdict(results: Iterable[Flicker], method: str) -> str:
    """One line for each scene: ``method`` on our setup against the bars."""
    lines = []
    for result in results:
        if result.setup != OURS:
            continue
        steady, smooth = result.bars(method)
        figures = result.figures[method]
        lines.append(
            f"{result.scene}: {method} LSD beyond truth's {figures['lsd_beyond']:+.5f} (bar {LSD_BAR}: "
            f"{'kept' if steady else 'MISSED'}), step where the pair changes {figures['step_at_change']:.5f} "
            f"(bar {STEP_BAR}: {'kept' if smooth else 'MISSED'})"
        )
    return "\n".join(lines)


def to_json(results: Iterable[Flicker]) -> str:
    """Figures and curves of every scene and setup."""
    plain: list[dict[str, Any]] = [
        {"scene": r.scene, "setup": r.setup, "figures": r.figures, "times_s": r.times_s, "curves": r.curves}
        for r in results
    ]
    return json.dumps(plain, indent=1) + "\n"


def to_markdown(results: Iterable[Flicker], method: str) -> str:
    """A table for each scene."""
    several = list(results)
    lines = ["# Flicker: two cameras beside one that alternates its exposure", ""]
    for scene in dict.fromkeys(result.scene for result in several):
        lines += [f"## {scene}", ""]
        body = [cells for result in several if result.scene == scene for cells in _cells(result)]
        head = ["setup", "method", *(HEADS[name] for name in COLUMNS)]
        lines += [*markdown_table(head, body), ""]
    return "\n".join([*lines, *(f"- {line}" for line in verdict(several, method).splitlines())]) + "\n"


def _cells(result: Flicker) -> list[list[str]]:
    return [
        [result.setup, name, *(figure(column, figures.get(column)) for column in COLUMNS)]
        for name, figures in result.figures.items()
    ]


def _table(result: Flicker) -> Table:
    table = Table("method", title=f"{Path(result.scene).stem}, {result.setup}")
    for column in SHOWN:
        table.add_column(HEADS[column], justify="right")
    for name, figures in result.figures.items():
        table.add_row(name, *(figure(column, figures.get(column)) for column in SHOWN))
    return table
