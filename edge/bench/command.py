"""The command ``twinhdr bench``: what the line costs, or what a network costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def bench(
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Read this file instead of /etc/twinhdr/config.yaml."),
    ] = None,
    frames: Annotated[int, typer.Option("--frames", min=1, max=100_000, help="Frames to measure.")] = 90,
    model: Annotated[
        str | None,
        typer.Option(help="Measure a network instead: a shipped name or an ONNX file.", metavar="MODEL"),
    ] = None,
    against: Annotated[
        list[str] | None, typer.Option(help="Others to measure in turn with it.", metavar="MODEL")
    ] = None,
    size: Annotated[str, typer.Option(help="Picture for --model, WIDTHxHEIGHT.")] = "960x540",
    group: Annotated[int, typer.Option(min=1, max=100, help="Frames that share a pair, for --model.")] = 4,
    fps: Annotated[float, typer.Option(min=0.1, max=1000, help="Deadlines for --model.")] = 30.0,
    threads: Annotated[int, typer.Option(min=0, max=256, help="For --model; 0: one per core.")] = 0,
    cpu_time: Annotated[
        bool, typer.Option("--cpu-time", help="For --model: CPU time, not wall clock; on busy machines.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Measure what the line costs, or with --model a network.

    The line is measured on one core, by stage, without network, encoder and simulated cameras.
    A network is measured on a shipped scene, and compared with what was really there.

    \b
    Example:
      twinhdr bench --frames 90
      twinhdr bench --model s --against other.onnx --frames 40
    """
    from rich.console import Console

    console = Console()
    if model is not None:
        from edge.bench.report import ModelRun, run_model_bench

        asked = ModelRun((model, *(against or ())), size, frames, group, fps, threads, cpu_time)
        raise typer.Exit(run_model_bench(asked, as_json, console))
    if against:
        raise typer.BadParameter("needs --model: the model to compare with", param_hint="--against")
    from edge.bench.line import run_bench
    from edge.config.layers import load_config

    raise typer.Exit(run_bench(load_config(config), frames, as_json, console))
