"""``twinhdr-export dataset``: is a dataset whole, and training shards of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.errors import TwinhdrError
from export.command import fail

if TYPE_CHECKING:
    from export.layouts import Bracket, Scene


def dataset(
    folder: Annotated[Path, typer.Argument(help="Folder of a dataset in its published layout.")],
    pool: Annotated[
        Path | None, typer.Option(help="Folder to write training shards to, for `train --pool`.")
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="Name the layout where it is not told from the files.")
    ] = None,
    fit_truth: Annotated[
        bool, typer.Option(help="Scale a ground truth to its reference picture; trust it otherwise.")
    ] = False,
) -> None:
    """Read every bracket of a public dataset and say what is wrong; with --pool, make training shards of it.

    Layouts (docs/datasets.md): Kalantari 2017, Prabhakar 2019, NTIRE 2021, Challenge123, Sen 2012, Tursun
    2016, and triples of one's own.
    """
    from export.layouts import detect

    try:
        found = detect(folder, layout)
        typer.echo(f"{folder}: {found.layout.title}, {len(found.scenes)} brackets")
        if pool is None:
            faults = _check(found.scenes, fit_truth)
        else:
            _shards(found.scenes, pool, found.layout.name, fit_truth)
            faults = 0
    except TwinhdrError as error:
        raise fail(str(error)) from None
    if faults:
        raise fail(f"{faults} of {len(found.scenes)} brackets cannot be used")


def _check(scenes: tuple[Scene, ...], fit: bool) -> int:
    """Read every scene; one line each. How many cannot be used."""
    faults = 0
    for scene in scenes:
        try:
            typer.echo(f"ok    {described(scene.bracket(fit))}")
        except TwinhdrError as error:
            typer.echo(f"FAULT {error}")
            faults += 1
    return faults


def described(bracket: Bracket) -> str:
    """One line: name, size, stops of low and high, whether there is a truth."""
    height, width = bracket.reference.shape[:2]
    low, high = (math.log2(float(bracket.exposure[i])) for i in (0, 2))
    truth = "ground truth" if bracket.truth is not None else "no ground truth"
    return f"{bracket.name}: {width} x {height}, {low:+.1f} and {high:+.1f} EV, {truth}"


def _shards(scenes: tuple[Scene, ...], pool: Path, name: str, fit: bool) -> None:
    from rich.progress import Progress

    from export.layouts.shards import bracket_shards

    counts = {"tiles": 0, "left out": 0}
    with Progress() as progress:
        task = progress.add_task("brackets", total=len(scenes))

        def done(bracket: Bracket, tiles: int) -> None:
            counts["tiles"] += tiles
            counts["left out"] += bracket.truth is None
            progress.advance(task)

        written = bracket_shards((scene.bracket(fit) for scene in scenes), pool, name, done=done)
    typer.echo(
        f"{pool}: {written} shards of {counts['tiles']} tiles; "
        f"{counts['left out']} brackets without ground truth left out"
    )
