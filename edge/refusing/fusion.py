"""Planned frames to radiance: the device's own stages, without its pairing, its ladder and its deadline."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import cv2

from edge.config.schema import Config
from edge.develop.prepare import Preparer
from edge.engines import Engine
from edge.frames import Group, Rung
from edge.fuse.assembly import aligner_of, develop_settings
from edge.fuse.fuser import Fuser
from edge.fuse.line import Fused
from edge.fuse.stopwatch import untimed
from edge.refusing.images import RawFrames
from edge.refusing.plan import PlannedFrame
from edge.register.rectify import Calibration, Rectifier, identity, parse_calibration
from edge.session.recording import FrameRecord, Session
from edge.tone.tonemap import video_format

STRIPES = 4
"""OpenCV's optical flow cuts the picture into as many stripes as it has threads, and what it finds depends on
where it cuts. So the number is fixed, whatever the machine."""


def fuse_planned(
    session: Session, config: Config, frames: Sequence[PlannedFrame], engine: Engine
) -> Iterator[Fused]:
    """Fuse ``frames`` in order, every one with the network where it has a pair; each depends on no other.

    A reference frame that cannot be decoded is left out. Raises EngineError.
    """
    source = _Groups(session, frames)
    cameras, transfer = session.header.cameras, session.header.transfer
    preparer = Preparer(
        develop_settings(config, cameras["reference"], transfer, offline=True),
        develop_settings(config, cameras["secondary"], transfer, offline=True),
        Rectifier(_calibration(session)),
        untimed(),
    )
    video = video_format(config.hdr) if config.hdr.enabled else None
    fuser = Fuser({Rung.MODEL: engine}, aligner_of(config, offline=True), video)
    for frame in frames:
        with fixed_stripes():
            group = source.group(frame)
            if group is None:
                continue
            prepared = preparer.prepare(group)
            hdr = fuser.fuse(prepared, Rung.MODEL)
        yield Fused(prepared, hdr if frame.scale == 1.0 else replace(hdr, scale=frame.scale))


@contextlib.contextmanager
def fixed_stripes() -> Iterator[None]:
    """OpenCV with ``STRIPES`` threads, which changes nothing that is called outside."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(STRIPES)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


class _Groups:
    """Groups with pixels from planned ones."""

    def __init__(self, session: Session, frames: Sequence[PlannedFrame]) -> None:
        secondary = (record for frame in frames for record in (frame.low, frame.high) if record is not None)
        self._reference = RawFrames(session, "reference", (frame.reference for frame in frames))
        self._secondary = RawFrames(session, "secondary", iter(_in_order(secondary)))

    def group(self, planned: PlannedFrame) -> Group | None:
        reference = self._reference.frame(planned.reference)
        if reference is None:
            return None
        # The earlier of both first: files are read forwards.
        for record in _in_order(r for r in (planned.low, planned.high) if r is not None):
            self._secondary.frame(record)
        low = None if planned.low is None else self._secondary.frame(planned.low)
        high = None if planned.high is None else self._secondary.frame(planned.high)
        return Group(
            planned.reference.t_ns,
            reference,
            low,
            high,
            None if low is None else planned.low_age_ns,
            None if high is None else planned.high_age_ns,
        )


def _in_order(records: Iterable[FrameRecord]) -> list[FrameRecord]:
    return sorted(records, key=lambda record: record.t_ns)


def _calibration(session: Session) -> Calibration:
    info, stored = session.header.cameras["reference"], session.header.calibration
    if stored is None:
        return identity(info.width, info.height)
    return parse_calibration(stored, f"{session.path}/session.json: calibration")
