"""Starts the worker processes of a training run and keeps score while it runs."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from export.data import Pool
from export.evaluate import BASELINES, network, score, validation_set
from export.train import Recipe, Runtime, State, averaged, load, run, start


@dataclass(frozen=True, slots=True)
class Job:
    """A training run as the command line describes it; picklable.

    ``images`` None trains without scores. ``resume`` continues ``folder/last.pt`` with its own recipe;
    only its budget is taken from ``recipe``.
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
    state = load(checkpoint, **budget) if job.resume else start(recipe)
    report = Reporter(job.folder, job.images) if rank == 0 and job.images is not None else None
    runtime = Runtime(
        job.folder, rank, job.workers, job.compiled, report_every_s=job.report_every_s, report=report
    )
    run(state, Pool(job.pool), runtime)
    if report is not None:
        report(state)
    if job.workers > 1:
        dist.destroy_process_group()


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
