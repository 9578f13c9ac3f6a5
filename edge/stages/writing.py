"""The stages that write: masters of each camera, and the HDR video. Each thread has a file of its own."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

from edge.config.schema import Config
from edge.encode.masters import MasterSettings, MasterWriter
from edge.encode.recorder import SAMPLE_STEP, HdrRecorder
from edge.frames import CameraName
from edge.fuse.line import Fused
from edge.fuse.stopwatch import Stopwatch
from edge.judge.flicker import mean_mu_luminance
from edge.pair import Stamped
from edge.stages.parts import Parts
from edge.stages.rings import Rings, each
from edge.supervise.crew import Turn
from edge.supervise.pulse import Progress


class Writing:
    """Who comes after a writer that hangs or failed begins a new file; the one before opens none any more."""

    def __init__(self, parts: Parts, rings: Rings, progress: Progress, watch: Stopwatch) -> None:
        self._parts = parts
        self._rings = rings
        self._progress = progress
        self._watch = watch
        self._video: HdrRecorder | None = None

    def configure(self, config: Config) -> None:
        """Preset and quality of the HDR video, from the next file on. Any thread."""
        self._parts = replace(self._parts, config=config)
        if self._video is not None:
            self._video.configure(config.hdr)

    def masters(self, name: CameraName, turn: Turn) -> None:
        """Every raw frame of one camera, bit for bit."""
        rig, config = self._parts.opened.rig, self._parts.config
        info = (rig.reference if name == "reference" else rig.secondary).info
        settings = MasterSettings(
            segment_s=config.masters.segment_s,
            segment_bytes=config.masters.segment_mb * 1_000_000,
            sync_s=config.hdr.sync_s,
        )
        session, closed = self._parts.session, self._parts.reporter.segment_closed
        writer = MasterWriter.of(session.path, info, settings, closed, session.gate)
        turn.when_over(writer.retire)
        try:
            each(self._rings.masters[name], turn, partial(self._master, writer, turn), self._master_lost)
        finally:
            writer.close()

    def _master(self, writer: MasterWriter, turn: Turn, item: Stamped) -> None:
        with self._watch.stage("masters"):
            location = writer.write(item.frame, item.t_ns)
        turn.check()
        if location is None:  # the disk does not take it, and its gate has counted that
            return
        self._parts.session.sidecar.frame(item.frame, item.t_ns, location)
        if item.frame.camera == "reference":
            self._progress.recorded(time.monotonic())

    def _master_lost(self, item: Stamped, cause: str) -> None:
        self._parts.reporter.stage_drop("masters", cause, item.frame.seq, item.frame.camera)

    def _video_lost(self, fused: Fused, cause: str) -> None:
        self._parts.reporter.stage_drop("encode", cause, fused.hdr.seq, "reference")

    def video(self, turn: Turn) -> None:
        """Fused frames to HDR video. Without it (hdr.enabled) they are only counted."""
        recorder = self._video = self._recorder() if self._parts.config.hdr.enabled else None
        if recorder is None:
            each(self._rings.hdr, turn, lambda _fused: None)
            return
        turn.when_over(recorder.retire)
        try:
            each(self._rings.hdr, turn, partial(self._encode, recorder, turn), self._video_lost)
        finally:
            # Here and not in the main thread: an encoder must never be closed while it is being written to.
            recorder.close()

    def _encode(self, recorder: HdrRecorder, turn: Turn, fused: Fused) -> None:
        mean_mu = recorder.write(fused.hdr)
        turn.check()
        gate = self._parts.session.gate
        if not self._rings.masters and (gate is None or gate.blocked is None):
            self._progress.recorded(time.monotonic())
        self._parts.reporter.luminance("fused", mean_mu)
        reference = fused.prepared.reference
        with self._watch.stage("measure"):
            mean_mu = mean_mu_luminance(reference, self._parts.opened.full_scale, SAMPLE_STEP)
        self._parts.reporter.luminance("reference", mean_mu)

    def _recorder(self) -> HdrRecorder:
        parts, info = self._parts, self._parts.opened.rig.reference.info
        return HdrRecorder(
            parts.session,
            parts.config.hdr,
            width=info.width,
            height=info.height,
            fps=1e6 / info.frame_period_us,
            origin_ns=0,
            full_scale=parts.opened.full_scale,
            watch=self._watch,
            on_segment=parts.reporter.segment_closed,
        )
