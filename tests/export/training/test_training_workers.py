"""Several processes train one network, whoever started them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch: pip install twinhdr[export]")

from export.eafnet.config import variant  # noqa: E402
from export.training.checkpoint import start  # noqa: E402
from export.training.recipe import Recipe  # noqa: E402
from export.training.workers import Job, Place, launch, torchrun_place  # noqa: E402

CONFIG = variant("s", width=8, growth=4, attention_width=4, head_width=4)
RECIPE = Recipe(CONFIG, steps=20, batch=2, size=32, warmup=0.1, accumulate=2)

SCRIPT = """
import json, os, sys
from pathlib import Path
import torch
from export.training.workers import Job, launch

folder, pool, recipe = sys.argv[1:]
state = launch(Job(Path(folder), Path(pool), None, json.loads(recipe), workers=1))
torch.save(state.net.state_dict(), Path(folder) / f"rank{os.environ['RANK']}.pt")
"""


def checkpoint(folder: Path) -> dict[str, Any]:
    """A run's checkpoint without the time it took."""
    saved: dict[str, Any] = torch.load(folder / "last.pt", weights_only=True)
    del saved["trained_s"]
    return saved


def differences(a: Any, b: Any, where: str = "") -> list[str]:
    """Names of what is not equal to the bit, through all nested dictionaries and lists."""
    if isinstance(a, torch.Tensor):
        return [] if torch.equal(a, b) else [where]
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        return [d for key in a for d in differences(a[key], b[key], f"{where}.{key}")]
    if isinstance(a, list | tuple):
        assert len(a) == len(b), where
        return [
            d for i, (x, y) in enumerate(zip(a, b, strict=True)) for d in differences(x, y, f"{where}.{i}")
        ]
    return [] if a == b else [where]


def test_two_workers_train_one_network_whoever_starts_them(pool: Path, tmp_path: Path) -> None:
    """Uninterrupted, resumed or under torchrun: the same 20 steps of two workers, equal to the bit.

    They look for new shards often here: a rank that did so by its own clock would wait for the other for
    ever, which the suite's time limit catches.
    """
    job = Job(tmp_path / "whole", pool, None, RECIPE.to_dict(), workers=2, refresh_every_s=0.02)
    assert launch(job) is None
    whole = checkpoint(job.folder)
    assert (whole["step"], whole["patches"]) == (20, 160)
    assert differences(whole["average"], start(RECIPE).average)

    cut = replace(job, folder=tmp_path / "cut")
    launch(replace(cut, stop_at_step=10))
    assert checkpoint(cut.folder)["step"] == 10
    launch(replace(cut, resume=True))
    assert differences(checkpoint(cut.folder), whole) == []

    ranks = torchrun(tmp_path / "torchrun", pool)
    assert differences(ranks[0], ranks[1]) == []
    assert differences(checkpoint(tmp_path / "torchrun"), whole) == []


def torchrun(folder: Path, pool: Path) -> list[dict[str, Any]]:
    """Weights of both ranks after two processes of torchrun have run ``RECIPE``."""
    folder.mkdir()
    script = folder / "train.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    root = str(Path(__file__).parents[3])
    result = subprocess.run(
        [*command, str(script), str(folder), str(pool), json.dumps(RECIPE.to_dict())],
        env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


def test_a_torchrun_group_is_recognised_by_its_environment() -> None:
    """Without it every process of torchrun would spawn workers of its own."""
    assert torchrun_place({}) is None
    environment = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "TORCHELASTIC_RESTART_COUNT": "2"}
    assert torchrun_place(environment) == Place(5, 8, 1, "env://", restarted=True)


def test_a_resumed_run_keeps_its_shards_and_takes_in_new_ones(pool: Path, tmp_path: Path) -> None:
    """A resumed run goes on with the shards it had, and takes in those that have come since."""
    job = Job(tmp_path / "run", pool, None, replace(RECIPE, steps=2).to_dict(), workers=1)
    state = launch(replace(job, stop_at_step=1))
    assert state is not None
    assert state.shards == ["00000.npz"]
    for suffix in (".npy", ".npz"):
        (pool / f"00001{suffix}").write_bytes((pool / f"00000{suffix}").read_bytes())
    resumed = launch(replace(job, resume=True))
    assert resumed is not None
    assert resumed.shards == ["00000.npz", "00001.npz"]


ORPHAN = """
import os, signal
from export.training.workers import die_with_parent

reading, writing = os.pipe()
if os.fork() == 0:
    die_with_parent()
    os.write(writing, b"%d" % os.getpid())
    signal.pause()
print(os.read(reading, 20).decode(), flush=True)
signal.pause()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_workers_do_not_outlive_a_killed_run() -> None:
    """They would go on writing their checkpoint over that of the run resumed from it."""
    root = str(Path(__file__).parents[3])
    with subprocess.Popen(
        [sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, text=True, cwd=root
    ) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        worker.wait(timeout=20)
    assert not worker.is_running()
