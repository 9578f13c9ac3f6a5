"""The pixels of raw frames by their records, asked for in nearly rising order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from edge.encode.video_read import DamagedVideoError, read_master
from edge.errors import ImageError
from edge.frames import CameraName, Frame, Image
from edge.session.frames import VIDEO_SUFFIXES, frame_of
from edge.session.recording import FrameRecord, Session
from edge.session.stills import read_counts

KEPT = 8
"""Frames in memory: those of two pairs, taken twice."""


class RawFrames:
    """Frames of one camera. The same record gives the same frame while it is kept. One thread."""

    def __init__(self, session: Session, camera: CameraName, records: Iterator[FrameRecord]) -> None:
        self._folder: Path = session.masters
        self._info = session.header.cameras[camera]
        self._transfer = session.header.transfer
        self._wanted: dict[str, set[int]] = {}
        for record in records:
            self._wanted.setdefault(str(record.file), set()).add(record.index)
        self._kept: OrderedDict[tuple[str, int], Frame | None] = OrderedDict()
        self._file = ""
        self._rest: Iterator[tuple[int, int, Image | DamagedVideoError]] = iter(())

    def frame(self, record: FrameRecord) -> Frame | None:
        """The frame of ``record``, one of those it was made with; None where it cannot be decoded."""
        key = str(record.file), record.index
        if key not in self._kept:
            image = self._image(*key)
            self._kept[key] = None if image is None else frame_of(record, image, self._info)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]

    def _image(self, file: str, index: int) -> Image | None:
        if not file.lower().endswith(VIDEO_SUFFIXES):
            try:
                return read_counts(self._folder / file, self._info, self._transfer)
            except ImageError:
                return None
        image = self._next(index) if file == self._file else None
        if image is None:  # another file, or behind where we are
            self._file = file
            self._rest = read_master(self._folder / file, self._wanted[file].__contains__)
            image = self._next(index)
        return image

    def _next(self, index: int) -> Image | None:
        try:
            for at, _, image in self._rest:
                if at == index:
                    return None if isinstance(image, DamagedVideoError) else image
                if at > index:
                    break
        except DamagedVideoError:
            return None
        return None
