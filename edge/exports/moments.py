"""Frames of a recording by their time: which ones, from where, and what each was taken with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

import numpy as np

from edge.encode.hdr_read import read_radiances
from edge.engines import open_engine
from edge.errors import EX_DATAERR, TwinhdrError
from edge.frames import Exposure, FloatImage
from edge.refusing.fusion import fuse_planned
from edge.refusing.plan import planned_frames
from edge.refusing.refuse import THREADS
from edge.session.config import session_config
from edge.session.recording import HdrRecord, Session

Source: TypeAlias = Literal["auto", "masters", "video"]
Item = TypeVar("Item")


class NoFramesError(TwinhdrError):
    """A recording has nothing of what was asked for. The text says what it has."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class Span:
    """Every ``every``-th frame from ``begin_s`` to ``end_s`` (None: the end), in seconds of the recording."""

    begin_s: float = 0.0
    end_s: float | None = None
    every: int = 1

    def of(self, items: Sequence[Item], t_s: Callable[[Item], float]) -> list[Item]:
        """The ``items``, in order of time, that lie in the span."""
        end_s = float("inf") if self.end_s is None else self.end_s
        return [item for item in items if self.begin_s <= t_s(item) <= end_s][:: self.every]


@dataclass(frozen=True, slots=True)
class Moment:
    """One fused frame: ``radiance`` (H, W, 3) float32 in the unit of the video, 1.0 = its reference white.

    ``t_s`` counts from the recording's first frame. ``exposure`` is that of the reference frame, if known.
    """

    seq: int
    t_s: float
    radiance: FloatImage
    exposure: Exposure | None
    rung: str
    model: str


class Moments:
    """The frames of one recording, from its masters through the network, or read back from its HDR video.

    ``source`` auto: the masters where there are any. The video is the last refused one, else the live one.
    """

    def __init__(self, session: Session, source: Source = "auto", model: str = "s") -> None:
        self._session = session
        self._model = model
        filmed = next(session.found("reference"), None) if source != "video" else None
        if source == "masters" and filmed is None:
            raise NoFramesError(
                f"{session.path}: has no masters; record with masters.enabled, or use --source video"
            )
        self.source: Source = "video" if filmed is None else "masters"

    def chosen(
        self, span: Span, skip: Callable[[int], bool] = lambda _: False
    ) -> tuple[int, Iterator[Moment]]:
        """How many frames lie in ``span``, and those whose number is not skipped. Raises TwinhdrError."""
        if self.source == "masters":
            return self._from_masters(span, skip)
        return self._from_video(span, skip)

    def nearest(self, t_s: float) -> Moment:
        """The frame nearest to ``t_s`` seconds from the first one. Raises TwinhdrError."""
        times = self._times_s()
        best = min(times, key=lambda time: abs(time - t_s))
        _, found = self.chosen(Span(best - 1e-6, best + 1e-6))
        return next(found)

    def _times_s(self) -> list[float]:
        config = session_config(self._session.header.config, self._session.path)
        if self.source == "masters":
            times = [f.reference.t_ns for f in planned_frames(self._session, config, [])]
        else:
            times = [record.t_ns for record in _records(best_video(self._session))]
        return [(t_ns - times[0]) / 1e9 for t_ns in times]

    def _from_masters(self, span: Span, skip: Callable[[int], bool]) -> tuple[int, Iterator[Moment]]:
        session, info = self._session, self._session.header.cameras["reference"]
        config = session_config(session.header.config, session.path)
        frames = list(planned_frames(session, config, []))
        first_ns = frames[0].reference.t_ns
        wanted = span.of(frames, lambda frame: (frame.reference.t_ns - first_ns) / 1e9)
        missing = [frame for frame in wanted if not skip(frame.reference.seq)]

        def fused() -> Iterator[Moment]:
            if not missing:
                return
            engine = open_engine(self._model, THREADS, (info.height, info.width))
            for item in fuse_planned(session, config, missing, engine):
                hdr, exposure = item.hdr, item.prepared.group.reference.exposure
                shown = hdr.radiance if hdr.scale == 1.0 else hdr.radiance * np.float32(hdr.scale)
                t_s = (hdr.t_ns - first_ns) / 1e9
                yield Moment(hdr.seq, t_s, shown, exposure, hdr.rung.name.lower(), hdr.model)

        return len(wanted), fused()

    def _from_video(self, span: Span, skip: Callable[[int], bool]) -> tuple[int, Iterator[Moment]]:
        video = best_video(self._session)
        records = _records(video)
        first_ns = records[0].t_ns
        wanted = span.of(records, lambda record: (record.t_ns - first_ns) / 1e9)
        missing = [record for record in wanted if not skip(record.seq)]
        exposures = {record.seq: record.exposure for record in self._session.frame_records("reference")}

        def read() -> Iterator[Moment]:
            for record, shown in read_radiances(video, missing):
                t_s, rung = (record.t_ns - first_ns) / 1e9, record.rung.name.lower()
                yield Moment(record.seq, t_s, shown, exposures.get(record.seq), rung, record.model)

        return len(wanted), read()


def best_video(session: Session) -> Session:
    """The refused output with the most frames, and where there is none, the live one."""
    refused = [session.refused(model) for model in session.refused_models()]
    return max(refused, key=lambda video: sum(1 for _ in video.hdr_records()), default=session)


def _records(video: Session) -> list[HdrRecord]:
    records = [record for record in video.hdr_records() if record.file is not None]
    if not records:
        raise NoFramesError(f"{video.path}: no fused frame was recorded; set hdr.enabled or masters.enabled")
    return records
