"""Starts the worker processes of a training run and keeps score while it runs."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import rich.progress
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from export.checkpoint import State, averaged, load, start
from export.data import Pool
from export.evaluate import BASELINES, network, score, validation_set
from export.origin import origin
from export.recipe import Recipe
from export.train import LogLine, Runtime, run


@dataclass(frozen=True, slots=True)
class Job:
    """A training run as the command line describes it; picklable.

    ``images`` None trains without scores. ``resume`` continues ``folder/last.pt`` with its own recipe;
    only its budget is taken from ``recipe``. ``init`` and ``widen`` are weights to start from, see
    ``export.origin``.
    """

    folder: Path
    pool: Path
    images: Path | None
    recipe: dict[str, Any]
    workers: int = 2
    threads: int = 1
    compiled: bool = False
    resume: bool = False
    report_every_s: float = 900.0
    refresh_every_s: float = 60.0
    init: Path | None = None
    widen: Path | None = None


def launch(job: Job) -> None:
    """Run ``job`` to the end of its budget. Returns when every worker has ended."""
    with tempfile.TemporaryDirectory(prefix="twinhdr-train-") as meeting:
        if job.workers == 1:
            work(0, job, meeting)
        else:
            spawn(work, args=(job, meeting), nprocs=job.workers, join=True)  # type: ignore[no-untyped-call]


def work(rank: int, job: Job, meeting: str) -> None:
    """One worker's life."""
    torch.set_num_threads(job.threads)
    if job.workers > 1:
        dist.init_process_group(
            "gloo", init_method=f"file://{meeting}/store", rank=rank, world_size=job.workers
        )
    recipe = Recipe.from_dict(job.recipe)
    checkpoint = job.folder / "last.pt"
    budget = {"steps": recipe.steps, "minutes": recipe.minutes}
    if job.resume:
        state = load(checkpoint, **budget)
    else:
        state = start(recipe, origin(recipe.config, recipe.seed, job.init, job.widen))
    report = Reporter(job.folder, job.images) if rank == 0 and job.images is not None else None
    with Progress(rank) as progress:
        runtime = Runtime(
            job.folder,
            rank,
            job.workers,
            job.compiled,
            refresh_every_s=job.refresh_every_s,
            report_every_s=job.report_every_s,
            report=report,
            log=progress.log,
        )
        run(state, Pool(job.pool), runtime)
        if report is not None:
            report(state)
    if job.workers > 1:
        dist.destroy_process_group()


class Progress:
    """A bar with loss and rate on a terminal, a JSON line per report elsewhere."""

    def __init__(self, rank: int) -> None:
        self.bar: rich.progress.Progress | None = None
        if rank == 0 and sys.stdout.isatty():
            self.bar = rich.progress.Progress(
                "{task.description}", rich.progress.BarColumn(), rich.progress.TimeElapsedColumn()
            )
            self.task = self.bar.add_task("starting", total=1.0)

    def __enter__(self) -> Progress:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def log(self, state: State, line: LogLine) -> None:
        """Show one line of the log."""
        if self.bar is None:
            print(json.dumps(line), flush=True)
            return
        speed = state.patches / max(state.trained_s, 1e-9)
        text = f"step {state.step}, loss {line['loss']:.4f}, {speed:.1f} patches/s"
        self.bar.update(self.task, completed=state.progress(), description=text)


class Reporter:
    """Scores the averaged weights on the validation set; one JSON line per report in ``scores.jsonl``."""

    def __init__(self, folder: Path, images: Path) -> None:
        self.path = folder / "scores.jsonl"
        self.samples = validation_set(images)
        scores = {name: asdict(score(m, self.samples)) for name, m in BASELINES.items()}
        print(json.dumps({"baselines": scores}), flush=True)

    def __call__(self, state: State) -> None:
        result = score(network(averaged(state)), self.samples)
        line = {"step": state.step, "patches": state.patches, "trained_s": round(state.trained_s)}
        text = json.dumps({**line, **asdict(result)})
        with open(self.path, "a") as file:
            file.write(text + "\n")
        print(text, flush=True)
