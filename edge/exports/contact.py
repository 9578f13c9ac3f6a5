"""The contact picture: what a recording shows, at one glance, as ``contact.jpg`` in its folder.

Frames spread over its length, tone-mapped, each with its time and rung; below them the reference, low and
high exposure of one group and what was made of them. While recording it is gathered by the viewer's thread
from pictures that it has anyway; ``contact_picture`` makes it for recordings that have none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from edge.encode.hdr_read import read_radiances
from edge.errors import TwinhdrError
from edge.frames import CameraName, FloatImage
from edge.fuse.line import Fused
from edge.images.imageio import replace_atomically
from edge.images.panel import labelled_row, stacked
from edge.session.recording import HdrRecord, Session
from edge.tone.sdr import Rgb8, SdrPreview, to_jpeg

NAME = "contact.jpg"
FRAMES = 12
COLUMNS = 4
WIDTH = 240
QUALITY = 85

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture and the words above it."""

    words: str
    picture: Rgb8


class ContactSheet:
    """Gathers while a recording runs. One thread.

    It keeps at most twice as many frames as it shows: when that is full every second one goes, and the next
    are taken half as often. So an hour costs no more memory than a minute.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._preview = SdrPreview(WIDTH)
        self._frames: list[tuple[int, str, Rgb8]] = []
        self._group: list[Thumbnail] = []
        self._every_ns = 1_000_000_000
        self._last_ns: int | None = None
        self._told_ns: int | None = None

    def take(self, fused: Fused) -> None:
        """Look at one frame, in order of time; most are passed over at no cost."""
        hdr = fused.hdr
        if self._last_ns is not None and hdr.t_ns - self._last_ns < self._every_ns:
            return
        self._last_ns = hdr.t_ns
        shown = hdr.radiance if hdr.scale == 1.0 else hdr.radiance * np.float32(hdr.scale)
        picture = self._preview.render(shown, hdr.t_ns)
        if fused.prepared.low is not None and fused.prepared.high is not None and not self._group:
            self._group = self._exposures(fused, picture)
        self._frames.append((hdr.t_ns, hdr.rung.name.lower(), picture))
        if len(self._frames) >= 2 * FRAMES:
            del self._frames[1::2]
            self._every_ns *= 2

    def write(self) -> Path | None:
        """Write what was gathered so far, None where that is nothing. Raises ImageError."""
        picture = self.render()
        return None if picture is None else save_sheet(self._folder, picture)

    def render(self) -> Rgb8 | None:
        """What was gathered so far, None where that is nothing. Without a disk."""
        if not self._frames:
            return None
        begin_ns = self._frames[0][0]
        thumbs = [Thumbnail(_words((t_ns - begin_ns) / 1e9, rung), p) for t_ns, rung, p in self._frames]
        self._told_ns = self._length_ns  # also where the disk refuses: it is asked again much later
        return compose(_spread(thumbs), self._group)

    @property
    def due(self) -> bool:
        """Whether to write it now: at the first frame, and whenever the recording is twice as long.

        A recording that ends by force then has a picture of half of it at least, for a few writes an hour.
        """
        if not self._frames:
            return False
        return self._told_ns is None or self._length_ns >= max(2 * self._told_ns, 1)

    @property
    def _length_ns(self) -> int:
        return self._frames[-1][0] - self._frames[0][0]

    def _exposures(self, fused: Fused, picture: Rgb8) -> list[Thumbnail]:
        prepared = fused.prepared
        exposures = (("low", prepared.low), ("reference", prepared.reference), ("high", prepared.high))
        row = [
            Thumbnail(name, self._preview.render_like_last(image * np.float32(fused.hdr.scale)))
            for name, image in exposures
            if image is not None
        ]
        return [*row, Thumbnail("fused", picture)]


def save_sheet(folder: Path, picture: Rgb8) -> Path:
    """Write a rendered sheet into a session's folder. Raises ImageError."""
    out = folder / NAME
    _write(out, picture)
    return out


def contact_picture(session: Path) -> Path | None:
    """The contact picture of the recording in ``session``: the one that is there, else a new one.

    None where the recording has no fused frame that can be read. Raises SessionError where there is no
    recording, and ImageError where the picture cannot be written.
    """
    out = session / NAME
    return out if out.is_file() else make_contact_picture(session)


def make_contact_picture(session: Path) -> Path | None:
    """The same, made anew: a few seconds, as every file is decoded up to the last frame it needs."""
    opened = Session.open(session)
    records = [record for record in opened.hdr_records() if record.file is not None]
    if not records:
        return None
    begin_ns, chosen = records[0].t_ns, _spread(records)
    preview = SdrPreview(WIDTH)
    thumbs: list[Thumbnail] = []
    group: list[Thumbnail] = []
    try:
        for record, shown in read_radiances(opened, chosen):
            picture = preview.render(shown, record.t_ns)
            thumbs.append(
                Thumbnail(_words((record.t_ns - begin_ns) / 1e9, record.rung.name.lower()), picture)
            )
            if len(thumbs) == 1:
                group = _exposures_of(opened, record, preview, picture)
    except TwinhdrError:
        if not thumbs:  # a torn file costs the frames behind the tear, not the picture
            return None
    out = session / NAME
    _write(out, compose(thumbs, group))
    return out


def compose(frames: Sequence[Thumbnail], group: Sequence[Thumbnail]) -> Rgb8:
    """Frames in rows, and below them the group. Raises ValueError on no frames."""
    rows = [frames[i : i + COLUMNS] for i in range(0, len(frames), COLUMNS)]
    return stacked([labelled_row([(t.words, t.picture) for t in row]) for row in (*rows, group) if row])


def _exposures_of(session: Session, record: HdrRecord, preview: SdrPreview, fused: Rgb8) -> list[Thumbnail]:
    """Low, reference and high of one fused frame from the masters; empty where they were not kept."""
    from edge.develop.linear import DevelopSettings, develop
    from edge.refusing.images import RawFrames

    row: list[Thumbnail] = []
    exposures: tuple[tuple[str, CameraName, int | None], ...] = (
        ("low", "secondary", record.low_seq),
        ("reference", "reference", record.seq),
        ("high", "secondary", record.high_seq),
    )
    for name, camera, seq in exposures:
        info = session.header.cameras[camera]
        found = next((r for r in session.frame_records(camera) if r.seq == seq and r.file), None)
        frame = None if found is None else RawFrames(session, camera, iter([found])).frame(found)
        if frame is None:
            return []
        settings = DevelopSettings(info.black_level, info.white_level, transfer=session.header.transfer)
        image: FloatImage = develop(frame.image, frame.pixel_format, settings)
        row.append(Thumbnail(name, preview.render_like_last(image * np.float32(record.scale))))
    return [*row, Thumbnail("fused", fused)]


def _spread(items: Sequence[Item]) -> list[Item]:
    """``FRAMES`` of ``items``, the first and last included, evenly between."""
    count = min(FRAMES, len(items))
    step = (len(items) - 1) / max(count - 1, 1)
    return [items[round(i * step)] for i in range(count)]


def _words(t_s: float, rung: str) -> str:
    minutes, seconds = divmod(t_s, 60.0)
    return f"{math.floor(minutes)}:{seconds:04.1f} {rung.replace('_', ' ')}"


def _write(path: Path, picture: Rgb8) -> None:
    data = to_jpeg(picture, QUALITY)

    def write(temporary: Path) -> None:
        temporary.write_bytes(data)

    replace_atomically(path, write)
