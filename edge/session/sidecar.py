"""``frames.jsonl``: one JSON line per frame and event, appended whole, so that a crash costs the last line.

docs/session.md describes every kind.
"""

from __future__ import annotations

import json
import logging
import math
import threading
from pathlib import Path
from typing import Any

from edge.encode.segments import ClosedSegment, Location
from edge.errors import EX_DATAERR, TwinhdrError
from edge.frames import CameraName, Frame, HdrFrame, Rung
from edge.store.gate import DiskGate
from edge.store.lines import LineFeeder, LineFile
from edge.tone.hdr_metadata import FrameLight

FILE_NAME = "frames.jsonl"

log = logging.getLogger(__name__)


class SessionError(TwinhdrError):
    """A recording cannot be read or written. The text names file, line, cause and what to do next."""

    exit_code = EX_DATAERR


class SidecarWriter:
    """Appends records. Every method may be called from any thread.

    With a ``gate`` (a live recording) no method waits for the disk or raises, ``end`` apart: lines go to a
    thread, and while the gate is closed the lines of frames are left out, for their pixels are not kept
    either. Without one, each line has reached the kernel when the method returns, and each method raises
    SessionError on a full disk. After ``end`` or ``close`` further records are ignored: a stage that ends
    late must not fail for it.
    """

    def __init__(self, path: Path, *, sync_s: float | None = 1.0, gate: DiskGate | None = None) -> None:
        self._path = path
        self._gate = gate
        self._lock = threading.Lock()
        self._closed = False
        try:
            self._out = LineFile(path, sync_s) if gate is None else LineFeeder(path, sync_s, gate)
        except OSError as error:
            raise _unwritable(path, error) from error

    def start(self, origin_ns: int) -> None:
        """The session's zero of time on the reference camera's clock: video times count from here."""
        line = self.event("start", origin_ns=origin_ns)
        if isinstance(self._out, LineFeeder):
            self._out.first = line

    def frame(self, frame: Frame, t_ns: int, at: Location | None) -> None:
        """A raw frame: ``t_ns`` on the reference clock, ``at`` None where no master is kept."""
        if self._gate is not None and self._gate.blocked is not None:
            return
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
        """A fused frame, its mean luminance (radiance) and mean mu-law luminance (``edge.judge.flicker``)."""
        if self._gate is not None and self._gate.blocked is not None:
            return
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

    def event(self, kind: str, **fields: Any) -> bytes:
        """Any line, returned as written. Values are JSON's and numpy's scalars; NaN, infinity become null."""
        record = {"kind": kind} | {key: _plain(value) for key, value in fields.items()}
        line = json.dumps(record, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        with self._lock:
            if not self._closed:
                try:
                    self._out.write(line)
                except OSError as error:
                    raise _unwritable(self._path, error) from error
        return line

    def end(self) -> None:
        """The recording ended as it should: say so, and close. Raises SessionError where that is lost."""
        self.event("end")
        try:
            self._close()
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def close(self) -> None:
        """Close without ``end``. May be called twice."""
        try:
            self._close()
        except OSError as error:
            log.warning("%s: %s", self._path, error.strerror or error)

    def _close(self) -> None:
        with self._lock:
            self._closed = True
        self._out.close()


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
        f"{path}: cannot be written: {error.strerror or error}; free space or choose another folder "
        "(store.root)"
    )
