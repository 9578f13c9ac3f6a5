"""What the training tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """A folder with one shard: six smooth random scenes of 48 pixels, seen by an ideal bracket."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "pool"
    folder.mkdir()
    truth = rng.uniform(0, 1, (6, 3, 8, 8)).repeat(6, 2).repeat(6, 3) ** 3
    bracket = [np.clip(truth * t, 0, 1) for t in (1, 4, 16)]
    np.save(folder / "00000.npy", np.concatenate([*bracket, truth], axis=1).astype(np.float16))
    mean = np.stack([np.power(x, 1 / 2.2).mean(axis=(1, 2, 3)) for x in bracket], axis=1)
    exposure = np.tile(np.array((0.25, 1, 4), np.float32), (6, 1))
    np.savez(folder / "00000.npz", exposure=exposure, mean=mean.astype(np.float32))
    return folder
