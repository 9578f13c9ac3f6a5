"""Training that can be interrupted anywhere: one loop, a wall-clock or step budget, bit-exact resume.

On a CPU several single-threaded processes that average their gradients (``--workers 2``) beat one process
with as many threads: the threads of one process meet at a barrier after every operator, and each meeting
waits for the slower core.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from export.checkpoint import State, save
from export.data import Pool
from export.eafnet.model import Eafnet
from export.losses import HdrLoss
from export.recipe import learning_rate, patch_plan


def _batch(state: State, pool: Pool, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """This worker's patches of this step: a function of seed, rank, step and pool, redrawn by a resume."""
    batch, size = patch_plan(state.recipe, state.progress())
    rng = np.random.default_rng((state.recipe.seed, rank, state.step))
    pixels, exposure, mean = pool.draw(rng, batch, size)
    return torch.from_numpy(pixels), torch.from_numpy(exposure), torch.from_numpy(mean)


def _share_gradients(net: nn.Module, workers: int) -> None:
    """Mean of the gradients over the workers, in one flat exchange."""
    if workers == 1:
        return
    gradients = [p.grad for p in net.parameters() if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    dist.all_reduce(flat)
    flat /= workers
    parts = torch.split(flat, [g.numel() for g in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


Objective = Callable[[Tensor, Tensor, Tensor], Tensor]


def objective(net: Eafnet, loss: HdrLoss, compiled: bool) -> Objective:
    """(pixels, exposure, mean) -> loss, through torch.compile where asked."""

    def run(pixels: Tensor, exposure: Tensor, mean: Tensor) -> Tensor:
        low, reference, high, truth = torch.split(pixels, 3, dim=1)
        out: Tensor = loss(net(low, reference, high, exposure, mean), truth)
        return out

    return torch.compile(run, dynamic=False) if compiled else run


def train_step(state: State, pool: Pool, run: Objective, rank: int, workers: int) -> tuple[float, float]:
    """One update in place; returns loss and learning rate."""
    recipe = state.recipe
    rate = learning_rate(recipe, state.progress())
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    pixels, exposure, mean = _batch(state, pool, rank)
    loss = run(pixels, exposure, mean)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    _share_gradients(state.net, workers)
    nn.utils.clip_grad_norm_(state.net.parameters(), recipe.clip_norm)
    state.optimizer.step()
    state.step += 1
    state.patches += workers * len(pixels)
    _follow(state)
    return float(loss.detach()), rate


@torch.no_grad()
def _follow(state: State) -> None:
    """Exponential moving average of the weights, faster while the run is young."""
    decay = min(state.recipe.ema, (1 + state.step) / (10 + state.step))
    for name, value in state.net.state_dict().items():
        state.average[name].lerp_(value, 1 - decay)


LogLine = dict[str, int | float]


@dataclass(frozen=True, slots=True)
class Runtime:
    """How a run is carried out; nothing here changes what it computes.

    ``report`` gets the state every ``report_every_s`` and ``log`` the lines of the CSV log as they are
    written; both run on rank 0 while the others wait.
    """

    folder: Path
    rank: int = 0
    workers: int = 1
    compiled: bool = False
    checkpoint_every_s: float = 180.0
    refresh_every_s: float = 60.0
    report_every_s: float = 900.0
    report: Callable[[State], None] | None = None
    log: Callable[[State, LogLine], None] | None = None


def run(state: State, pool: Pool, runtime: Runtime, stop_at_step: int | None = None) -> None:
    """Train until the budget is used up (or ``stop_at_step``), with checkpoints and a CSV log.

    Every worker decides by rank 0's clock, so that all take the same steps.
    """
    step_loss = objective(
        state.net, HdrLoss(state.recipe.sobel_weight, state.recipe.linear_weight), runtime.compiled
    )
    _refresh(state, pool, runtime)
    (began,) = _from_rank_0([time.monotonic()], runtime)
    marks = dict.fromkeys(("checkpoint", "refresh", "report", "log"), began)
    losses: list[float] = []
    before = time.monotonic()
    while state.progress() < 1.0 and (stop_at_step is None or state.step < stop_at_step):
        loss, rate = train_step(state, pool, step_loss, runtime.rank, runtime.workers)
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
            _log(state, runtime, float(np.mean(losses)), rate)
            losses.clear()
        if due("refresh", runtime.refresh_every_s):
            _refresh(state, pool, runtime)
        if due("checkpoint", runtime.checkpoint_every_s) and runtime.rank == 0:
            save(state, runtime.folder / "last.pt")
        if due("report", runtime.report_every_s) and runtime.rank == 0 and runtime.report is not None:
            runtime.report(state)
            before = time.monotonic()
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
        dist.broadcast_object_list(names, 0)
    pool.refresh(names[0])
    state.shards = list(pool.names)


def _log(state: State, runtime: Runtime, loss: float, rate: float) -> None:
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
    runtime.folder.mkdir(parents=True, exist_ok=True)
    path = runtime.folder / "log.csv"
    fresh = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, list(line))
        if fresh:
            writer.writeheader()
        writer.writerow(line)
    if runtime.log is not None:
        runtime.log(state, line)
