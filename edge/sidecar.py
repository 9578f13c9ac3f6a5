"""``frames.jsonl``: one JSON line per frame and event, appended whole, so that a crash costs the last line.

Each line goes to the kernel in one write before the call returns. docs/session.md describes every kind.
"""

from __future__ import annotations

import json
import math
import os
import threading
from pathlib import Path
from typing import Any

from edge.errors import EX_DATAERR, TwinhdrError
from edge.frames import CameraName, Frame, HdrFrame, Rung
from edge.hdr_metadata import FrameLight
from edge.segments import ClosedSegment, Location
from edge.sink import DiskSync
from edge.store.lock import hold

FILE_NAME = "frames.jsonl"


class SessionError(TwinhdrError):
    """A recording cannot be read or written. The text names file, line, cause and what to do next."""

    exit_code = EX_DATAERR


class SidecarWriter:
    """Appends records. Every method may be called from any thread; each raises SessionError on a full disk.

    After ``end`` or ``close`` further records are ignored: a stage that ends late must not fail for it.
    """

    def __init__(self, path: Path, *, sync_s: float | None = 1.0) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _unwritable(path, error) from error
        hold(self._fd)
        self._sync = DiskSync(sync_s)
        self._sync.watch(self._fd)

    def start(self, origin_ns: int) -> None:
        """The session's zero of time on the reference camera's clock: video times count from here."""
        self.event("start", origin_ns=origin_ns)

    def frame(self, frame: Frame, t_ns: int, at: Location | None) -> None:
        """A raw frame: ``t_ns`` on the reference clock, ``at`` None where no master is kept."""
        self.event(
            frame.camera,
            seq=frame.seq,
            t_ns=t_ns,
            t_device_ns=frame.t_device_ns,
            t_host_ns=frame.t_host_ns,
            exposure_us=frame.exposure.exposure_us,
            gain_db=frame.exposure.gain_db,
            status=frame.status.value,
            **_place(at),
        )

    def hdr(
        self,
        hdr: HdrFrame,
        at: Location | None,
        *,
        mean_luminance: float,
        mean_mu: float,
        light: FrameLight | None = None,
    ) -> None:
        """A fused frame, its mean luminance (radiance) and mean mu-law luminance (``edge.flicker``)."""
        shown = {} if light is None else {"peak_nits": light.peak_nits, "average_nits": light.average_nits}
        if hdr.scale != 1.0:
            shown["scale"] = hdr.scale
        self.event(
            "hdr",
            seq=hdr.seq,
            t_ns=hdr.t_ns,
            rung=hdr.rung.name.lower(),
            model=hdr.model,
            low_seq=hdr.low_seq,
            high_seq=hdr.high_seq,
            low_age_ns=hdr.low_age_ns,
            high_age_ns=hdr.high_age_ns,
            mean_luminance=mean_luminance,
            mean_mu=mean_mu,
            **shown,
            **_place(at),
        )

    def drop(
        self,
        stage: str,
        cause: str,
        *,
        camera: CameraName | None = None,
        seq: int | None = None,
        count: int = 1,
    ) -> None:
        """``count`` frames from ``seq`` on were lost in ``stage``."""
        self.event("drop", stage=stage, cause=cause, camera=camera, seq=seq, count=count)

    def rung(self, t_ns: int, rung: Rung, cause: str) -> None:
        """The ladder moved to ``rung``."""
        self.event("rung", t_ns=t_ns, rung=rung.name.lower(), cause=cause)

    def segment(self, closed: ClosedSegment) -> None:
        """A file is complete."""
        light = closed.light
        measured = {} if light is None else {"max_cll": light.max_cll, "max_fall": light.max_fall}
        self.event(
            "segment",
            stream=closed.stream,
            file=closed.file,
            frames=closed.frames,
            size_bytes=closed.size_bytes,
            first_t_ns=closed.first_t_ns,
            last_t_ns=closed.last_t_ns,
            **measured,
        )

    def event(self, kind: str, **fields: Any) -> None:
        """Any line. Values are JSON's, and numpy's scalars; a number that is not finite becomes null."""
        record = {"kind": kind} | {key: _plain(value) for key, value in fields.items()}
        line = json.dumps(record, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        with self._lock:
            if self._fd < 0:
                return
            try:
                self._sync.check()
                written = os.write(self._fd, line)
                if written < len(line):  # a disk that is filling up: the rest would raise ENOSPC
                    os.write(self._fd, line[written:])
            except OSError as error:
                raise _unwritable(self._path, error) from error

    def end(self) -> None:
        """The recording ended as it should: say so, and close."""
        self.event("end")
        self.close()

    def close(self) -> None:
        """Close without ``end``. May be called twice."""
        self._sync.close()
        with self._lock:
            fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _place(at: Location | None) -> dict[str, Any]:
    return {} if at is None else {"file": at.file, "index": at.index}


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _unwritable(path: Path, error: OSError) -> SessionError:
    return SessionError(
        f"{path}: cannot be written: {error.strerror}; free space or choose another folder (store.root)"
    )
