"""EXR sequences: one file of half floats per frame, as compositing and grading programs take them in.

Values are scene-linear with Rec. 709 primaries in the unit of the video; ``whiteLuminance`` says at how many
cd/m2 the HDR video shows 1.0. Attributes are OpenEXR's standard ones; what it has no name for is called
``twinhdr/...``.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import EX_CANTCREAT, TwinhdrError
from edge.exports.moments import Moment, Moments, Span
from edge.images.imageio import REC709_CHROMATICITIES, replace_atomically
from edge.session.config import session_config
from edge.session.recording import Session

LIST_NAME = "sequence.json"
HALF_MAX = 65504.0


class SequenceError(TwinhdrError):
    """A folder cannot take this sequence. The text says why and what to do."""

    exit_code = EX_CANTCREAT


@dataclass(frozen=True, slots=True)
class Written:
    """``frames`` in the span, of which ``new`` were written now; the others were there."""

    frames: int
    new: int


def write_sequence(
    session: Session,
    moments: Moments,
    span: Span,
    folder: Path,
    *,
    model: str = "s",
    begin: Callable[[int, int], None] = lambda _done, _total: None,
    advance: Callable[[], None] = lambda: None,
) -> Written:
    """Write ``folder``/<session>.<number>.exr; numbers are those of the reference frames.

    A file is complete or not there, so an interrupted export goes on where it stopped. ``begin`` hears how
    many files are there already, and of how many. Raises SequenceError, ImageError and what reading raises.
    """
    name = session.header.session_id or session.masters.name
    _claim(folder, {"session": name, "source": moments.source, "model": model})

    def path(seq: int) -> Path:
        return folder / f"{name}.{seq:06d}.exr"

    present: set[int] = set()

    def skip(seq: int) -> bool:
        there = path(seq).is_file()
        if there:
            present.add(seq)
        return there

    total, found = moments.chosen(span, skip)
    begin(len(present), total)
    common = _common(session)
    new = 0
    for moment in found:
        write_half(path(moment.seq), moment, common | _of(session, moment))
        new += 1
        advance()
    return Written(total, new)


def write_half(path: Path, moment: Moment, attributes: dict[str, Any]) -> None:
    """One file; what a half cannot hold becomes its largest value. Raises ImageError."""
    import OpenEXR

    pixels = np.clip(np.nan_to_num(moment.radiance, nan=0.0), 0.0, HALF_MAX).astype(np.float16)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage} | attributes

    def write(temporary: Path) -> None:
        with OpenEXR.File(header, {"RGB": np.ascontiguousarray(pixels)}) as file:
            file.write(str(temporary))

    replace_atomically(path, write)


def time_code(moment: datetime.datetime, fps: float) -> tuple[int, int, int, int]:
    """Hours, minutes, seconds and frame of SMPTE ST 12-1, without dropped numbers."""
    frame = min(int(moment.microsecond * 1e-6 * fps), max(round(fps) - 1, 0))
    return moment.hour, moment.minute, moment.second, frame


def _common(session: Session) -> dict[str, Any]:
    hdr = session_config(session.header.config, session.path).hdr
    rate = Fraction(1e6 / session.header.cameras["reference"].frame_period_us).limit_denominator(1001)
    return {
        "chromaticities": REC709_CHROMATICITIES,
        "whiteLuminance": float(hdr.reference_white_nits),
        "framesPerSecond": rate,
        "comments": "scene-linear radiance by twinhdr; 1.0 is the reference white of the HDR video",
        "twinhdr/session": session.header.session_id,
        "twinhdr/software": session.header.software,
    }


def _of(session: Session, moment: Moment) -> dict[str, Any]:
    fps = 1e6 / session.header.cameras["reference"].frame_period_us
    taken = _taken(session, moment)
    attributes: dict[str, Any] = {
        "timeCode": _exr_time_code(*time_code(taken, fps)),
        "twinhdr/seq": moment.seq,
        "twinhdr/seconds": moment.t_s,
        "twinhdr/rung": moment.rung,
        "twinhdr/model": moment.model,
    }
    if session.header.started_utc:
        attributes |= {"capDate": taken.strftime("%Y:%m:%d %H:%M:%S"), "utcOffset": 0.0}
    if moment.exposure is not None:
        attributes["expTime"] = moment.exposure.exposure_us / 1e6
        attributes["twinhdr/gain_db"] = moment.exposure.gain_db
    return attributes


def _taken(session: Session, moment: Moment) -> datetime.datetime:
    """UTC where the recording knows when it began, else the time since then."""
    try:
        began = datetime.datetime.fromisoformat(session.header.started_utc)
    except ValueError:
        began = datetime.datetime(2000, 1, 1)
    return began + datetime.timedelta(seconds=moment.t_s)


def _exr_time_code(hours: int, minutes: int, seconds: int, frame: int) -> Any:
    import OpenEXR

    code = OpenEXR.TimeCode()
    code.hours, code.minutes, code.seconds, code.frame = hours, minutes, seconds, frame
    return code


def _claim(folder: Path, what: dict[str, str]) -> None:
    """Make ``folder`` this sequence's; refuse one that holds another."""
    note = folder / LIST_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if note.is_file():
            if json.loads(note.read_text()) != what:
                raise SequenceError(f"{folder}: holds another sequence ({note.name}); name another folder")
            return
        note.write_text(json.dumps(what, indent=2) + "\n")
    except (OSError, ValueError) as error:
        raise SequenceError(f"{folder}: cannot be used: {error}; name another folder") from error
