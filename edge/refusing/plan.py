"""The plan: which frames make each fused frame and how bright it is shown, and where one file ends.

It needs no pixels. Masters are read once for their checksums, so that a damaged frame is missed here and
not in the middle of the work.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.config.schema import Config
from edge.engines import model_path
from edge.exposure.anchor import Anchor
from edge.frames import CameraName, Frame, Group
from edge.pair import Pairer, Stamped
from edge.session.config import session_config
from edge.session.frames import frame_of
from edge.session.recording import HEADER_NAME, FrameRecord, Session, SessionError

VERSION = 1
"""Of what a task computes: a change of it makes finished segments of an interrupted run worthless."""


@dataclass(frozen=True, slots=True)
class PlannedFrame:
    """One fused frame: the raw frames it is made of, their ages, and the scale it is shown at."""

    reference: FrameRecord
    low: FrameRecord | None
    high: FrameRecord | None
    low_age_ns: int | None
    high_age_ns: int | None
    scale: float


@dataclass(frozen=True, slots=True)
class Plan:
    """``segments`` of one file each; ``drops``: (cause, sequence number) of secondary frames not used.

    ``key`` names everything that the output depends on, but for the kind of processor.
    """

    segments: tuple[tuple[PlannedFrame, ...], ...]
    drops: tuple[tuple[str, int], ...]
    key: str

    @property
    def frames(self) -> int:
        return sum(len(segment) for segment in self.segments)


def make_plan(session: Session, model: str, threads: int) -> Plan:
    """The plan for fusing ``session`` with ``model`` on so many ``threads``. Raises SessionError,
    EngineError."""
    config = session_config(session.header.config, session.path)
    drops: list[tuple[str, int]] = []
    frames = list(planned_frames(session, config, drops))
    if not frames:
        raise SessionError(
            f"{session.path}: no reference frame can be read; only a session recorded with "
            "masters.enabled can be fused again"
        )
    fps = 1e6 / session.header.cameras["reference"].frame_period_us
    segments = tuple(cut(frames, config.hdr.segment_s, fps))
    return Plan(segments, tuple(drops), _key(session, model, threads, segments))


def planned_frames(session: Session, config: Config, drops: list[tuple[str, int]]) -> Iterator[PlannedFrame]:
    """Every fused frame of a recording in order; secondary frames that cannot serve go to ``drops``."""
    pairer = Pairer(round(config.pair.max_age_ms * 1e6), None)
    anchor = Anchor(config.exposure.reference.ev_per_s, config.exposure.reference.ev_per_frame)
    records: dict[int, tuple[FrameRecord, Frame]] = {}

    def planned(groups: Iterable[Group]) -> Iterator[PlannedFrame]:
        nonlocal anchor
        for group in groups:
            anchor = anchor.step(group.reference.exposure, group.t_ns)
            yield PlannedFrame(
                records[id(group.reference)][0],
                None if group.low is None else records[id(group.low)][0],
                None if group.high is None else records[id(group.high)][0],
                group.low_age_ns,
                group.high_age_ns,
                anchor.scale(group.reference.exposure),
            )

    for record, item in _in_order(session):
        records[id(item.frame)] = record, item.frame  # kept alive with its record, or its id would be reused
        drops += [(cause, frame.seq) for cause, frame in pairer.add(item, item.t_ns)]
        yield from planned(pairer.groups(item.t_ns))
    yield from planned(pairer.flush())


def cut(frames: Sequence[PlannedFrame], segment_s: float, fps: float) -> Iterator[tuple[PlannedFrame, ...]]:
    """Runs of frames of ``segment_s`` each, as the recorder cuts them (``edge.encode.segments``)."""
    length_ns = round((segment_s - 0.5 / fps) * 1e9)
    begin = 0
    for i, frame in enumerate(frames):
        if frame.reference.t_ns - frames[begin].reference.t_ns >= length_ns:
            yield tuple(frames[begin:i])
            begin = i
    yield tuple(frames[begin:])


def _in_order(session: Session) -> Iterator[tuple[FrameRecord, Stamped]]:
    empty = np.empty((0, 0), np.uint8)

    def stamped(camera: CameraName) -> Iterator[tuple[FrameRecord, Stamped]]:
        info = session.header.cameras[camera]
        for record in session.found(camera):
            if record.status == "ok":
                yield record, Stamped(frame_of(record, empty, info), record.t_ns)

    return heapq.merge(stamped("reference"), stamped("secondary"), key=lambda item: item[1].t_ns)


def _key(session: Session, model: str, threads: int, segments: Sequence[Sequence[PlannedFrame]]) -> str:
    digest = hashlib.sha256(f"{VERSION} {threads}".encode())
    digest.update((session.masters / HEADER_NAME).read_bytes())
    digest.update(Path(model_path(model)).read_bytes())
    for segment in segments:
        digest.update(repr(segment).encode())
    return digest.hexdigest()
