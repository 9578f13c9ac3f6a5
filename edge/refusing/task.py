"""One segment of one recording: the unit of work that is done once, anywhere, and gives the same bytes.

x265 writes other streams with worker threads than without, so it runs without. The result appears as a whole
folder under the segment's number, or not at all; whoever comes second finds it and lets his own go.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.encode.recorder import HdrRecorder
from edge.engines import open_engine
from edge.errors import TwinhdrError
from edge.fuse.assembly import aligner_of
from edge.fuse.line import Fused
from edge.fuse.stopwatch import untimed
from edge.refusing.fusion import fuse_planned
from edge.refusing.plan import PlannedFrame
from edge.session.config import session_config
from edge.session.recording import Session, SessionHeader, SessionWriteError, SessionWriter
from edge.session.sidecar import FILE_NAME, SidecarWriter

ENCODER_THREADS = 1
_ENDLESS = 1e6
"""The plan cuts, not the recorder."""


@dataclass(frozen=True, slots=True)
class SegmentTask:
    """``session`` and ``work``, the folder of finished segments, are paths that every machine can reach."""

    session: str
    work: str
    model: str
    threads: int
    number: int
    frames: tuple[PlannedFrame, ...]

    @property
    def folder(self) -> Path:
        """Where the result is, once it is there."""
        return Path(self.work) / f"{self.number:06d}"

    @property
    def done(self) -> bool:
        return self.folder.is_dir()


@dataclass(frozen=True, slots=True)
class TaskDone:
    """``error``: what a person can repair, empty where all went well."""

    number: int
    frames: int
    error: str = ""
    notes: tuple[str, ...] = ()


def full_scale(header: SessionHeader) -> float:
    """The radiance that saturates the darkest exposure of a session."""
    unit = header.exposures["reference"][0].light
    return max(unit / exposure.light for exposure in header.exposures["secondary"])


def run_task(task: SegmentTask, on_fused: Callable[[Fused], None] = lambda _: None) -> TaskDone:
    """Do ``task`` and keep its result. ``on_fused`` sees each frame with its images. Raises TwinhdrError."""
    session = Session.open(Path(task.session))
    config = session_config(session.header.config, session.path)
    info = session.header.cameras["reference"]
    notes: list[str] = []
    aligned = aligner_of(config, offline=True) is not None
    engine = open_engine(
        task.model, task.threads, (info.height, info.width), aligned=aligned, tell=notes.append
    )
    with _scratch(task) as folder:
        sidecar = SidecarWriter(folder / FILE_NAME, sync_s=None)
        recorder = HdrRecorder(
            SessionWriter(folder, sidecar),
            config.hdr.model_copy(
                update={"segment_s": _ENDLESS, "segment_mb": round(_ENDLESS), "sync_s": None}
            ),
            width=info.width,
            height=info.height,
            fps=1e6 / info.frame_period_us,
            origin_ns=session.origin_ns,
            full_scale=full_scale(session.header),
            watch=untimed(),
            on_segment=sidecar.segment,
            threads=ENCODER_THREADS,
        )
        count = 0
        try:
            for fused in fuse_planned(session, config, task.frames, engine):
                recorder.write(fused.hdr)
                count += 1
                on_fused(fused)
        finally:
            recorder.close()
            sidecar.close()
    return TaskDone(task.number, count, notes=tuple(notes))


def try_task(task: SegmentTask, on_fused: Callable[[Fused], None] = lambda _: None) -> TaskDone:
    """The same where other tasks go on and errors may have to travel: they come as text."""
    try:
        return run_task(task, on_fused)
    except TwinhdrError as error:
        return TaskDone(task.number, 0, str(error))


@contextlib.contextmanager
def _scratch(task: SegmentTask) -> Iterator[Path]:
    """A folder that becomes ``task.folder`` when its work is done, and vanishes when that fails."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"{task.number:06d}.", dir=task.work))
    except OSError as error:
        raise SessionWriteError(
            f"{task.work}: cannot be written: {error.strerror}; make the session writable or copy it"
        ) from error
    try:
        yield folder
        for path in folder.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        with contextlib.suppress(OSError):  # not empty: another worker was first, with the same bytes
            folder.rename(task.folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
