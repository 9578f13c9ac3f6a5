"""``twinhdr fuse``: files in, files out, a progress bar in between."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.progress import Progress

from edge.engines import model_path, open_engine
from edge.exports.pictures import check_picture, write_picture
from edge.fuse.still import Evs, StillError, doubts, fuse_still, read_bracket, relative_light
from edge.images.imageio import check_output, write_png
from edge.register.align import Aligner
from edge.tone.sdr import apply_curve, meter


@dataclass(frozen=True, slots=True)
class StillJob:
    """What ``twinhdr fuse`` was asked for."""

    low: Path | None
    reference: Path
    high: Path | None
    ev: Evs
    out: Path
    model: str
    preview: Path | None = None
    threads: int = 0
    align: Literal["fine", "fast", "off"] = "fine"


def run_still(job: StillJob, console: Console) -> None:
    """Do ``job``; doubts and progress go to ``console``. Raises TwinhdrError, if possible before the work."""
    relative_light(job.ev)
    check_picture(job.out)
    if job.preview is not None:
        check_output(job.preview, ".png")
    try:
        _fuse(job, console)
    except MemoryError:
        raise StillError(
            f"{job.reference}: not enough memory for three exposures of this size; "
            "close other programs or scale the images down"
        ) from None


def _fuse(job: StillJob, console: Console) -> None:
    def warn(text: str) -> None:
        console.print(f"warning: {text}", style="yellow", markup=False, soft_wrap=True)

    model_path(job.model)  # before the work of reading
    bracket = read_bracket(job.low, job.reference, job.high)
    for doubt in doubts(bracket):
        warn(doubt)
    height, width = bracket.reference.shape[:2]
    engine = open_engine(job.model, job.threads, (height, width), aligned=job.align != "off", tell=warn)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(f"fusing with {engine.name}", total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        aligner = None if job.align == "off" else Aligner(job.align)
        radiance = fuse_still(bracket, job.ev, engine, aligner=aligner, progress=progress)
    ev = " ".join(f"{value:g}" for value in job.ev)
    write_picture(job.out, radiance, f"fused by {engine.name} from exposures at EV {ev}")
    if job.preview is not None:
        write_png(job.preview, apply_curve(radiance, meter(radiance)))
    console.print(f"wrote {job.out}", markup=False, highlight=False, soft_wrap=True)
