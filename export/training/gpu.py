"""Make the most of a GPU that is lent for half an hour.

    python -m export.training.gpu shards.npz --minutes 9

Needs torch, numpy and safetensors alone. Everything is on the GPU before the first step, and the batch is the
one with the best throughput that fits. Every minute the averaged weights (``weights.safetensors``) and the
state (``last.pt``, with which ``--resume`` goes on in a later call) are written, and once more before
``--minutes`` are over.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from export.eafnet.config import variant
from export.training.checkpoint import State, averaged, load, place, save, start
from export.training.distill import Objective, objective
from export.training.gpu_pool import GpuPool
from export.training.origin import origin
from export.training.pack import unpack
from export.training.recipe import RECIPES, Recipe, named_recipe
from export.training.run_log import append
from export.training.step import Batch, train_step
from export.training.weights import save_weights

BATCHES = (4, 8, 16, 32, 64, 128, 256)
WORTH_IT = 1.05
"""A batch twice as large must give this much more throughput: updates are worth more than patches."""

LAST_SAVE_S = 10.0


@dataclass(frozen=True, slots=True)
class Loan:
    """How a GPU's time is used. ``minutes`` are those of this call, ``clock`` gives seconds of any origin."""

    run: Path
    minutes: float
    device: torch.device
    channels_last: bool = False
    compiled: bool = False
    save_every_s: float = 60.0
    clock: Callable[[], float] = time.monotonic


def seconds_of_step(
    run: Objective, batch: Batch, parameters: Sequence[Tensor], device: torch.device
) -> float:
    """Time of one forward and backward pass, after one to warm up. The gradients are dropped."""
    began = 0.0
    for _ in range(2):
        _wait(device)
        began = time.perf_counter()
        run(*batch).backward()  # type: ignore[no-untyped-call]
        for parameter in parameters:
            parameter.grad = None
    _wait(device)
    return time.perf_counter() - began


def best_batch(
    state: State, pool: GpuPool, candidates: Sequence[int] = BATCHES, channels_last: bool = False
) -> int:
    """The batch with the best throughput that fits into memory, the smaller one of two alike."""
    run = objective(state.net, state.recipe)
    parameters = list(state.net.parameters())
    best, best_rate = 0, 0.0
    for batch in candidates:
        try:
            drawn = _draw(pool, (0, 0, 0), batch, state.recipe.size, channels_last)
            rate = batch / seconds_of_step(run, drawn, parameters, pool.device)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
        print(f"batch {batch}: {rate:.1f} patches/s", flush=True)
        if rate < WORTH_IT * best_rate:
            break
        best, best_rate = batch, rate
    if best == 0:
        raise ValueError(
            f"no batch fits: {candidates[0]} patches of {state.recipe.size} exceed the memory of "
            f"{pool.device}; give a smaller --size or --batch"
        )
    return best


def train(state: State, pool: GpuPool, loan: Loan, began: float) -> None:
    """Train until the loan or the recipe's budget ends; ``began`` is when the loan did."""
    end = began + 60.0 * loan.minutes - LAST_SAVE_S
    run = objective(state.net, state.recipe, compiled=loan.compiled)
    recipe = state.recipe
    if loan.compiled:
        warm = _draw(pool, (recipe.seed, 0, 0), recipe.batch, recipe.size, loan.channels_last)
        seconds_of_step(run, warm, list(state.net.parameters()), loan.device)
    before = saved = loan.clock()
    losses: list[Tensor] = []

    def draw(part: int) -> Batch:
        return _draw(pool, (recipe.seed, state.step, part), recipe.batch, recipe.size, loan.channels_last)

    while state.progress() < 1.0 and loan.clock() < end:
        loss, rate = train_step(state, draw, run)
        losses.append(loss)
        if len(losses) % 10 == 0:
            _wait(loan.device)
        now = loan.clock()
        state.trained_s += now - before
        before = now
        if now - saved >= loan.save_every_s:
            keep(state, loan.run, losses, rate)
            saved = before = loan.clock()
    if losses:
        keep(state, loan.run, losses, rate)


def keep(state: State, folder: Path, losses: list[Tensor], rate: float) -> None:
    """Write state, averaged weights and a line of the log; forget ``losses``."""
    loss = float(torch.stack(losses).mean())
    losses.clear()
    append(
        folder,
        {
            "step": state.step,
            "patches": state.patches,
            "trained_s": round(state.trained_s, 1),
            "lr": float(f"{rate:.3e}"),
            "loss": round(loss, 5),
            "shards": 1,
        },
    )
    save(state, folder / "last.pt")
    save_weights(averaged(state), folder / "weights.safetensors", {"patches": state.patches})
    print(f"step {state.step}, {state.patches} patches, loss {loss:.5f}", flush=True)


def _draw(pool: GpuPool, seed: tuple[int, int, int], batch: int, size: int, channels_last: bool) -> Batch:
    pixels, exposure, mean = pool.draw(seed, batch, size)
    if channels_last:
        pixels = pixels.contiguous(memory_format=torch.channels_last)
    return pixels, exposure, mean


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m export.training.gpu", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("shards", type=Path, help="file of `twinhdr-export pack`")
    parser.add_argument("--minutes", type=float, required=True, help="until this call ends, all included")
    parser.add_argument(
        "--budget", type=float, help="minutes of training over all calls (default: this call)"
    )
    parser.add_argument("--run", type=Path, default=Path("runs/gpu"), help="folder for what is written")
    parser.add_argument("--variant", default="l", help="network: l, m, s or xs")
    parser.add_argument("--recipe", default="fast", choices=list(RECIPES))
    parser.add_argument("--batch", type=int, help="patches a step (default: timed)")
    parser.add_argument("--size", type=int, default=128, help="patch size")
    parser.add_argument("--lr", type=float, help="learning rate after warm-up")
    parser.add_argument("--precision", default="bf16", choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--init", type=Path, help="start from weights of the same variant")
    parser.add_argument("--widen", type=Path, help="start from weights of a narrower variant")
    parser.add_argument("--resume", action="store_true", help="go on from the run folder's last.pt")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compiled", action="store_true", help="use torch.compile")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(words)


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The recipe of the command line; its batch is 1 where it is yet to be timed."""
    values = named_recipe(options.recipe)
    values.update(size=options.size, batch=options.batch or 1, precision=options.precision)
    values.update(large_fraction=0.0, seed=options.seed)
    if options.lr is not None:
        values["lr"] = options.lr
    return Recipe(variant(options.variant), minutes=options.budget or options.minutes, **values)


def main(words: Sequence[str] | None = None) -> int:
    """Entry point; 1 with one line on stderr where something is wrong."""
    began = time.monotonic()
    options = arguments(words)
    try:
        _main(options, began)
    except (ValueError, OSError) as error:
        print(f"export.training.gpu: {error}", file=sys.stderr)
        return 1
    return 0


def _main(options: argparse.Namespace, began: float) -> None:
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("no GPU that PyTorch can use; --device cpu trains without one")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    recipe = recipe_of(options)
    if options.resume:
        state = load(options.run / "last.pt")
        if options.budget is not None:
            state.recipe = replace(state.recipe, minutes=options.budget)
        if state.progress() >= 1.0:
            raise ValueError(
                f"{options.run}: its budget of {state.recipe.minutes:.1f} minutes is used up; to train over "
                f"several calls give the first one the --budget of all"
            )
    else:
        state = start(recipe, origin(recipe.config, recipe.seed, options.init, options.widen))
    place(state, device, options.channels_last)
    pool = GpuPool(unpack(options.shards), device)
    if pool.tile < state.recipe.size:
        raise ValueError(
            f"{options.shards}: tiles of {pool.tile} are smaller than --size {state.recipe.size}"
        )
    if options.batch is None and not options.resume:
        state.recipe = replace(state.recipe, batch=best_batch(state, pool, BATCHES, options.channels_last))
    if options.budget is None and not options.resume:
        left = options.minutes - (time.monotonic() - began + LAST_SAVE_S) / 60.0
        state.recipe = replace(state.recipe, minutes=max(left, 0.01))
    loan = Loan(options.run, options.minutes, device, options.channels_last, options.compiled)
    train(state, pool, loan, began)


if __name__ == "__main__":
    sys.exit(main())
