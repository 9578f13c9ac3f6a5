"""The ablation changes one thing at a time, survives interruptions, and its document shows what it found."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="training needs PyTorch: pip install twinhdr[export]")

from export.ablation.document import Line, refreshed, summary, verdict  # noqa: E402
from export.ablation.rows import BASE, ROWS, TABLES, row_config  # noqa: E402
from export.ablation.run import FixedPool, Settings, ablate, first_shards, initial, train_row  # noqa: E402
from export.cli import app  # noqa: E402
from export.eafnet.config import variant  # noqa: E402
from export.eafnet.model import Eafnet  # noqa: E402
from export.graphs.to_onnx import OUTPUT, build  # noqa: E402
from export.graphs.verify import by_torch, in_two, random_frames, session  # noqa: E402
from export.graphs.verify import run as infer  # noqa: E402
from export.training.brackets import Sample  # noqa: E402
from export.training.checkpoint import start  # noqa: E402
from export.training.train import Runtime, run  # noqa: E402

TINY = replace(BASE, width=8, growth=4, attention_width=4, head_width=4)

PARAMETERS = {
    "no-gla": -1,
    "no-efsm": -1,
    "plain-attention": 0,
    "no-guidance": -1,
    "ahdr-merging": -1,
    "no-dwt": -1,
    "one-scale": -1,
    "inputs-lg": -1,
    "inputs-hg": -1,
    "ratio-1-2": -1,
    "ratio-1-1": -1,
    "ratio-4-1": 1,
    "ratio-8-1": 1,
    "no-skip": 0,
    "blend-skip": 1,
    "printed-attention": -1,
}
"""Which way the number of parameters moves from the base's."""

WHOLE_ONLY = {"printed-attention"}
"""Rows whose ONNX file cannot be cut in two: the exporter merges the transposes of K across the cut."""


def bracket(rng: np.random.Generator, side: int) -> Sample:
    truth = rng.uniform(0, 1, (side // 8, side // 8, 3)).repeat(8, 0).repeat(8, 1).astype(np.float32) ** 3
    low, reference, high = (np.clip(truth * t, 0, 1) for t in (1, 4, 16))
    means = [float(np.power(x, 1 / 2.2).mean()) for x in (low, reference, high)]
    light = np.array((0.25, 1, 4), np.float32)
    return Sample(low, reference, high, truth, light, np.array(means, np.float32))


def shard(folder: Path, name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples = [bracket(rng, 48) for _ in range(4)]
    stacks = [np.concatenate((s.low, s.reference, s.high, s.truth), axis=2) for s in samples]
    np.save(folder / f"{name}.npy", np.stack(stacks).transpose(0, 3, 1, 2).astype(np.float16))
    exposure, mean = np.stack([s.exposure for s in samples]), np.stack([s.mean for s in samples])
    np.savez(folder / f"{name}.npz", exposure=exposure, mean=mean)


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path / "pool"
    folder.mkdir()
    shard(folder, "00000", 0)
    return folder


@pytest.fixture
def samples() -> dict[str, Sample]:
    rng = np.random.default_rng(9)
    return {"wall": bracket(rng, 64), "window": bracket(rng, 64)}


SETTINGS = Settings(steps=3, shards=("00000.npz",), batch=1, size=32, base=TINY)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_differs_from_the_base_by_its_switch_alone(row: str) -> None:
    """Two changes at once would be blamed on one of them."""
    config = row_config(row)
    differing = {f.name for f in fields(BASE) if getattr(config, f.name) != getattr(BASE, f.name)}
    assert differing == set(ROWS[row])
    assert len(differing) == (row != "base")


def test_every_row_is_shown_beside_the_base() -> None:
    """A row nobody sees, or a table without what it is measured against, says nothing."""
    shown = [dict(table.lines) for table in TABLES]
    assert {row for lines in shown for row in lines} == set(ROWS)
    assert all("base" in lines for lines in shown)


@pytest.mark.parametrize("row", PARAMETERS)
def test_a_switch_moves_the_number_of_parameters(row: str) -> None:
    """A switch that leaves its part in place would be found harmless, and is not a switch."""

    def count(name: str) -> int:
        return sum(p.numel() for p in Eafnet(row_config(name)).parameters())

    assert np.sign(count(row) - count("base")) == PARAMETERS[row]


def test_more_modulation_is_more_parameters() -> None:
    """Table VIII compares widths; they must be the widths it names."""
    widths = {}
    for row in ("ratio-1-2", "ratio-1-1", "base", "ratio-4-1", "ratio-8-1"):
        select = Eafnet(row_config(row)).select_pair
        assert select is not None
        embedding = select.embed[2]
        assert isinstance(embedding, torch.nn.Linear)
        widths[row] = embedding.out_features / BASE.width
    assert list(widths.values()) == [0.5, 1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize("row", ROWS)
def test_a_row_trains_and_exports(row: str, pool: Path, tmp_path: Path) -> None:
    """Every part that is left takes part in training, and the device could run the result, whole or cut."""
    recipe = SETTINGS.recipe(row, 0)
    net = initial(recipe.config, TINY, 0)
    torch.nn.init.normal_(net.head.last.weight, std=0.1)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    state = start(recipe, net)
    run(state, FixedPool(pool, SETTINGS.shards), Runtime(tmp_path / "run"), stop_at_step=1)
    still = [k for k, p in state.net.named_parameters() if p.grad is None]
    assert not still, f"these parameters take no part: {still}"
    assert any(not torch.equal(v, before[k]) for k, v in state.net.state_dict().items())
    model = build(state.net)
    frames = random_frames(2 * recipe.config.multiple, recipe.config.multiple, 1)
    expected, _ = by_torch(state.net.eval(), frames)
    assert float(np.abs(infer(session(model), frames)[OUTPUT] - expected).max()) < 1e-4
    if row not in WHOLE_ONLY:
        assert float(np.abs(in_two(model, frames) - expected).max()) < 1e-4


@pytest.mark.parametrize("changes", [{"guidance": "none"}, {"multiscale": False}], ids=str)
def test_a_pair_without_guidance_is_cut_where_it_says(changes: dict[str, Any], pool: Path) -> None:
    """Low's and high's tensors lie one after the other: one name too many and all that follow are wrong."""
    net = Eafnet(variant("l", width=8, growth=4, attention_width=4, **changes)).eval()
    torch.nn.init.normal_(net.head.last.weight, std=0.1)
    frames = random_frames(32, 32, 1)
    expected, _ = by_torch(net, frames)
    assert float(np.abs(in_two(build(net), frames) - expected).max()) < 1e-4


def test_rows_see_the_same_patches_and_start_alike(pool: Path) -> None:
    """Otherwise the difference between two rows is partly chance that could have been avoided."""
    base = SETTINGS.recipe("base", 1)
    for row in ROWS:
        recipe = SETTINGS.recipe(row, 1)
        assert replace(recipe, config=base.config) == base
    common, other = initial(TINY, TINY, 1), initial(row_config("ratio-8-1", TINY), TINY, 1)
    same = {k for k, v in other.state_dict().items() if torch.equal(v, common.state_dict()[k])}
    changed = set(common.state_dict()) - same
    assert changed == {
        "select_pair.embed.2.weight",
        "select_pair.embed.2.bias",
        "select_pair.modulate.0.weight",
    }
    fixed = FixedPool(pool, SETTINGS.shards)
    shard(pool, "00001", 1)
    fixed.refresh()
    fixed.refresh(["00001.npz"])
    assert fixed.names == ["00000.npz"]


def test_shards_are_the_first_by_name(pool: Path) -> None:
    """A pool that grows while the ablation waits for its turn must not change what it sees."""
    shard(pool, "00001", 1)
    assert first_shards(pool, 1) == ("00000.npz",)
    with pytest.raises(FileNotFoundError, match="2 shards, 3 are needed"):
        first_shards(pool, 3)


def test_what_is_finished_survives_an_interruption(
    pool: Path, samples: dict[str, Sample], tmp_path: Path
) -> None:
    """Hours of rows are not lost to a reboot, and one cut off in the middle leaves no trace in its result."""

    def go(out: Path, done: Callable[[Mapping[str, Any]], None] = lambda _: None) -> dict[str, Any]:
        return ablate(SETTINGS, pool, out, lambda: samples, (0,), ("base", "no-efsm"), done)

    def power_cut(_: Mapping[str, Any]) -> None:
        raise KeyboardInterrupt

    cut = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        go(cut, power_cut)
    kept = (cut / "results" / "base-0.json").read_bytes()
    (cut / "training").mkdir()
    (cut / "training" / "last.pt").write_bytes(b"half a checkpoint")
    trained: list[str] = []
    results = go(cut, lambda result: trained.append(result["row"]))
    assert trained == ["no-efsm"]
    assert (cut / "results" / "base-0.json").read_bytes() == kept
    assert json.loads((cut / "results.json").read_text()) == json.loads(json.dumps(results))
    whole = go(tmp_path / "whole")
    assert [r["scores"] for r in whole["runs"]] == [r["scores"] for r in results["runs"]]
    assert whole["baselines"] == results["baselines"]


def test_a_folder_holds_rows_of_one_budget(pool: Path, samples: dict[str, Sample], tmp_path: Path) -> None:
    """Rows of 300 steps beside rows of 3000 would be read as a difference between networks."""
    ablate(replace(SETTINGS, steps=1), pool, tmp_path / "out", lambda: samples, (0,), ("base",))
    with pytest.raises(ValueError, match=r"steps \(1, not 3\).*another --out"):
        ablate(SETTINGS, pool, tmp_path / "out", lambda: samples, (0,), ("base",))


def test_training_is_what_changes_the_score(pool: Path, samples: dict[str, Sample], tmp_path: Path) -> None:
    """The rows are judged by their trained weights: a score of the untrained network would rank nothing."""
    seen = replace(SETTINGS, base=replace(TINY, skip="none"), lr=1e-2)
    few, more = (
        train_row(replace(seen, steps=n), "base", 0, pool, samples, tmp_path / "training")["scores"]["mean"]
        for n in (1, 60)
    )
    assert more[0] > few[0] + 1.0


def test_unknown_rows_and_odd_brackets_are_refused(
    pool: Path, samples: dict[str, Sample], tmp_path: Path
) -> None:
    """A typing error gets an answer before anything is trained."""
    with pytest.raises(ValueError, match="unknown row 'no-gal'; there are base, no-gla"):
        ablate(SETTINGS, pool, tmp_path / "out", lambda: samples, (0,), ("no-gal",))
    odd = {"odd": bracket(np.random.default_rng(0), 40)}
    with pytest.raises(ValueError, match="bracket odd is"):
        ablate(SETTINGS, pool, tmp_path / "out", lambda: odd, (0,), ("base",))


def results() -> dict[str, Any]:
    """Two rows, two seeds, two brackets, with scores that can be checked by hand."""

    def one(row: str, seed: int, wall: float, window: float) -> dict[str, Any]:
        scores = {"wall": [wall, 1.0], "window": [window, 3.0], "mean": [(wall + window) / 2, 2.0]}
        return {
            "row": row,
            "seed": seed,
            "parameters": 1234,
            "kmac": 5.0,
            "train_core_s": 60.0,
            "train_wall_s": 90.0,
            "size": [64, 32],
            "scores": scores,
        }

    return {
        "settings": SETTINGS.to_dict(),
        "baselines": {"reference": {"wall": [9.0, 8.0], "mean": [9.0, 8.0]}},
        "runs": [
            one("base", 0, 30.0, 40.0),
            one("base", 1, 32.0, 40.0),
            one("no-efsm", 0, 31.0, 38.0),
            one("no-efsm", 1, 30.0, 39.0),
        ],
    }


def test_a_row_is_compared_with_the_base_of_the_same_seed() -> None:
    """Seeds differ by more than rows do; only the difference within a seed is the switch's doing."""
    line = summary(results(), "no-efsm")
    assert line is not None
    assert line.delta == pytest.approx((-0.5, -1.5))
    assert (line.better, line.compared) == (1, 4)
    assert line.mu == pytest.approx((34.5, 34.5))
    assert summary(results(), "no-dwt") is None


@pytest.mark.parametrize(
    ("delta", "better", "says"),
    [
        ((-0.5, -0.9), 4, "costs"),
        ((0.5, 0.9), 28, "gains"),
        ((0.5, -0.1), 16, "not told apart"),
        ((-0.1, -0.9), 4, "not told apart"),
        ((-0.5, -0.9), 14, "not told apart"),
        ((-4.0,), 0, "one seed so far"),
    ],
)
def test_noise_is_not_called_an_effect(delta: tuple[float, ...], better: int, says: str) -> None:
    """Two seeds are few; a verdict needs both to agree, and most brackets with them."""
    line = Line(1, 1.0, (30.0,) * len(delta), (20.0,) * len(delta), delta, better, 32)
    assert verdict(line) == says


DOCUMENT = """# Title
<!-- ablation:components -->
figures of yesterday
<!-- /ablation:components -->
prose stays
<!-- ablation:settings -->
<!-- /ablation:settings -->
<!-- ablation:baselines -->
<!-- /ablation:baselines -->
<!-- ablation:verdicts -->
<!-- /ablation:verdicts -->
"""


def test_the_document_is_refreshed_once_and_for_all() -> None:
    """Tables come from the results, not from somebody's fingers; what is around them is left alone."""
    once = refreshed(DOCUMENT, results())
    assert refreshed(once, results()) == once
    assert "yesterday" not in once
    assert "prose stays\n" in once
    assert "| all of it | 1,234 | 5.0 | 35.50 ± 0.50 | 2.00 ± 0.00 | - | - |" in once
    assert "| 34.50 ± 0.00 | 2.00 ± 0.00 | -0.50, -1.50 | 1 of 4 |" in once
    assert "| plain cross attention (no + K in eq. 7) | - | - | - | - | - | - |" in once
    assert "trainings finished: 2 with seed 0, 2 with seed 1" in once
    assert "60 s of one core per training, 4 minutes in all" in once
    assert "| reference alone | 9.00 | 8.00 |" in once
    assert "**Costs**: no exposure-guided feature selection (EFSM) (-1.00)" in once
    assert "**Gains**: none" in once


def test_a_document_without_its_markers_is_not_taken_for_refreshed() -> None:
    """A marker with a typing error would keep its old figures for ever."""
    with pytest.raises(ValueError, match="no markers"):
        refreshed("# Title\n", results())
    with pytest.raises(ValueError, match="unknown marker ablation:imputs"):
        refreshed("<!-- ablation:imputs -->\n<!-- /ablation:imputs -->\n", results())


def test_the_shipped_document_has_every_table() -> None:
    """A table that is computed but has no place is not published."""
    text = (Path(__file__).parents[3] / "docs" / "ablation.md").read_text()
    for key in ("settings", "baselines", "verdicts", *(t.key for t in TABLES)):
        assert f"<!-- ablation:{key} -->" in text
        assert f"<!-- /ablation:{key} -->" in text


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    """One line that names the way on, not a traceback."""
    runner = CliRunner()
    nothing = runner.invoke(app, ["ablation", "--out", str(tmp_path)])
    assert nothing.exit_code == 1
    assert "--images FOLDER trains" in nothing.stderr
    document = tmp_path / "ablation.md"
    document.write_text(DOCUMENT)
    early = runner.invoke(app, ["ablation", "--out", str(tmp_path), "--document", str(document)])
    assert early.exit_code == 1
    assert "no results yet" in early.stderr
    (tmp_path / "results.json").write_text(json.dumps(results()))
    done = runner.invoke(app, ["ablation", "--out", str(tmp_path), "--document", str(document)])
    assert done.exit_code == 0, done.output
    assert "35.50" in document.read_text()
