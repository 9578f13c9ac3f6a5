"""``twinhdr-export train``: from the command line to a job."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from export.command import Images, PoolFolder, fail, need_folder, need_torch


def train(
    images: Images,
    pool: PoolFolder = Path("runs/pool"),
    run: Annotated[Path, typer.Option(help="Folder for checkpoints, log.csv and scores.jsonl.")] = Path(
        "runs/s"
    ),
    variant: Annotated[str, typer.Option(help="Network: l, m, s or xs.")] = "s",
    minutes: Annotated[float | None, typer.Option(min=0, help="Budget in minutes of training.")] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Budget in steps; reproducible to the bit.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that average their gradients.")] = 2,
    batch: Annotated[int, typer.Option(min=1, help="Patches a worker and step.")] = 3,
    size: Annotated[int, typer.Option(help="Patch size; a multiple of 32.")] = 128,
    large_fraction: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the budget, at its end, with 192 pixel patches.")
    ] = 0.12,
    lr: Annotated[float, typer.Option(help="Learning rate after warm-up; falls to 1e-5 as a cosine.")] = 1e-3,
    ema: Annotated[
        float, typer.Option(help="Decay of the averaged weights that are scored and shipped.")
    ] = 0.999,
    linear_weight: Annotated[float, typer.Option(help="Weight of an L1 term on linear values.")] = 0.1,
    init: Annotated[
        Path | None, typer.Option(help="Start from these weights (.safetensors, .pt) of the same variant.")
    ] = None,
    widen: Annotated[
        Path | None, typer.Option(help="Start from these weights of a narrower variant (S for M), widened.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Initial weights and patches drawn.")] = 0,
    resume: Annotated[bool, typer.Option(help="Go on from the run folder's last.pt.")] = False,
    compiled: Annotated[
        bool, typer.Option(help="Use torch.compile; try it, it is not always faster.")
    ] = False,
) -> None:
    """Train a network on a pool of shards. Interrupt it at any time and go on with --resume.

    A checkpoint is written every three minutes, scores on held-out images every fifteen. The learning rate
    follows the budget: --minutes counts training time only, over all resumes.
    """
    need_torch()
    need_folder(images, "radiance images (--images)")
    need_folder(pool, "training shards (--pool); `twinhdr-export render` makes it")
    from export.eafnet.config import variant as named
    from export.origin import origin
    from export.recipe import Recipe
    from export.workers import Job, launch

    try:
        config = named(variant)
        if size % config.multiple:
            raise ValueError(f"--size {size} is not a multiple of {config.multiple}, which {variant} needs")
        recipe = Recipe(
            config,
            steps=steps,
            minutes=minutes,
            batch=batch,
            size=size,
            large_fraction=large_fraction,
            lr=lr,
            ema=ema,
            linear_weight=linear_weight,
            seed=seed,
        )
        if resume and (init is not None or widen is not None):
            raise ValueError("--resume goes on from the run's own last.pt: leave out --init and --widen")
        if init is not None or widen is not None:
            origin(config, seed, init, widen)
        job = Job(run, pool, images, recipe.to_dict(), workers, compiled=compiled, resume=resume)
        launch(replace(job, init=init, widen=widen))
    except (ValueError, FileNotFoundError) as error:
        raise fail(str(error)) from error
