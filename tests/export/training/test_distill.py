"""A small network can learn from a large one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch: pip install twinhdr[export]")

from export.eafnet.config import variant  # noqa: E402
from export.eafnet.model import Eafnet  # noqa: E402
from export.training.checkpoint import start  # noqa: E402
from export.training.data import Pool  # noqa: E402
from export.training.distill import as_teacher, objective  # noqa: E402
from export.training.losses import mu_law  # noqa: E402
from export.training.recipe import Recipe  # noqa: E402
from export.training.train import Runtime, run  # noqa: E402

CONFIG = variant("s", width=8, growth=4, attention_width=4, head_width=4, skip="reference")
RECIPE = Recipe(CONFIG, steps=60, batch=4, size=32, lr=1e-2, truth_weight=0.0, teacher_weight=1.0)


@pytest.fixture
def teacher() -> Eafnet:
    """A larger network whose answers are far too bright everywhere."""
    torch.set_num_threads(1)
    torch.manual_seed(3)
    net = Eafnet(replace(CONFIG, width=16))
    with torch.no_grad():
        net.head.last.bias.fill_(2.0)
    return as_teacher(net, RECIPE)


def test_a_student_with_a_teacher_alone_moves_to_the_teacher(
    pool: Path, tmp_path: Path, teacher: Eafnet
) -> None:
    """A teacher that is wired to the truth, or to nothing, teaches nothing."""
    state = start(RECIPE)
    shards = Pool(pool)
    shards.refresh()
    drawn = shards.draw(np.random.default_rng(5), 6, 32)
    pixels, exposure, mean = (torch.from_numpy(a) for a in drawn)
    *brackets, truth = torch.split(pixels, 3, dim=1)

    def distances() -> tuple[float, float]:
        with torch.inference_mode():
            answer = mu_law(state.net(*brackets, exposure, mean))
            taught = mu_law(teacher(*brackets, exposure, mean))
            return float((answer - taught).abs().mean()), float((answer - mu_law(truth)).abs().mean())

    to_teacher, to_truth = distances()
    run(state, shards, Runtime(tmp_path / "run"), teacher=teacher)
    assert distances()[0] < 0.5 * to_teacher
    assert distances()[1] > to_truth


def test_the_weights_of_truth_and_teacher_are_both_counted(pool: Path, teacher: Eafnet) -> None:
    """The sum is what is minimised: either alone would be another run."""
    net = start(RECIPE).net
    shards = Pool(pool)
    shards.refresh()
    batch = tuple(torch.from_numpy(a) for a in shards.draw(np.random.default_rng(5), 2, 32))

    def loss(truth_weight: float, teacher_weight: float) -> float:
        recipe = replace(RECIPE, truth_weight=truth_weight, teacher_weight=teacher_weight)
        return float(objective(net, recipe, teacher)(*batch).detach())

    assert loss(0.5, 2.0) == pytest.approx(0.5 * loss(1.0, 0.0) + 2.0 * loss(0.0, 1.0))


def test_a_teacher_is_asked_for_and_must_fit(teacher: Eafnet) -> None:
    """A resumed run without its teacher would go on as another run."""
    with pytest.raises(ValueError, match="--teacher"):
        objective(start(RECIPE).net, RECIPE)
    with pytest.raises(ValueError, match="EAFNet-XS, needs patches of a multiple of 64, not 32"):
        as_teacher(Eafnet(variant("xs")), RECIPE)


def test_a_teacher_stays_as_it_is(pool: Path, tmp_path: Path, teacher: Eafnet) -> None:
    """Training must not reach into the teacher's weights."""
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    run(start(replace(RECIPE, steps=2)), Pool(pool), Runtime(tmp_path / "run"), teacher=teacher)
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
    assert all(p.grad is None for p in teacher.parameters())
