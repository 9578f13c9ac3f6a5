"""``twinhdr-export pack``: a pool in one small file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.command import PoolFolder, fail, need_folder


def pack(
    pool: PoolFolder = Path("runs/pool"),
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("runs/shards.npz"),
    megabytes: Annotated[float, typer.Option(min=0.01, help="Its size.")] = 55.0,
    crop: Annotated[
        int, typer.Option(min=32, help="Width of the pieces; smaller ones show more scenes in as many bytes.")
    ] = 160,
    seed: Annotated[int, typer.Option(help="Which tiles, and which part of them.")] = 0,
) -> None:
    """Pack random tiles of all shards into one small file, for a GPU far from the pool.

    Train there with: python -m export.training.gpu shards.npz --minutes 9
    """
    need_folder(pool, "training shards (--pool); `twinhdr-export render` makes it")
    from rich.progress import Progress

    from export.training import pack as packing

    try:
        with Progress() as progress:
            task = progress.add_task("tiles", total=1.0)
            summary = packing.pack(
                pool, out, megabytes, crop, seed=seed, done=lambda s: progress.update(task, completed=s)
            )
    except (ValueError, OSError) as error:
        raise fail(str(error)) from error
    typer.echo(
        f"{out}: {summary.tiles} tiles of {crop}x{crop} from {summary.shards} shards, "
        f"{summary.megabytes:.1f} MB, rounded to {summary.psnr_mu:.1f} dB PSNR-mu"
    )
