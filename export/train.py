"""Training that can be interrupted anywhere: one loop, a wall-clock or step budget, bit-exact resume.

On a CPU several single-threaded processes that average their gradients (``--workers 2``) beat one process
with as many threads: the threads of one process meet at a barrier after every operator, and each meeting
waits for the slower core.
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from export.data import Pool
from export.eafnet.config import EafnetConfig
from export.eafnet.model import Eafnet
from export.losses import HdrLoss


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a training run's result, apart from the pool.

    The learning rate falls from ``lr`` to ``lr_end`` as a half cosine over the budget, after a linear warm-up
    over ``warmup`` of it. The budget is ``steps``, or ``minutes`` of training time where steps is None
    (elapsed time then enters the result, and only a run of ``steps`` is reproducible to the bit).
    ``batch`` is per worker. In the last ``large_fraction`` of the budget patches are ``large_size`` wide and
    the batch shrinks by the same number of pixels.
    """

    config: EafnetConfig
    steps: int | None = None
    minutes: float | None = None
    batch: int = 4
    size: int = 128
    large_size: int = 192
    large_fraction: float = 0.0
    lr: float = 1e-3
    lr_end: float = 1e-5
    warmup: float = 0.01
    ema: float = 0.998
    sobel_weight: float = 0.25
    linear_weight: float = 0.0
    clip_norm: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("a budget is needed, one of the two: --steps or --minutes")

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "config": self.config.to_dict()}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Recipe:
        return Recipe(**{**values, "config": EafnetConfig.from_dict(values["config"])})


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Learning rate at ``progress`` in [0, 1] of the budget."""
    if progress < recipe.warmup:
        return recipe.lr * (0.05 + 0.95 * progress / recipe.warmup)
    share = min(1.0, (progress - recipe.warmup) / (1.0 - recipe.warmup))
    return recipe.lr_end + 0.5 * (recipe.lr - recipe.lr_end) * (1.0 + float(np.cos(np.pi * share)))


def patch_plan(recipe: Recipe, progress: float) -> tuple[int, int]:
    """(batch, size) per worker at ``progress``."""
    if progress < 1.0 - recipe.large_fraction:
        return recipe.batch, recipe.size
    shrunk = recipe.batch * recipe.size**2 // recipe.large_size**2
    return max(1, shrunk), recipe.large_size


@dataclass(slots=True)
class State:
    """What a checkpoint holds: enough to go on as if nothing had happened."""

    recipe: Recipe
    net: Eafnet
    average: dict[str, Tensor]
    optimizer: torch.optim.Adam
    step: int = 0
    patches: int = 0
    trained_s: float = 0.0
    shards: list[str] = field(default_factory=list)

    def progress(self) -> float:
        """Share of the budget that is used up."""
        if self.recipe.steps is not None:
            return self.step / self.recipe.steps
        assert self.recipe.minutes is not None
        return self.trained_s / (60.0 * self.recipe.minutes)


def start(recipe: Recipe) -> State:
    """A fresh state; the weights depend on ``recipe.seed`` alone."""
    torch.manual_seed(recipe.seed)
    net = Eafnet(recipe.config)
    optimizer = torch.optim.Adam(net.parameters(), lr=recipe.lr, betas=(0.9, 0.999))
    average = {k: v.detach().clone() for k, v in net.state_dict().items()}
    return State(recipe, net, average, optimizer)


def save(state: State, path: Path) -> None:
    """Write a checkpoint whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(
        {
            "recipe": state.recipe.to_dict(),
            "net": state.net.state_dict(),
            "average": state.average,
            "optimizer": state.optimizer.state_dict(),
            "step": state.step,
            "patches": state.patches,
            "trained_s": state.trained_s,
            "shards": state.shards,
        },
        partial,
    )
    os.replace(partial, path)


def load(path: Path, **changes: Any) -> State:
    """Read a checkpoint; ``changes`` replace fields of its recipe (a longer budget, say).

    Raises FileNotFoundError or ValueError naming the file.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, KeyError) as error:
        raise ValueError(f"{path}: not a readable checkpoint ({error})") from error
    state = start(replace(Recipe.from_dict(saved["recipe"]), **changes))
    state.net.load_state_dict(saved["net"])
    state.optimizer.load_state_dict(saved["optimizer"])
    state.average = saved["average"]
    state.step, state.patches = saved["step"], saved["patches"]
    state.trained_s, state.shards = saved["trained_s"], saved["shards"]
    return state


def averaged(state: State) -> Eafnet:
    """The network with its averaged (EMA) weights, for evaluation and export."""
    net = Eafnet(state.recipe.config)
    net.load_state_dict(state.average)
    return net.eval()


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
    marks = dict.fromkeys(("checkpoint", "refresh", "report", "log"), time.monotonic())
    losses: list[float] = []
    before = time.monotonic()
    while state.progress() < 1.0 and (stop_at_step is None or state.step < stop_at_step):
        loss, rate = train_step(state, pool, step_loss, runtime.rank, runtime.workers)
        losses.append(loss)
        now = time.monotonic()
        elapsed = torch.tensor([now - before, now])
        if runtime.workers > 1:
            elapsed = torch.tensor([now - before, now], dtype=torch.float64)
            dist.broadcast(elapsed, 0)
        before = now
        state.trained_s += float(elapsed[0])
        clock = float(elapsed[1])

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
