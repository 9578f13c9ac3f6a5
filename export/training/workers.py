"""Starts the worker processes of a training run, or joins those that torchrun has started."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from export.training.checkpoint import State, load, start
from export.training.data import Pool
from export.training.distill import as_teacher
from export.training.origin import origin, read_network
from export.training.progress import Progress, Reporter
from export.training.recipe import Recipe
from export.training.train import Runtime, check_tiles, run

PR_SET_PDEATHSIG = 1
"""From Linux' sys/prctl.h."""


@dataclass(frozen=True, slots=True)
class Job:
    """A training run as the command line describes it; picklable.

    ``images`` None trains without scores. ``resume`` continues ``folder/last.pt`` with its own recipe;
    only its budget is taken from ``recipe``. ``init`` and ``widen`` are weights to start from, see
    ``export.training.origin``; ``teacher`` those to learn from. ``device`` is "cpu", "cuda" or "auto".
    ``stop_at_step`` ends the run early, to be resumed.
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
    teacher: Path | None = None
    device: str = "cpu"
    channels_last: bool = False
    stop_at_step: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where one worker stands among all; ``meeting`` is how they find each other, None where it is alone."""

    rank: int = 0
    workers: int = 1
    local_rank: int = 0
    meeting: str | None = None
    restarted: bool = False


def torchrun_place(environment: Mapping[str, str]) -> Place | None:
    """This process's place in the group that torchrun has started; None where it has not."""
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        return None
    rank = int(environment["RANK"])
    local_rank = int(environment.get("LOCAL_RANK", rank))
    restarted = int(environment.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
    return Place(rank, int(environment["WORLD_SIZE"]), local_rank, "env://", restarted)


def launch(job: Job) -> State | None:
    """Run ``job`` to the end of its budget and return its state, None where workers of its own ended with it.

    Raises ValueError or FileNotFoundError, before any worker starts, where the job cannot be carried out.
    """
    check(job)
    place = torchrun_place(os.environ)
    if place is not None:
        return work(job, place)
    if job.workers == 1:
        return work(job, Place())
    with tempfile.TemporaryDirectory(prefix="twinhdr-train-") as folder:
        arguments = (job, job.workers, f"file://{folder}/store")
        spawn(_spawned, args=arguments, nprocs=job.workers, join=True)  # type: ignore[no-untyped-call]
    return None


def check(job: Job) -> None:
    """Raise what the workers would: an error of theirs arrives as a traceback."""
    if job.resume:
        recipe = load(job.folder / "last.pt").recipe
    else:
        recipe = Recipe.from_dict(job.recipe)
        origin(recipe.config, recipe.seed, job.init, job.widen)
    if job.teacher is not None:
        as_teacher(read_network(job.teacher), recipe)
    elif recipe.teacher_weight:
        raise ValueError("this run learns from a teacher: name its weights with --teacher")
    shards = sorted(p.name for p in job.pool.glob("*.npz"))
    if not shards:
        raise FileNotFoundError(f"{job.pool}: no training shards yet; start `twinhdr-export render` first")
    check_tiles(job.pool, shards, max(recipe.sizes))


def _spawned(rank: int, job: Job, workers: int, meeting: str) -> None:
    die_with_parent()
    work(job, Place(rank, workers, rank, meeting))
    # All is written. Gloo's threads may outlive their group, and an orderly exit then now and then aborts
    # ("terminate called without an active exception"), which would count as a failed run.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def die_with_parent() -> None:
    """End this process when the one that started it is gone, however it went (Linux; elsewhere nothing).

    A worker that outlives a killed run goes on writing its checkpoint over that of the run resumed from it.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # gone before it was asked for
        os.kill(os.getpid(), signal.SIGKILL)


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """The device called ``name``: "cpu", "cuda" (this rank's GPU) or "auto" (a GPU where there is one)."""
    if name not in ("cpu", "cuda", "auto"):
        raise ValueError(f"unknown device {name!r}; there are cpu, cuda, auto")
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    count = torch.cuda.device_count()
    if local_rank >= count:
        raise ValueError(f"--device {name}: worker {local_rank + 1} of this machine finds {count} GPUs")
    return torch.device("cuda", local_rank)


def work(job: Job, place: Place) -> State:
    """One worker's life; returns the state it ends in."""
    torch.set_num_threads(job.threads)
    device = choose_device(job.device, place.local_rank)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if place.meeting is not None:
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, place.meeting, rank=place.rank, world_size=place.workers)
    try:
        state = _train(job, place, device)
        if place.meeting is not None:
            dist.barrier()  # nobody leaves while another still talks
        return state
    finally:
        if place.meeting is not None:
            dist.destroy_process_group()


def _train(job: Job, place: Place, device: torch.device) -> State:
    recipe = Recipe.from_dict(job.recipe)
    checkpoint = job.folder / "last.pt"
    if job.resume or (place.restarted and checkpoint.is_file()):
        state = load(checkpoint, steps=recipe.steps, minutes=recipe.minutes)
    else:
        state = start(recipe, origin(recipe.config, recipe.seed, job.init, job.widen))
    teacher = None
    if job.teacher is not None:
        teacher = as_teacher(read_network(job.teacher), state.recipe).to(device)
    with Progress(place.rank) as progress:
        runtime = Runtime(
            job.folder,
            place.rank,
            place.workers,
            job.compiled,
            device,
            job.channels_last,
            refresh_every_s=job.refresh_every_s,
            report_every_s=job.report_every_s,
            log=progress.log,
        )
        if place.rank == 0:
            runtime = replace(runtime, report=Reporter(job.folder, job.images))
        run(state, Pool(job.pool), runtime, job.stop_at_step, teacher)
        if runtime.report is not None:
            runtime.report(state)
    return state
