"""``twinhdr-export train``: from the command line to a job.

An option left out takes the value of the recipe, which is why most of them have no default here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from export.command import Images, PoolFolder, fail, need_folder, need_torch

_THIS_MACHINE = "Speed and devices"
_RECIPE = "Recipe"
_START = "Where it starts"


def _recipe(text: str, **limits: Any) -> Any:
    return typer.Option(help=text, rich_help_panel=_RECIPE, show_default=False, **limits)


def train(
    images: Images,
    pool: PoolFolder = Path("runs/pool"),
    run: Annotated[
        Path, typer.Option(help="Folder for checkpoints, log.csv, scores.jsonl and curve.png.")
    ] = Path("runs/s"),
    variant: Annotated[str, typer.Option(help="Network: l, m, s or xs.")] = "s",
    minutes: Annotated[float | None, typer.Option(min=0, help="Budget in minutes of training.")] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Budget in steps; reproducible to the bit.")
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Go on from the run folder's last.pt, with its recipe.")
    ] = False,
    recipe: Annotated[
        str, typer.Option(help="fast (ours) or paper; the options below change it.", rich_help_panel=_RECIPE)
    ] = "fast",
    batch: Annotated[int | None, _recipe("Patches a worker and part of a step.", min=1)] = None,
    accumulate: Annotated[
        int, typer.Option(min=1, help="Parts a step is computed in, to fit memory.", rich_help_panel=_RECIPE)
    ] = 1,
    size: Annotated[int | None, _recipe("Patch size; a multiple of 32.")] = None,
    large_fraction: Annotated[
        float | None, _recipe("Share of the budget, at its end, with 192 pixel patches.", min=0, max=1)
    ] = None,
    lr: Annotated[float | None, _recipe("Learning rate after warm-up.")] = None,
    lr_end: Annotated[float | None, _recipe("Learning rate at the end.")] = None,
    schedule: Annotated[str | None, _recipe("Its way down: cosine, linear or constant.")] = None,
    ema: Annotated[
        float | None, _recipe("Decay of the averaged weights that are scored and shipped.", min=0, max=1)
    ] = None,
    linear_weight: Annotated[float | None, _recipe("Weight of an L1 term on linear values.", min=0)] = None,
    precision: Annotated[
        str | None, _recipe("fp32, or bf16 or fp16 for the network's matrix products (autocast).")
    ] = None,
    teacher_weight: Annotated[
        float | None, _recipe("Weight of mu-law L1 against the --teacher's answer; 1 with a teacher.", min=0)
    ] = None,
    truth_weight: Annotated[
        float | None, _recipe("Weight of the loss against the truth; 0 learns from the teacher alone.", min=0)
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Initial weights and patches drawn.", rich_help_panel=_RECIPE)
    ] = 0,
    init: Annotated[
        Path | None,
        typer.Option(help="Weights (.safetensors, .pt) of the same variant.", rich_help_panel=_START),
    ] = None,
    widen: Annotated[
        Path | None,
        typer.Option(help="Weights of a narrower variant (S for M), widened.", rich_help_panel=_START),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(help="Weights of a larger network to learn from as well.", rich_help_panel=_START),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(min=1, help="Processes that average their gradients.", rich_help_panel=_THIS_MACHINE),
    ] = 2,
    device: Annotated[
        str, typer.Option(help="cpu, cuda, or auto: a GPU if any.", rich_help_panel=_THIS_MACHINE)
    ] = "auto",
    channels_last: Annotated[
        bool, typer.Option(help="Memory format of the network; often faster.", rich_help_panel=_THIS_MACHINE)
    ] = False,
    compiled: Annotated[
        bool,
        typer.Option(
            help="Use torch.compile; try it, it is not always faster.", rich_help_panel=_THIS_MACHINE
        ),
    ] = False,
) -> None:
    """Train a network on a pool of shards. Interrupt it at any time and go on with --resume.

    A checkpoint is written every three minutes, scores on held-out images and a picture of the run every
    fifteen. The learning rate follows the budget: --minutes counts training time only, over all resumes.

    Many GPUs: torchrun --nproc-per-node 4 -m export.cli train ... ; each process then is one worker.
    """
    need_torch()
    need_folder(images, "radiance images (--images)")
    need_folder(pool, "training shards (--pool); `twinhdr-export render` makes it")
    from export.eafnet.config import variant as named
    from export.training.recipe import Recipe, named_recipe
    from export.training.workers import Job, choose_device, launch, torchrun_place

    changes = {
        "batch": batch,
        "size": size,
        "large_fraction": large_fraction,
        "lr": lr,
        "lr_end": lr_end,
        "schedule": schedule,
        "ema": ema,
        "linear_weight": linear_weight,
        "precision": precision,
        "truth_weight": truth_weight,
        "teacher_weight": teacher_weight if teacher_weight is not None else float(teacher is not None),
    }
    try:
        if resume and (init is not None or widen is not None):
            raise ValueError("--resume goes on from the run's own last.pt: leave out --init and --widen")
        place = torchrun_place(os.environ)
        if choose_device(device).type == "cuda" and place is None:
            workers = 1
        total = workers if place is None else place.workers
        fields = {**named_recipe(recipe, total, accumulate, split=batch is None)}
        fields.update({name: value for name, value in changes.items() if value is not None})
        settings = Recipe(
            named(variant), steps=steps, minutes=minutes, accumulate=accumulate, seed=seed, **fields
        )
        job = Job(
            run,
            pool,
            images,
            settings.to_dict(),
            workers,
            compiled=compiled,
            resume=resume,
            init=init,
            widen=widen,
            teacher=teacher,
            device=device,
            channels_last=channels_last,
        )
        launch(job)
    except (ValueError, OSError) as error:
        raise fail(str(error)) from error
