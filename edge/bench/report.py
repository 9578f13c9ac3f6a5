"""What ``twinhdr bench --model`` prints: opens the models, measures them, and lays out a table or JSON."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import partial

from rich.console import Console
from rich.table import Table

from edge.bench.models import Live, ModelBench, ModelResult, bench_models, opened
from edge.bench.scene import bench_bracket
from edge.engines import Engine, open_engine
from edge.errors import TwinhdrError


@dataclass(frozen=True, slots=True)
class ModelRun:
    """What was asked for. ``models``: shipped names or ONNX files; ``threads`` of the CPU, 0: all cores.

    ``cpu_time``: of the whole process; its threads wait in loops, so it is fair with one thread only.
    """

    models: tuple[str, ...]
    size: str
    frames: int
    group: int
    fps: float
    threads: int
    cpu_time: bool = False


def run_model_bench(asked: ModelRun, as_json: bool, console: Console) -> int:
    """The exit code. Raises TwinhdrError for a size that is none and a model that cannot be opened."""
    width, height = _size(asked.size)
    bracket = bench_bracket(width, height)

    def open_one(model: str) -> Engine:
        return open_engine(
            model, asked.threads, (height, width), aligned=False, tell=lambda text: console.print(text)
        )

    models = [
        opened(partial(open_one, model), lambda e: runtime_of(e, asked.threads), bracket)
        for model in asked.models
    ]
    clock = time.process_time_ns if asked.cpu_time else time.perf_counter_ns
    result = bench_models(models, bracket, asked.frames, asked.group, asked.fps, clock)
    if as_json:
        print(json.dumps(result.to_json()))
    else:
        console.print(table(result))
    return 0


def runtime_of(engine: Engine, threads: int) -> str:
    """What computes: ``ONNX Runtime 1.23.0, 2 threads`` or ``TensorRT``."""
    from edge.engines.onnx import OnnxEngine

    if not isinstance(engine, OnnxEngine):
        return type(engine).__name__.removesuffix("Engine")
    import onnxruntime

    return f"ONNX Runtime {onnxruntime.__version__}, threads: {threads or 'one per core'}"


def table(result: ModelBench) -> Table:
    """A row per figure, a column per model."""
    out = Table(title=f"{result.width}x{result.height}, groups of {result.group}, {result.fps:g} frames/s")
    out.add_column("")
    for model in result.models:
        out.add_column(f"{model.name}\n{model.runtime}", justify="right")

    def row(name: str, values: list[str]) -> None:
        out.add_row(name, *values)

    models = result.models
    row("encode_pair, ms: p50 p95 p99 max", [_spread(m.encode_pair_ms) for m in models])
    row("fuse, ms", [_spread(m.fuse_ms) for m in models])
    row("frame of a shared pair, ms", [_spread(m.shared.latency_ms) for m in models])
    row("  frames/s, deadlines missed", [_live(m.shared) for m in models])
    row("frame with a pair of its own, aligned, ms", [_spread(m.aligned.latency_ms) for m in models])
    row("  frames/s, deadlines missed", [_live(m.aligned) for m in models])
    row("encode_pair's share; sharing saves", [_shares(m) for m in models])
    row("memory, MiB", [f"{m.memory_mib:.0f}" for m in models])
    row("PSNR-mu, PSNR-L, dB", [f"{m.psnr_mu_db:.1f}, {m.psnr_l_db:.1f}" for m in models])
    if len(models) > 1:
        row("time per frame over the first's", [f"{ratio:.3f}" for ratio in result.ratio])
        row("agreement with the first, dB", [f"{db:.1f}" for db in result.agreement_db])
    out.caption = (
        f"alignment {_spread(result.align_ms)} ms; the reference alone: {result.reference_psnr_mu_db:.1f} dB"
    )
    return out


def _spread(ms: object) -> str:
    return " ".join(f"{getattr(ms, name):.1f}" for name in ("p50", "p95", "p99", "max"))


def _live(live: Live) -> str:
    return f"{live.throughput_fps:.1f}, {live.missed} of {live.frames}"


def _shares(model: ModelResult) -> str:
    return f"{model.pair_share:.1%}; {model.saved_by_sharing:.1%}"


def _size(text: str) -> tuple[int, int]:
    width, x, height = text.partition("x")
    if not (x and width.isdecimal() and height.isdecimal() and 64 <= int(width) <= 8192 >= int(height) >= 64):
        raise TwinhdrError(f"--size {text}: a picture's WIDTHxHEIGHT from 64 to 8192, such as 960x540")
    return int(width), int(height)
