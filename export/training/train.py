"""Training that can be interrupted anywhere: one loop, a wall-clock or step budget, bit-exact resume.

On a CPU several single-threaded processes that average their gradients (``--workers 2``) beat one process
with as many threads: the threads of one process meet at a barrier after every operator, and each meeting
waits for the slower core.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from export.eafnet.model import Eafnet
from export.training.checkpoint import State, place, save
from export.training.data import Pool
from export.training.distill import objective
from export.training.recipe import patch_plan
from export.training.run_log import LogLine, append
from export.training.step import Batch, Draw, train_step


def drawn(state: State, pool: Pool, runtime: Runtime) -> Draw:
    """This worker's patches of this step, part by part: a function of seed, rank, step, part and pool that a
    resume draws again."""
    batch, size = patch_plan(state.recipe, state.progress())

    def draw(part: int) -> Batch:
        rng = np.random.default_rng((state.recipe.seed, runtime.rank, state.step, part))
        pixels, exposure, mean = (torch.from_numpy(a) for a in pool.draw(rng, batch, size))
        if runtime.channels_last:
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        return pixels.to(runtime.device), exposure.to(runtime.device), mean.to(runtime.device)

    return draw


CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Runtime:
    """How a run is carried out; nothing here changes what it computes, apart from rounding.

    ``report`` gets the state every ``report_every_s`` and ``log`` the lines of the CSV log as they are
    written; both run on rank 0 while the others wait.
    """

    folder: Path
    rank: int = 0
    workers: int = 1
    compiled: bool = False
    device: torch.device = CPU
    channels_last: bool = False
    checkpoint_every_s: float = 180.0
    refresh_every_s: float = 60.0
    report_every_s: float = 900.0
    report: Callable[[State], None] | None = None
    log: Callable[[State, LogLine], None] | None = None


def run(
    state: State,
    pool: Pool,
    runtime: Runtime,
    stop_at_step: int | None = None,
    teacher: Eafnet | None = None,
) -> None:
    """Train until the budget is used up (or ``stop_at_step``), with checkpoints and a CSV log.

    Every worker decides by rank 0's clock, so that all take the same steps. Raises ValueError where the
    pool's tiles are smaller than the recipe's patches.
    """
    place(state, runtime.device, runtime.channels_last)
    step_loss = objective(state.net, state.recipe, teacher, runtime.compiled)
    _refresh(state, pool, runtime)
    (began,) = _from_rank_0([time.monotonic()], runtime)
    marks = dict.fromkeys(("checkpoint", "refresh", "report", "log"), began)
    losses: list[Tensor] = []
    before = time.monotonic()
    while state.progress() < 1.0 and (stop_at_step is None or state.step < stop_at_step):
        loss, rate = train_step(state, drawn(state, pool, runtime), step_loss, runtime.workers)
        losses.append(loss)
        now = time.monotonic()
        elapsed, clock = _from_rank_0([now - before, now], runtime)
        before = now
        state.trained_s += elapsed

        def due(what: str, every_s: float, clock: float = clock) -> bool:
            if clock - marks[what] < every_s:
                return False
            marks[what] = clock
            return True

        if due("log", 15.0):
            _log(state, runtime, losses, rate)
        if due("refresh", runtime.refresh_every_s):
            _refresh(state, pool, runtime)
        if due("checkpoint", runtime.checkpoint_every_s) and runtime.rank == 0:
            save(state, runtime.folder / "last.pt")
        if due("report", runtime.report_every_s) and runtime.rank == 0 and runtime.report is not None:
            runtime.report(state)
            before = time.monotonic()
    if losses:
        _log(state, runtime, losses, rate)
    if runtime.rank == 0:
        save(state, runtime.folder / "last.pt")


def _from_rank_0(values: list[float], runtime: Runtime) -> list[float]:
    """Rank 0's values on every rank: ranks that went by their own clocks would part ways and hang."""
    if runtime.workers == 1:
        return values
    shared = torch.tensor(values, dtype=torch.float64)
    dist.broadcast(shared, 0)
    return [float(v) for v in shared]


def _refresh(state: State, pool: Pool, runtime: Runtime) -> None:
    """Let the pool grow; every worker takes the shards that rank 0 sees."""
    if runtime.rank == 0:
        pool.refresh(None if not state.shards else state.shards)
        pool.refresh()
    names = [pool.names]
    if runtime.workers > 1:
        dist.broadcast_object_list(names, 0, device=CPU)
    pool.refresh(names[0])
    check_tiles(pool.folder, [n for n in pool.names if n not in state.shards], max(state.recipe.sizes))
    state.shards = list(pool.names)


def check_tiles(folder: Path, shards: Sequence[str], size: int) -> None:
    """Raise ValueError, naming the shard and what to do, where a patch would not fit into its tiles."""
    for name in shards:
        tile = np.load((folder / name).with_suffix(".npy"), mmap_mode="r").shape[-1]
        if tile < size:
            raise ValueError(
                f"{folder / name}: its tiles are {tile} wide and the recipe's patches {size}; render a pool "
                f"of larger ones (twinhdr-export render --tile {size}) or train with --size {tile} or less"
            )


def _log(state: State, runtime: Runtime, losses: list[Tensor], rate: float) -> None:
    """One line with the mean of ``losses``, which are then forgotten."""
    loss = float(torch.stack(losses).mean())
    losses.clear()
    if runtime.rank != 0:
        return
    line: LogLine = {
        "step": state.step,
        "patches": state.patches,
        "trained_s": round(state.trained_s, 1),
        "lr": float(f"{rate:.3e}"),
        "loss": round(loss, 5),
        "shards": len(state.shards),
    }
    append(runtime.folder, line)
    if runtime.log is not None:
        runtime.log(state, line)
