"""``twinhdr-export engine``: TensorRT engines, built and proven on the device that will run them.

The device has no PyTorch, and this command needs none: onnx, numpy, TensorRT and pycuda.
"""

from __future__ import annotations

import datetime
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from onnx import ModelProto

    from edge.engines.gpu import Platform
    from edge.engines.prove import Golden

ELSEWHERE = (
    "an engine is built on the machine that runs it; on the device: sudo -u twinhdr "
    "/opt/twinhdr/current/venv/bin/twinhdr-export engine; here ONNX Runtime runs the same network without one"
)
UNAVAILABLE = 69
"""sysexits.h: the machine lacks what the command needs."""
GOLDEN_EV = (2, 4)
"""Of the golden scenes: the usual bracket and the widest."""


def engine(
    model: Annotated[
        list[str] | None,
        typer.Option(help="s, m or l, or an ONNX file; repeatable. Default: what the configuration names."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="Size of the pictures. Default: likewise."),
    ] = None,
    cut: Annotated[
        str | None,
        typer.Option(
            metavar="whole|pair",
            help="One graph for everything, or one for pairs and one for frames (for fuse.alignment off). "
            "Default: what fuse.alignment asks for.",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Configuration to read, not /etc/twinhdr/config.yaml.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where engines lie, if not in $TWINHDR_ENGINES or the usual place.")
    ] = None,
    level: Annotated[int, typer.Option(min=0, max=5, help="TensorRT's optimization level.")] = 3,
    force: Annotated[bool, typer.Option(help="Build again what is there and fits.")] = False,
) -> None:
    """Build the TensorRT engines of this machine and prove that they compute the same picture.

    What is there and fits is left alone, so this may run at every boot. A new engine replaces the old one
    only after it agreed with FP32 to 50 dB PSNR-mu on every golden scene; until then, and when the power
    fails on the way, the old one stays in use.

    \b
    Examples:
      twinhdr-export engine                                  all that the configuration asks for
      twinhdr-export engine --model m --size 1920x1080
    """
    from edge.engines import EngineError
    from edge.engines.platform import open_platform
    from edge.errors import ConfigError

    try:
        jobs = _jobs(model or [], _size(size), cut, config, level)
        platform = open_platform()
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from None
    except EngineError as error:
        typer.echo(f"twinhdr-export: {error}; {ELSEWHERE}", err=True)
        raise typer.Exit(UNAVAILABLE) from None
    raise typer.Exit(run(jobs, platform, folder, force=force))


def run(jobs: Sequence[object], platform: Platform, folder: Path | None, *, force: bool) -> int:
    """Build ``jobs`` (BuildJob) one after the other; one that fails does not stop the next. The exit code."""
    from edge.daemon.run import software_version
    from edge.doctor.engines import described
    from edge.engines import EngineError
    from edge.engines.build import BuildJob, Tools, build
    from edge.engines.onnx import OnnxEngine
    from edge.engines.store import EngineStore, engine_folder

    store = EngineStore(folder or engine_folder())
    date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    tools = Tools(
        platform=platform,
        store=store,
        prepare=prepare,
        exact=OnnxEngine,
        goldens=golden_scenes,
        now_ns=time.perf_counter_ns,
        date=date,
        software=software_version(),
    )
    failed = 0
    for job in jobs:
        assert isinstance(job, BuildJob)
        try:
            with _telling(f"{job.name} {job.width}x{job.height}") as progress:
                proof, built = build(job, tools, progress, force=force)
        except EngineError as error:
            typer.echo(f"twinhdr-export: {error}", err=True)
            failed += 1
            continue
        typer.echo(f"{job.name}: {'built' if built else 'up to date'}: {described(proof)}")
    return 1 if failed else 0


def prepare(model: ModelProto, height: int, width: int) -> ModelProto:
    """A shipped FP32 graph of free size as the FP16 graph of one size."""
    from export.graphs.half import halve
    from export.graphs.static_shapes import fixed

    return halve(fixed(model, height, width))


def golden_scenes(height: int, width: int) -> list[Golden]:
    """Night, sun and sunlit windows at the engine's own size, at 2 and at 4 EV."""
    from edge.engines.prove import Golden
    from export.graphs.golden import golden

    found = []
    for name, sample in golden((width, height)).items():
        if any(name.endswith(f"-ev{step}") for step in GOLDEN_EV):
            low, middle, high = (float(value) for value in sample.exposure)
            light = (low / middle, 1.0, high / middle)
            found.append(Golden(name, sample.low, sample.reference, sample.high, light))
    return found


def _size(text: str | None) -> tuple[int, int] | None:
    """(width, height) of WIDTHxHEIGHT."""
    if text is None:
        return None
    found = re.fullmatch(r"([1-9]\d{1,4})x([1-9]\d{1,4})", text)
    if not found:
        raise typer.BadParameter(f"--size {text}: WIDTHxHEIGHT, such as 960x540")
    return int(found[1]), int(found[2])


def _jobs(
    models: Sequence[str], size: tuple[int, int] | None, cut: str | None, config: Path | None, level: int
) -> list[object]:
    """What is asked for, the rest from the configuration. Raises ConfigError and EngineError."""
    from edge.config.layers import load_config
    from edge.engines import model_path
    from edge.engines.build import BuildJob
    from edge.engines.choice import wanted_engines
    from edge.engines.gpu import BuildSettings

    if cut not in (None, "whole", "pair"):
        raise typer.BadParameter(f"--cut {cut}: whole or pair")
    settings = load_config(config)
    wanted = wanted_engines(settings.fuse, settings.rig)
    width, height = size or (settings.rig.width, settings.rig.height)
    chosen = cut or wanted[0].cut
    return [
        BuildJob(model_path(name), width, height, chosen, BuildSettings(level))  # type: ignore[arg-type]
        for name in models or [one.model for one in wanted]
    ]


@contextmanager
def _telling(title: str) -> Iterator[Callable[[str, float], None]]:
    """A bar for a person; for the journal, a line whenever something new begins."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield partial(_line, title, [""])
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda text, share: bar.update(task, description=f"{title}: {text}", completed=share)


def _line(title: str, last: list[str], text: str, _share: float) -> None:
    step = text.split(":")[0]
    if step != last[0]:
        last[0] = step
        typer.echo(f"{title}: {text}", err=True)
