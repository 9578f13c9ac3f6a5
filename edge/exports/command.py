"""``twinhdr export``: what a recording becomes for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from edge.exports.moments import Moments, Source, Span
    from edge.session.recording import Session


def export(
    session: Annotated[Path, typer.Argument(metavar="SESSION", help="Folder of a recording.")],
    video: Annotated[
        Path | None,
        typer.Option("--video", metavar="FILE.mp4", help="All segments as one plain MP4, not encoded again."),
    ] = None,
    still: Annotated[
        tuple[float, Path] | None,
        typer.Option(
            "--still",
            metavar="SECONDS FILE",
            help="The frame nearest to this time, as exr, hdr, avif, jpg (Ultra HDR) or png.",
        ),
    ] = None,
    exr: Annotated[
        Path | None,
        typer.Option(
            "--exr", metavar="FOLDER", help="An EXR sequence, half float. Goes on where it stopped."
        ),
    ] = None,
    contact: Annotated[
        bool, typer.Option("--contact", help="contact.jpg in the recording, made anew.")
    ] = False,
    begin: Annotated[
        float, typer.Option("--from", metavar="SECONDS", min=0.0, help="Of --exr: the first frame.")
    ] = 0.0,
    end: Annotated[
        float | None, typer.Option("--to", metavar="SECONDS", min=0.0, help="Of --exr: the last frame.")
    ] = None,
    every: Annotated[int, typer.Option("--every", metavar="N", min=1, help="Of --exr: each N-th frame.")] = 1,
    source: Annotated[
        str,
        typer.Option(
            "--source",
            metavar="auto|masters|video",
            help="Of --still and --exr: fused again from masters, or read from the HDR video.",
        ),
    ] = "auto",
    model: Annotated[
        str, typer.Option("--model", metavar="s|m|l|FILE.onnx", help="The network for masters.")
    ] = "s",
) -> None:
    """Make video, stills and sequences for other programs.

    Stills and EXR frames are fused again from the masters with the network where the recording has masters,
    at full precision and about a second a frame on a CPU. Without masters, or with --source video, they are
    read from the HDR video: 10 bits, fast, as encoded. --video and reading take the refused video where there
    is one. SECONDS count from the first frame.

    \b
    Example:
      twinhdr export ./first --video first.mp4
      twinhdr export ./first --still 3.5 moment.avif
      twinhdr export ./first --exr ./frames --from 2 --to 4
    """
    if video is None and still is None and exr is None and not contact:
        raise typer.BadParameter("say what to make: --video, --still, --exr or --contact")
    if source not in ("auto", "masters", "video"):
        raise typer.BadParameter(f"--source {source}: auto, masters or video")
    if end is not None and end < begin:
        raise typer.BadParameter(f"--to {end:g} lies before --from {begin:g}")
    from rich.console import Console

    from edge.exports.moments import Moments, Span
    from edge.exports.pictures import check_picture
    from edge.session.recording import Session

    console = Console()
    if still is not None:
        check_picture(still[1])
    opened = Session.open(session)
    if video is not None:
        _video(opened, video, console)
    if still is not None or exr is not None:
        moments = Moments(opened, cast("Source", source), model)
        if still is not None:
            _still(moments, still[0], still[1], console)
        if exr is not None:
            _exr(opened, moments, Span(begin, end, every), exr, model, console)
    if contact:
        _contact(session, console)
    for problem in opened.problems:
        console.print(f"skipped: {problem}", style="yellow", markup=False, soft_wrap=True)


def _video(session: Session, out: Path, console: Console) -> None:
    from rich.progress import Progress

    from edge.exports.join import join
    from edge.exports.moments import best_video

    video = best_video(session)
    total = sum(1 for record in video.hdr_records() if record.file is not None)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("joining", total=total)
        frames = join(video, out, lambda count: bar.advance(task, count))
    console.print(f"{out}: {frames} frames of {video.path}", markup=False, highlight=False, soft_wrap=True)


def _still(moments: Moments, t_s: float, out: Path, console: Console) -> None:
    from edge.exports.pictures import write_picture

    moment = moments.nearest(t_s)
    write_picture(out, moment.radiance, f"frame {moment.seq} at {moment.t_s:.3f} s, {moment.model}")
    what = f"{out}: frame {moment.seq} at {moment.t_s:.3f} s, {moment.model}, from the {moments.source}"
    console.print(what, markup=False, highlight=False, soft_wrap=True)


def _exr(session: Session, moments: Moments, span: Span, folder: Path, model: str, console: Console) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from edge.exports.sequence import write_sequence

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"EXR from the {moments.source}", total=None)
        written = write_sequence(
            session,
            moments,
            span,
            folder,
            model=model,
            begin=lambda done, total: bar.update(task, completed=done, total=total),
            advance=lambda: bar.advance(task),
        )
    what = f"{folder}: {written.frames} frames, {written.new} of them new, from the {moments.source}"
    console.print(what, markup=False, highlight=False, soft_wrap=True)


def _contact(session: Path, console: Console) -> None:
    from edge.exports.contact import make_contact_picture

    made = make_contact_picture(session)
    what = f"contact picture: {made}" if made else "no contact picture: no fused frame can be read"
    console.print(what, markup=False, highlight=False, soft_wrap=True)
