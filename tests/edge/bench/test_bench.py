"""What ``twinhdr bench --model`` says: figures that follow from what was measured, on any backend."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from edge.bench.models import EQUAL_DB, Opened, bench_models, opened
from edge.bench.scene import Bracket, bench_bracket
from edge.cli import app
from edge.engines import Engine, Light, PairCache
from edge.engines.framing import framed
from edge.engines.onnx import OnnxEngine
from edge.engines.tensorrt import TensorrtEngine
from edge.engines.tone import toned
from edge.frames import FloatImage
from export.graphs.static_shapes import fixed
from tests.edge.reference_gpu import MAGIC, ReferenceGpu
from tests.edge.tiny_model import write_tiny_model

SIZE = (64, 96)
MS = 1_000_000


@pytest.fixture(scope="module")
def bracket() -> Bracket:
    return bench_bracket(SIZE[1], SIZE[0])


@pytest.fixture
def tiny(tmp_path: Path) -> OnnxEngine:
    return OnnxEngine(write_tiny_model(tmp_path / "eafnet-tiny.onnx"), threads=1)


class Clock:
    """Time passes only where an engine says so."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


@dataclass
class Slow:
    """A real engine that takes its time on the clock: ``encode_ms`` a pair, then ``fuse_ms`` by turns."""

    engine: OnnxEngine
    clock: Clock
    encode_ms: int
    fuse_ms: tuple[int, ...]
    turn: int = 0
    name: str = "slow"
    multiple: int = 32

    def encode_pair(
        self,
        low: FloatImage,
        high: FloatImage,
        light: Light,
        mean_reference: float,
        mean_pair: tuple[float, float] | None = None,
    ) -> PairCache:
        self.clock.now_ns += self.encode_ms * MS
        return self.engine.encode_pair(low, high, light, mean_reference, mean_pair)

    def fuse(self, cache: PairCache, reference: FloatImage) -> FloatImage:
        self.clock.now_ns += self.fuse_ms[self.turn % len(self.fuse_ms)] * MS
        self.turn += 1
        return self.engine.fuse(cache, reference)


def test_figures_follow_from_the_clock(tiny: OnnxEngine, bracket: Bracket) -> None:
    """Whoever picks a model by these figures gets the frame rate that they promise."""
    clock = Clock()
    slow = Slow(tiny, clock, encode_ms=10, fuse_ms=(20, 20, 20, 40))
    fast = Slow(tiny, clock, encode_ms=5, fuse_ms=(10,))
    models = [Opened(engine, "clock", 0.0) for engine in (slow, fast)]
    result = bench_models(models, bracket, frames=6, group=4, fps=40.0, now_ns=clock)
    first, second = result.models
    assert (first.encode_pair_ms.p50, first.fuse_ms.p50, first.fuse_ms.max) == (10, 20, 40)
    # Whole groups: eight frames. The first of each group pays for the pair, the last one dawdles.
    assert (first.shared.frames, first.shared.missed) == (8, 4)
    assert first.shared.throughput_fps == pytest.approx(1000 * 8 / (2 * (30 + 20 + 20 + 40)), abs=0.01)
    assert first.aligned.missed == 8
    assert (second.shared.missed, second.aligned.missed) == (0, 0)
    assert first.pair_share == pytest.approx(10 / 30, abs=1e-3)
    assert first.saved_by_sharing == pytest.approx(10 / 30 * 3 / 4, abs=1e-3)
    assert result.ratio == pytest.approx((1.0, (10 + 5 / 4) / (20 + 10 / 4)), abs=1e-3)
    assert result.agreement_db == (EQUAL_DB, EQUAL_DB)


def test_accuracy_stands_beside_speed(tmp_path: Path, bracket: Bracket) -> None:
    """A network that is fast because it does nothing must look like one."""
    models = [
        opened(partial(OnnxEngine, _tiny(tmp_path, gain), 1), lambda _: "test", bracket)
        for gain in (1.0, 0.3)
    ]
    result = bench_models(models, bracket, 4, 4, 30.0, stepping())
    good, dark = result.models
    assert good.psnr_mu_db > dark.psnr_mu_db + 3
    assert good.psnr_l_db > dark.psnr_l_db
    assert result.agreement_db[1] < 40
    assert all(model.memory_mib >= 0 for model in result.models)


def _tiny(folder: Path, gain: float) -> Path:
    return write_tiny_model(folder / f"eafnet-tiny-{gain}.onnx", gain)


def stepping() -> Callable[[], int]:
    """A clock on which every look costs a millisecond."""
    now = iter(range(0, 10**12, MS))
    return lambda: next(now)


def test_a_gpu_is_measured_by_the_same_rules(tmp_path: Path, bracket: Bracket) -> None:
    """The device's engine and the CPU's are compared in one run; here on a reference GPU."""
    path = write_tiny_model(tmp_path / "eafnet-tiny.onnx")
    graph = toned(framed(fixed(onnx.load(str(path)), *SIZE), *SIZE), *SIZE)
    plans = [MAGIC + graph.SerializeToString()]
    engine: Engine = TensorrtEngine("eafnet-tiny", plans, ReferenceGpu(), "proof.json")  # type: ignore[arg-type]
    models = [Opened(OnnxEngine(path, 1), "cpu", 0.0), Opened(engine, "gpu", 0.0)]
    result = bench_models(models, bracket, 4, 4, 30.0, stepping())
    assert result.agreement_db[1] > 50
    assert result.models[1].psnr_mu_db == pytest.approx(result.models[0].psnr_mu_db, abs=0.5)


def test_the_scene_has_something_to_gain(bracket: Bracket) -> None:
    """A scene within the reference's range would give every model the same marks."""
    assert float(np.mean(bracket.reference >= 0.999)) > 0.005
    assert float(bracket.truth.max()) > 2.0
    assert bracket.light == pytest.approx((0.25, 1.0, 4.0), rel=1e-3)


def test_the_command_answers_in_json(tmp_path: Path) -> None:
    """Figures of two versions are compared by programs."""
    path = _tiny(tmp_path, 1.0)
    asked = ["bench", "--model", str(path), "--against", str(path), "--size", "64x64", "--frames", "2"]
    result = CliRunner().invoke(app, [*asked, "--group", "2", "--threads", "1", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["width"], told["height"], len(told["models"])) == (64, 64, 2)
    assert told["models"][0]["runtime"].startswith("ONNX Runtime")
    assert set(told["models"][0]["fuse_ms"]) == {"p50", "p95", "p99", "max"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "s", "--size", "540p"], "--size 540p"),
        (["--model", "none.onnx"], "none.onnx does not exist"),
        (["--against", "s"], "--model"),
    ],
)
def test_a_wrong_question_is_one_line(arguments: list[str], says: str) -> None:
    """Not a traceback, and not the other benchmark without a word."""
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["bench", *arguments])
    assert result.exit_code != 0
    assert says in result.stderr
    assert "Traceback" not in result.stderr
