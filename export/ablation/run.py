"""Train every row of the ablation at one small budget and score it; a finished row is never trained again.

Rows are made comparable: the same shards, the same patches in the same order (a seed draws both), the same
learning rates, and the base's initial weights wherever name and shape agree.

``OUT/results/ROW-SEED.json`` is one finished training, ``OUT/results.json`` all of them,
``OUT/settings.json`` what they share and ``OUT/validation.npz`` the registered brackets they are judged on.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edge.frames import FloatImage
from edge.register.align import Aligner
from export.ablation.rows import BASE, ROWS, row_config
from export.eafnet.config import EafnetConfig
from export.eafnet.model import Eafnet
from export.graphs.cost import cost
from export.judging.evaluate import Method, Score, blend_only, radiance_merge, reference_only, score_each
from export.training.brackets import Sample, registered
from export.training.checkpoint import averaged, start
from export.training.data import Pool
from export.training.recipe import Recipe
from export.training.train import Runtime, run

BASELINES: dict[str, Method] = {
    "reference": reference_only,
    "merge": radiance_merge,
    "blend": blend_only,
}
"""What needs no network; on registered brackets, like the rows."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What all rows of one ablation share; ``shards`` are names of the pool's files."""

    steps: int
    shards: tuple[str, ...]
    batch: int = 4
    size: int = 96
    lr: float = 1e-3
    warmup: float = 0.05
    ema: float = 0.99
    sobel_weight: float = 0.25
    base: EafnetConfig = field(default=BASE)

    def recipe(self, row: str, seed: int) -> Recipe:
        """The paper's loss; everything but the network is the same for all rows."""
        return Recipe(
            row_config(row, self.base),
            steps=self.steps,
            batch=self.batch,
            size=self.size,
            lr=self.lr,
            warmup=self.warmup,
            ema=self.ema,
            sobel_weight=self.sobel_weight,
            seed=seed,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values as they come back from JSON."""
        plain: dict[str, Any] = json.loads(json.dumps({**asdict(self), "base": self.base.to_dict()}))
        return plain


class FixedPool(Pool):
    """A pool that stays at ``names``, however many shards are rendered meanwhile."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        super().__init__(folder)
        self._fixed = list(names)

    def refresh(self, names: Sequence[str] | None = None) -> None:
        super().refresh(self._fixed)


def first_shards(pool: Path, count: int) -> tuple[str, ...]:
    """Names of the pool's first ``count`` shards. Raises FileNotFoundError where there are fewer."""
    names = sorted(p.name for p in pool.glob("*.npz"))
    if len(names) < count:
        raise FileNotFoundError(
            f"{pool}: {len(names)} shards, {count} are needed; let `twinhdr-export render` go on, "
            "or ask for fewer with --shards"
        )
    return tuple(names[:count])


def initial(config: EafnetConfig, base: EafnetConfig, seed: int) -> Eafnet:
    """Network of ``config`` with the weights of ``base``'s of the same seed, where name and shape agree."""
    torch.manual_seed(seed)
    common = Eafnet(base).state_dict()
    net = Eafnet(config)
    own = net.state_dict()
    own.update({k: v for k, v in common.items() if k in own and own[k].shape == v.shape})
    net.load_state_dict(own)
    return net


def plain_network(net: Eafnet) -> Method:
    """``net`` on brackets that are registered already and whose sides are multiples of what it needs."""

    def fuse(sample: Sample) -> FloatImage:
        images = [
            torch.from_numpy(x.transpose(2, 0, 1)[None].copy())
            for x in (sample.low, sample.reference, sample.high)
        ]
        light, mean = (torch.from_numpy(x[None].copy()) for x in (sample.exposure, sample.mean))
        with torch.inference_mode():
            answer: FloatImage = net(*images, light, mean)[0].permute(1, 2, 0).numpy()
        return answer

    return fuse


def validation(path: Path, make: Callable[[], Mapping[str, Sample]]) -> dict[str, Sample]:
    """The brackets of ``make``, registered as on the device; kept in ``path``."""
    keys = ("low", "reference", "high", "truth", "exposure", "mean")
    if not path.exists():
        aligner = Aligner()
        samples = {name: registered(sample, aligner) for name, sample in make().items()}
        arrays = {f"{name}/{key}": getattr(s, key) for name, s in samples.items() for key in keys}
        partial = path.with_suffix(".partial")
        with open(partial, "wb") as file:
            np.savez(file, **arrays)
        os.replace(partial, path)
    with np.load(path) as file:
        names = dict.fromkeys(key.rpartition("/")[0] for key in file.files)
        return {name: Sample(*(file[f"{name}/{key}"] for key in keys)) for name in names}


def _plain(scores: Mapping[str, Score]) -> dict[str, list[float]]:
    return {name: [s.psnr_mu, s.psnr_linear] for name, s in scores.items()}


def train_row(
    settings: Settings, row: str, seed: int, pool: Path, samples: Mapping[str, Sample], folder: Path
) -> dict[str, Any]:
    """Train ``row`` from ``seed`` and score it; ``folder`` is emptied before and after."""
    recipe = settings.recipe(row, seed)
    shutil.rmtree(folder, ignore_errors=True)
    began, began_core = time.monotonic(), time.process_time()
    state = start(recipe, initial(recipe.config, settings.base, seed))
    run(state, FixedPool(pool, settings.shards), Runtime(folder))
    core_s, wall_s = time.process_time() - began_core, time.monotonic() - began
    shutil.rmtree(folder, ignore_errors=True)
    spent = cost(recipe.config)
    return {
        "row": row,
        "seed": seed,
        "config": recipe.config.to_dict(),
        "parameters": spent.parameters,
        "kmac": spent.kmac,
        "train_core_s": round(core_s, 1),
        "train_wall_s": round(wall_s, 1),
        "size": list(next(iter(samples.values())).truth.shape[1::-1]),
        "scores": _plain(score_each(plain_network(averaged(state)), samples)),
    }


def _write(path: Path, values: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(values, indent=1) + "\n")
    os.replace(partial, path)


def finished(out: Path) -> list[dict[str, Any]]:
    """Every finished training of the folder ``out``, by row (in the order of ``ROWS``) and seed."""
    read = [json.loads(path.read_text()) for path in (out / "results").glob("*.json")]
    order = list(ROWS)
    return sorted((r for r in read if r["row"] in ROWS), key=lambda r: (order.index(r["row"]), r["seed"]))


def collect(out: Path, baselines: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``OUT/results.json``: settings, what needs no network, and every finished training."""
    results = {
        "settings": json.loads((out / "settings.json").read_text()),
        "baselines": dict(baselines),
        "runs": finished(out),
    }
    _write(out / "results.json", results)
    return results


def begin(out: Path, settings: Settings) -> None:
    """Note ``settings`` in ``out``. Raises ValueError where the folder holds results of other ones."""
    path, plain = out / "settings.json", settings.to_dict()
    if path.exists():
        there = json.loads(path.read_text())
        differing = [f"{k} ({there.get(k)}, not {v})" for k, v in plain.items() if there.get(k) != v]
        if differing:
            raise ValueError(
                f"{out} holds rows of other settings: {'; '.join(differing)}; give another --out"
            )
    _write(path, plain)


def ablate(
    settings: Settings,
    pool: Path,
    out: Path,
    make_samples: Callable[[], Mapping[str, Sample]],
    seeds: Iterable[int],
    rows: Sequence[str] = tuple(ROWS),
    done: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """Train what is not finished yet, all rows of one seed before the next; returns the results so far.

    ``done`` is told each training as it is finished. Raises ValueError for an unknown row, for results of
    other settings in ``out``, or for brackets of a size the networks cannot take.
    """
    configs = [row_config(row, settings.base) for row in rows]
    begin(out, settings)
    samples = validation(out / "validation.npz", make_samples)
    need = max(config.multiple for config in configs)
    for name, sample in samples.items():
        if any(side % need for side in sample.truth.shape[:2]):
            raise ValueError(f"bracket {name} is {sample.truth.shape[:2]}: not multiples of {need}")
    baselines = {name: _plain(score_each(method, samples)) for name, method in BASELINES.items()}
    results = collect(out, baselines)
    for seed in seeds:
        for row in rows:
            path = out / "results" / f"{row}-{seed}.json"
            if not path.exists():
                result = train_row(settings, row, seed, pool, samples, out / "training")
                _write(path, result)
                results = collect(out, baselines)
                done(result)
    return results
