"""``twinhdr-export evaluate``: from the command line to tables and pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from edge.errors import TwinhdrError
from edge.frames import FloatImage
from edge.images.imageio import write_png
from export.command import fail, need_folder, need_torch, out_folder
from export.compare.merges import OnReference
from export.compare.onnx_file import onnx_row
from export.compare.row import Row
from export.compare.rows import comparison_rows, quick_rows
from export.judging.evaluate_pictures import case_picture
from export.judging.evaluate_report import case_table, mean_table, write_report
from export.judging.judge import MEASURES, QUICK, Measure, Report, judge
from export.judging.judged import Case, cases_of, dataset_cases, shipped_set, validation_set
from export.judging.judged_session import session_cases

Weights = Annotated[Path | None, typer.Option(help="Checkpoint (.pt) or weights (.safetensors).")]
OnnxFiles = Annotated[
    list[Path] | None,
    typer.Option(help="ONNX file to judge beside; may be given again (docs/evaluation.md)."),
]


def evaluate(
    images: Annotated[
        Path | None, typer.Option(help="Folder of radiance images; the held-out ones are judged.")
    ] = None,
    scenes: Annotated[bool, typer.Option(help="Judge on the simulator's shipped scenes.")] = False,
    triples: Annotated[
        Path | None, typer.Option(help="Folder of brackets: your own triples or a public dataset.")
    ] = None,
    session: Annotated[Path | None, typer.Option(help="A recorded session; flicker is judged, too.")] = None,
    weights: Weights = None,
    onnx: OnnxFiles = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for scores.json, scores.md and pictures; judges every row.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Of a session: every so manieth frame.")] = 1,
    frames: Annotated[int | None, typer.Option(min=1, help="Of a session: so many frames at most.")] = None,
    vdp: Annotated[bool, typer.Option(help="ColorVideoVDP as well: seconds a picture.")] = False,
    pictures: Annotated[bool, typer.Option(help="Write pictures with error maps into --out.")] = True,
) -> None:
    """Score a network beside the reference alone, merges and other networks.

    On one of: the held-out images of --images, the shipped scenes (--scenes; neither is ever trained on), a
    folder of brackets, or a recorded session. Without --out: PSNR-mu / PSNR-L of a few rows, quickly.
    """
    given = [name for name in (images, triples, session) if name is not None]
    if len(given) + scenes != 1:
        raise fail(
            "say what to judge on, one of: --images FOLDER, --scenes, --triples FOLDER, --session FOLDER"
        )
    if images is not None:
        need_folder(images, "radiance images (--images)")
    out_folder(out)
    console = Console()
    try:
        rows = chosen_rows(weights, onnx or [], full=out is not None)
        measures = _measures(out is not None, vdp)
        total, simulated, cases = _cases(images, triples, session, every, frames)
        show = _Shown(out, rows) if out is not None and pictures else None
        with progress_bar(console) as progress:
            task = progress.add_task("judging", total=total)

            def seen(case: Case, answers: Mapping[str, FloatImage]) -> None:
                if show is not None:
                    show(case, answers)
                progress.advance(task)

            report = judge(cases, rows, measures, session is not None, seen)
        title = f"Evaluation on {_what(images, triples, session)}"
        _print(console, report, simulated)
        if out is not None:
            about = {"judged_on": _what(images, triples, session), "files": _files(weights, onnx or [])}
            write_report(out, report, title, about)
            console.print(f"wrote {out}", markup=False, highlight=False, soft_wrap=True)
    except (ValueError, OSError, TwinhdrError) as error:
        raise fail(str(error)) from error


def chosen_rows(weights: Path | None, onnx: Iterable[Path], full: bool) -> list[Row]:
    """The rows asked for. Raises ValueError, OSError, EngineError."""
    on_reference = OnReference()
    rows = comparison_rows(on_reference) if full else quick_rows()
    rows += network_rows(weights, onnx, on_reference)
    names = [row.name for row in rows]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"two rows are called {', '.join(sorted(twice))}: give the ONNX file another name")
    return rows


def network_rows(weights: Path | None, onnx: Iterable[Path], on_reference: OnReference) -> list[Row]:
    """``eafnet`` where there are weights, and each ONNX file under its name."""
    rows = []
    if weights is not None:
        need_torch()
        from export.compare.network import network
        from export.training.origin import read_network

        rows.append(Row("eafnet", network(read_network(weights), on_reference)))
    return rows + [onnx_row(path, on_reference) for path in onnx]


def _measures(full: bool, vdp: bool) -> dict[str, Measure]:
    measures = dict(MEASURES if full else QUICK)
    if vdp:
        from export.judging.metrics_vdp import ColorVideoVdp

        measures["colorvideovdp"] = ColorVideoVdp().image
    return measures


def _cases(
    images: Path | None, triples: Path | None, session: Path | None, every: int, frames: int | None
) -> tuple[int, bool, Iterable[Case]]:
    """How many, whether they have their truth as far as is known, and the cases."""
    if session is not None:
        return session_cases(session, every, frames)
    if triples is not None:
        total, cases = dataset_cases(triples)
        return total, True, cases
    samples = shipped_set() if images is None else validation_set(images)
    return len(samples), True, cases_of(samples)


class _Shown:
    """Writes a picture of each case into ``pictures/``."""

    def __init__(self, out: Path, rows: Iterable[Row]) -> None:
        self._folder = out / "pictures"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._display = frozenset(row.name for row in rows if row.kind == "display")

    def __call__(self, case: Case, answers: Mapping[str, FloatImage]) -> None:
        name = case.name.replace("/", "-").replace("\\", "-")
        write_png(self._folder / f"{name}.png", case_picture(case, answers, self._display))


def _print(console: Console, report: Report, simulated: bool) -> None:
    if simulated and any(case for row in report.each.values() for case in row.values()):
        few = [row for row in ("reference", "merge", "blend", "eafnet") if row in report.each]
        console.print(case_table(report, few))
    console.print(mean_table(report))
    for note in report.notes:
        console.print(note, markup=False, highlight=False)


def progress_bar(console: Console) -> Progress:
    """A bar that is gone when the work is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True)


def _what(images: Path | None, triples: Path | None, session: Path | None) -> str:
    folder = images or triples or session
    if folder is None:
        return "the shipped scenes"
    kind = "held-out images of" if images else "brackets of" if triples else "session"
    return f"{kind} {folder.name or folder}"


def _files(weights: Path | None, onnx: Iterable[Path]) -> dict[str, Any]:
    """SHA-256 of what was judged, so that a figure can be traced to its file."""
    files = [path for path in (weights, *onnx) if path is not None]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
