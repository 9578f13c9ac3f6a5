"""``twinhdr refuse``: fuse a recording again, offline, with no deadline and the same code as the device."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from edge.assembly import Reports, Source, aligner_of, build_line
from edge.config_schema import Config
from edge.engines import Engine, open_engine
from edge.frames import CameraName, Rung
from edge.line import Fused, FusionLine, LadderPlan
from edge.pair import Stamped
from edge.recorder import HdrRecorder
from edge.register import identity, parse_calibration
from edge.session import Session, SessionError, SessionHeader, SessionWriter
from edge.session_config import session_config
from edge.stopwatch import untimed


@dataclass(slots=True)
class Refused:
    """What came of it: frames written, frames by rung, frames dropped by cause, and the folder."""

    folder: Path
    frames: int = 0
    rungs: dict[Rung, int] = field(default_factory=dict)
    drops: dict[str, int] = field(default_factory=dict)


def full_scale(header: SessionHeader) -> float:
    """The radiance that saturates the darkest exposure of a session."""
    unit = header.exposures["reference"][0].light
    return max(unit / exposure.light for exposure in header.exposures["secondary"])


def offline_line(
    session: Session, config: Config, engine: Engine, on_drop: Callable[[str, int], None]
) -> FusionLine:
    """The fusion line of a recording: the network wherever there is a pair, each pair fully awaited."""
    header = session.header
    info = header.cameras["reference"]
    stored = header.calibration
    calibration = (
        identity(info.width, info.height)
        if stored is None
        else parse_calibration(stored, f"{session.path}/session.json: calibration")
    )
    return build_line(
        config,
        Source(header.cameras, calibration, header.transfer),
        {Rung.MODEL: engine},
        LadderPlan((Rung.MODEL, Rung.REFERENCE), {}, None),
        wait_ns=None,
        watch=untimed(),
        reports=Reports(on_drop),
    )


def fuse_session(session: Session, line: FusionLine) -> Iterator[Fused]:
    """Every reference frame of a recording, fused, in order."""
    for item in _in_order(session):
        yield from line.add(item, item.t_ns)
    yield from line.flush()


def refuse(
    session: Session,
    model: str,
    threads: int = 0,
    on_fused: Callable[[Fused], None] | None = None,
    advance: Callable[[], None] | None = None,
    tell: Callable[[str], None] = lambda _text: None,
) -> Refused:
    """Fuse ``session`` with ``model`` into ``refused/<model>`` inside it, on the GPU where it has an engine.

    ``on_fused`` sees each frame with its images, ``advance`` is called once a frame, ``tell`` hears why a GPU
    stays idle. Raises EngineError, SessionError, EncodeError.
    """
    config = session_config(session.header.config, session.path)
    header, info = session.header, session.header.cameras["reference"]
    if not any(True for _ in session.stamped("reference")):
        raise SessionError(
            f"{session.path}: no reference frame can be read; only a session recorded with "
            "masters.enabled can be fused again"
        )
    aligned = aligner_of(config, offline=True) is not None
    engine = open_engine(model, threads, (info.height, info.width), aligned=aligned, tell=tell)
    writer = SessionWriter.refused(session.path, engine.name)
    done = Refused(writer.path)
    recorder = HdrRecorder(
        writer,
        config.hdr,
        width=info.width,
        height=info.height,
        fps=1e6 / info.frame_period_us,
        origin_ns=session.origin_ns,
        full_scale=full_scale(header),
        watch=untimed(),
        on_segment=writer.sidecar.segment,
    )

    def on_drop(cause: str, seq: int) -> None:
        done.drops[cause] = done.drops.get(cause, 0) + 1
        writer.sidecar.drop("pair", cause, camera="secondary", seq=seq)

    try:
        for fused in fuse_session(session, offline_line(session, config, engine, on_drop)):
            recorder.write(fused.hdr)
            done.frames += 1
            done.rungs[fused.hdr.rung] = done.rungs.get(fused.hdr.rung, 0) + 1
            if on_fused is not None:
                on_fused(fused)
            if advance is not None:
                advance()
    finally:
        recorder.close()
    writer.sidecar.end()
    return done


def refuse_with_progress(
    session: Session,
    model: str,
    description: str,
    console: Console,
    on_fused: Callable[[Fused], None] | None = None,
) -> Refused:
    """``refuse`` under a progress bar."""
    total = sum(1 for _ in session.frame_records("reference"))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(description, total=total or None)
        return refuse(
            session,
            model,
            on_fused=on_fused,
            advance=lambda: progress.advance(task),
            tell=lambda text: console.print(text, style="yellow", markup=False, soft_wrap=True),
        )


def refuse_session(path: Path, model: str, console: Console) -> int:
    """``twinhdr refuse SESSION --model``: with a progress bar, and a report at the end. The exit code."""
    session = Session.open(path)
    done = refuse_with_progress(session, model, f"fusing with {model}", console)
    for problem in session.problems:
        console.print(f"skipped: {problem}", style="yellow", markup=False)
    rungs = ", ".join(f"{count} on {rung.name.lower()}" for rung, count in sorted(done.rungs.items()))
    console.print(f"{done.frames} frames ({rungs}) in {done.folder}", markup=False)
    for cause, count in sorted(done.drops.items()):
        console.print(f"{count} secondary frames not used: {cause}", markup=False)
    return 0


def _in_order(session: Session) -> Iterator[Stamped]:
    def stamped(camera: CameraName) -> Iterator[Stamped]:
        return (Stamped(frame, t_ns) for frame, t_ns in session.stamped(camera))

    return heapq.merge(stamped("reference"), stamped("secondary"), key=lambda item: item.t_ns)
