"""``twinhdr info``: what a recording holds, what it lost and why, and a picture of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from edge.encode.hdr_read import read_radiance
from edge.errors import TwinhdrError
from edge.exports.contact import contact_picture
from edge.frames import CameraName
from edge.images.imageio import write_png
from edge.images.panel import labelled_row
from edge.judge.flicker import FlickerGauge
from edge.session.recording import HdrRecord, Session
from edge.tone.sdr import SdrPreview

PICTURE = "picture.png"
PICTURE_WIDTH = 720


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of one recording or one refused output. Ages in ms are magnitudes."""

    reference_frames: int
    secondary_frames: int
    hdr_frames: int
    seconds: float
    drops: dict[tuple[str, str], int]
    rungs: dict[str, int]
    low_age_ms: tuple[float, float] | None
    high_age_ms: tuple[float, float] | None
    flicker: float
    clean: bool
    clocks: Mapping[str, Any] | None = None
    """The last word on the two cameras' clocks: the fields of its line in the sidecar."""
    settings: int = 0
    """How often automatic exposure changed a camera's settings."""


def summarise(session: Session) -> Summary:
    """Read the sidecar of ``session`` once."""
    hdr = list(session.hdr_records())
    drops: Counter[tuple[str, str]] = Counter()
    for record in session.records("drop"):
        fields = record.fields
        where = (str(fields.get("stage", "?")), str(fields.get("cause", "?")))
        count = fields.get("count", 1)
        drops[where] += count if isinstance(count, int) else 1
    times = [r.t_ns for r in session.frame_records("reference")] or [r.t_ns for r in hdr]
    return Summary(
        reference_frames=_count(session, "reference"),
        secondary_frames=_count(session, "secondary"),
        hdr_frames=len(hdr),
        seconds=(max(times) - min(times)) / 1e9 if times else 0.0,
        drops=dict(drops),
        rungs=dict(Counter(f"{r.rung.name.lower()} ({r.model})" for r in hdr)),
        low_age_ms=_spread(r.low_age_ns for r in hdr),
        high_age_ms=_spread(r.high_age_ns for r in hdr),
        flicker=_flicker(hdr),
        clean=session.clean,
        clocks=next((record.fields for record in reversed(list(session.records("clocks")))), None),
        settings=sum(1 for _ in session.records("exposure")),
    )


def print_info(path: Path, console: Console) -> int:
    """The report on ``path`` and on everything it was refused with. Returns the exit code."""
    session = Session.open(path)
    _print_summary(session, f"session {session.header.session_id}", console)
    for model in session.refused_models():
        _print_summary(session.refused(model), f"refused with {model}", console)
    try:
        console.print(f"picture: {write_picture(session)}", markup=False, soft_wrap=True)
    except TwinhdrError as error:
        console.print(f"no picture: {error}", style="yellow", markup=False)
    contact = contact_picture(path)
    if contact is not None:
        console.print(f"contact picture: {contact}", markup=False, soft_wrap=True)
    for problem in session.problems:
        console.print(f"skipped: {problem}", style="yellow", markup=False)
    return 0


def write_picture(session: Session) -> Path:
    """Reference and fused frame from the middle of the recording, side by side, as ``picture.png`` in it.

    The best video there is: the last refused one, else the live one. Raises TwinhdrError.
    """
    models = session.refused_models()
    video = session.refused(models[-1]) if models else session
    records = [r for r in video.hdr_records() if r.file is not None]
    if not records:
        raise TwinhdrError(f"{video.path}: no fused frame was recorded")
    record = records[len(records) // 2]
    preview = SdrPreview(PICTURE_WIDTH)
    fused = preview.render(read_radiance(video, record), record.t_ns)
    pictures = [(f"fused ({record.model})", fused)]
    reference = _reference_radiance(session, record.seq)
    if reference is not None:
        shown = reference * np.float32(record.scale)
        pictures.insert(0, ("reference", preview.render_like_last(shown)))
    out = session.path / PICTURE
    write_png(out, labelled_row(pictures))
    return out


def _clock_words(told: Mapping[str, Any]) -> str:
    """Drift, residual and start, as far as the sidecar knows them."""
    rows = (
        ("drift_ppm", "drift {:+.1f} ppm"),
        ("drift_error_ppm", "known to {:.1f} ppm"),
        ("residual_p99_ms", "pairing residual {:.2f} ms p99"),
        ("residual_max_ms", "{:.2f} ms at most"),
        ("start_skew_ns", "started {:.0f} ns apart"),
        ("start_apart_ms", "first exposures {:+.2f} ms apart by their clocks"),
    )
    known = [(told.get(key), words) for key, words in rows]
    return ", ".join(words.format(value) for value, words in known if isinstance(value, int | float))


def _reference_radiance(session: Session, seq: int) -> np.ndarray | None:
    from edge.develop.linear import DevelopSettings, develop

    info = session.header.cameras["reference"]
    settings = DevelopSettings(info.black_level, info.white_level, transfer=session.header.transfer)
    for frame in session.frames("reference"):
        if frame.seq == seq:
            return develop(frame.image, frame.pixel_format, settings)
    return None


def _print_summary(session: Session, title: str, console: Console) -> None:
    summary = summarise(session)
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    ended = "as it should" if summary.clean else "torn: the recording was cut off"
    table.add_row("ended", ended)
    table.add_row("duration", f"{summary.seconds:.2f} s")
    table.add_row("frames", f"{summary.reference_frames} reference, {summary.secondary_frames} secondary")
    table.add_row("fused", str(summary.hdr_frames))
    for (stage, cause), count in sorted(summary.drops.items()):
        table.add_row("dropped", f"{count} in {stage}: {cause}")
    if not summary.drops:
        table.add_row("dropped", "none")
    for rung, count in sorted(summary.rungs.items()):
        table.add_row("rung", f"{rung}: {count} frames")
    for name, age in (("low", summary.low_age_ms), ("high", summary.high_age_ms)):
        if age is not None:
            table.add_row(f"{name} age", f"{age[0]:.1f} ms median, {age[1]:.1f} ms p95")
    if summary.clocks is not None:
        table.add_row("clocks", _clock_words(summary.clocks))
    if summary.settings:
        table.add_row("exposure", f"{summary.settings} settings chosen, each with its cause in frames.jsonl")
    table.add_row("flicker", f"{summary.flicker:.5f} of full scale from frame to frame (mu-law)")
    console.print(table)


def _count(session: Session, camera: CameraName) -> int:
    return sum(1 for _ in session.frame_records(camera))


def _spread(ages_ns: Iterable[int | None]) -> tuple[float, float] | None:
    known = [abs(age) / 1e6 for age in ages_ns if age is not None]
    if not known:
        return None
    p50, p95 = np.percentile(known, [50, 95])
    return float(p50), float(p95)


def _flicker(hdr: Sequence[HdrRecord]) -> float:
    gauge = FlickerGauge()
    for record in hdr:
        if record.mean_mu is not None:
            gauge = gauge.step(record.mean_mu)
    return gauge.level
