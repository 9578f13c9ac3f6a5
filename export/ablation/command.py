"""``twinhdr-export ablation``: train the rows of the ablation, write and refresh their tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from export.command import PoolFolder, fail, need_folder, need_torch


def ablation(
    pool: PoolFolder = Path("runs/pool"),
    images: Annotated[
        Path | None, typer.Option(help="Folder of radiance images; the held-out ones are judged. Trains.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for results; what is finished there is kept.")] = Path(
        "runs/ablation"
    ),
    steps: Annotated[int, typer.Option(min=1, help="Steps of every training.")] = 300,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of every row: seeds 0, 1, ...")] = 2,
    shards: Annotated[int, typer.Option(min=1, help="The pool's first shards, by name.")] = 16,
    batch: Annotated[int, typer.Option(min=1, help="Patches a step.")] = 4,
    size: Annotated[int, typer.Option(min=32, help="Patch size; a multiple of 32.")] = 96,
    rows: Annotated[str | None, typer.Option(help="Rows to train, with commas between; else all.")] = None,
    document: Annotated[
        Path | None, typer.Option(help="Markdown document whose tables are made anew from the results.")
    ] = None,
) -> None:
    """Train EAFNet-S once per row of the ablation and seed, all alike, and tabulate what each switch does.

    With --images it trains (one core; interrupt it at any time, finished rows are kept), without it only
    the tables of --document are made anew from what --out holds.
    """
    if images is None and document is None:
        raise fail("nothing to do: --images FOLDER trains, --document FILE refreshes its tables")
    if images is not None:
        need_torch()
        need_folder(images, "radiance images (--images)")
        need_folder(pool, "training shards (--pool); `twinhdr-export render` makes it")
        try:
            _train(pool, images, out, steps, range(seeds), shards, batch, size, rows)
        except (ValueError, FileNotFoundError) as error:
            raise fail(str(error)) from error
    if document is not None:
        try:
            refresh(document, out / "results.json")
        except (ValueError, OSError) as error:
            raise fail(str(error)) from error


def refresh(document: Path, results: Path) -> None:
    """Make the tables of ``document`` anew. Raises FileNotFoundError, or ValueError naming the document."""
    from export.ablation.document import refreshed

    if not results.is_file():
        raise FileNotFoundError(f"{results}: no results yet; `twinhdr-export ablation --images` makes them")
    try:
        text = refreshed(document.read_text(), json.loads(results.read_text()))
    except ValueError as error:
        raise ValueError(f"{document}: {error}") from error
    document.write_text(text)


def _train(
    pool: Path,
    images: Path,
    out: Path,
    steps: int,
    seeds: range,
    shards: int,
    batch: int,
    size: int,
    rows: str | None,
) -> None:
    import cv2
    import torch

    from export.ablation.rows import ROWS
    from export.ablation.run import Settings, ablate, first_shards
    from export.judging.evaluate import validation_set

    torch.set_num_threads(1)
    cv2.setNumThreads(1)

    def done(result: Mapping[str, Any]) -> None:
        mu, linear = result["scores"]["mean"]
        typer.echo(
            f"{result['row']} seed {result['seed']}: {mu:.2f} / {linear:.2f} dB, "
            f"{result['train_core_s']:.0f} s of one core, {result['train_wall_s']:.0f} s in all"
        )

    names = first_shards(pool, shards)
    wanted = list(ROWS) if rows is None else [name.strip() for name in rows.split(",")]
    ablate(
        Settings(steps, names, batch, size), pool, out, lambda: validation_set(images), seeds, wanted, done
    )
