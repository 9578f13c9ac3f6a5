"""The stages of a recording and the rings between them.

One thread a stage, one bounded ring between two stages:

    capture --+--> masters            (first, and on its own)
              +--> fusion line --+--> recorder
                                 +--> viewer   (newest picture only)
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from edge.assembly import Reports, build_line
from edge.capture import Intake, read_in_order, read_live
from edge.config_schema import Config
from edge.crew import Crew
from edge.exposure.report import steered
from edge.flicker import mean_mu_luminance
from edge.frames import CameraName
from edge.ladder_plan import Fusion
from edge.line import Fused, FusionLine
from edge.masters import MasterSettings, MasterWriter
from edge.pair import Stamped
from edge.preview import PreviewHub
from edge.recorder import SAMPLE_STEP, HdrRecorder
from edge.report import Reporter
from edge.rig import OpenRig
from edge.ring import Closed, Ring
from edge.session import SessionWriter
from edge.stopwatch import Stopwatch
from edge.viewer import Viewer
from hw.camera import Camera, CameraLostError

log = logging.getLogger(__name__)

T = TypeVar("T")

LIVE_RING = 32
"""About a second of frames: what a busy disk or a short stall may hold up without a loss."""
HDR_RING = 8
"""Fused frames are 12 MB each at 960x540."""
WAITING_RING = 6
"""A source that can wait fills every ring; what is in them has to be finished when it is told to stop."""
STAGE_LIMIT_S = 10.0
POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class Parts:
    """What a recording is put together from."""

    config: Config
    opened: OpenRig
    fusion: Fusion
    session: SessionWriter
    reporter: Reporter
    hub: PreviewHub


class Daemon:
    """One recording, from arming the cameras to closing the files. Use once.

    ``duration_s`` is session time: a simulation slower than real time still records so many frames.
    """

    def __init__(self, parts: Parts, duration_s: float | None = None) -> None:
        self._parts = parts
        self._duration_ns = None if duration_s is None else round(duration_s * 1e9)
        self.stopping = threading.Event()
        self._hurrying = threading.Event()
        self._crew = Crew(self.stopping, parts.reporter.health)
        report, depth = parts.reporter, WAITING_RING if parts.opened.can_wait else LIVE_RING
        self._watch = Stopwatch(
            time.monotonic_ns, lambda stage, ms: report.health.observe("stage_ms", ms, stage)
        )
        self.intake = Intake(self._stamped, report.camera_drop)
        self._frames: Ring[Stamped] = Ring(
            "frames", depth, lambda s: report.stage_drop("fuse", "too_slow", s.frame.seq, s.frame.camera)
        )
        self._hdr: Ring[Fused] = Ring(
            "hdr",
            min(depth, HDR_RING),
            lambda f: report.stage_drop("encode", "too_slow", f.hdr.seq, "reference"),
        )
        self._pictures: Ring[Fused] = Ring("pictures", 1, lambda _: None)
        self._masters = self._master_rings(depth) if parts.config.masters.enabled else {}
        self._viewer = Viewer(parts.config.preview, parts.hub, report.health, self._watch)
        self._steering = steered(parts.config, parts.opened, report.health, report.sidecar)
        self.line = self._fusion_line()
        self._recorder = self._hdr_recorder() if parts.config.hdr.enabled else None

    def run(self, every_second: Callable[[], bool]) -> None:
        """Record until the duration is over, ``stopping`` is set, or ``every_second`` returns False.

        A stage that fails ends the recording in good order; its error is raised at the end.
        """
        rig, sidecar = self._parts.opened.rig, self._parts.session.sidecar
        rig.reference.set_exposures([self._parts.opened.reference_exposure])
        rig.secondary.set_exposures(self._parts.opened.secondary_exposures)
        sidecar.start(0)
        self._start_stages()
        try:
            rig.reference.start()
            rig.secondary.start()
            self._parts.reporter.clock.start(rig.trigger)
            while not self.stopping.wait(1.0):
                self._publish_rings()
                if not every_second():
                    self.stopping.set()
        finally:
            self._end()
        if self._crew.failure is not None:
            raise self._crew.failure
        self._parts.reporter.clocks(self.intake, last=True)

    def stop(self) -> None:
        """Ask for the end, soon: what waits for fusion goes on the merge. Safe in a signal handler."""
        self._hurrying.set()
        self.stopping.set()

    def _end(self) -> None:
        """Stop filming, let every stage finish what it holds, in the order of the way of a frame."""
        self.stopping.set()
        rig = self._parts.opened.rig
        for stop in (rig.reference.stop, rig.secondary.stop, rig.trigger.stop):
            stop()
        self._crew.join("capture")
        self._steering.close()
        for ring in (self._frames, *self._masters.values()):
            ring.close()
        self._crew.join("fuse")
        self._hdr.close()
        self._pictures.close()
        self._crew.join()

    # set-up

    def _fusion_line(self) -> FusionLine:
        parts, report = self._parts, self._parts.reporter
        return build_line(
            parts.config,
            parts.opened.as_source(),
            parts.fusion.engines,
            parts.fusion.plan,
            wait_ns=round(parts.config.pair.wait_ms * 1e6),
            watch=self._watch,
            reports=Reports(
                partial(report.stage_drop, "pair", camera="secondary"),
                report.rung_changed,
                report.rung_failed,
            ),
        )

    def _hdr_recorder(self) -> HdrRecorder:
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

    def _master_rings(self, depth: int) -> dict[CameraName, Ring[Stamped]]:
        drop = self._parts.reporter.stage_drop
        names: tuple[CameraName, ...] = ("reference", "secondary")
        return {
            name: Ring(name, depth, lambda s: drop("masters", "too_slow", s.frame.seq, s.frame.camera))
            for name in names
        }

    def _start_stages(self) -> None:
        rig, start = self._parts.opened.rig, self._crew.start
        for name, ring in self._masters.items():
            start(f"{name} masters", partial(self._write_masters, name, ring), STAGE_LIMIT_S)
        start("encode", self._encode, STAGE_LIMIT_S)
        start("viewer", self._view, STAGE_LIMIT_S)
        start("fuse", self._fuse, STAGE_LIMIT_S)
        if self._parts.opened.can_wait:
            start("capture", self._capture_in_order, STAGE_LIMIT_S)
        else:
            steer = partial(self._steering.run, partial(self._crew.beat, "exposure"))
            start("exposure", steer, STAGE_LIMIT_S)
            start("capture reference", partial(self._capture_live, rig.reference), STAGE_LIMIT_S)
            start("capture secondary", partial(self._capture_live, rig.secondary), STAGE_LIMIT_S)

    # the stages, each in its own thread

    def _capture_in_order(self) -> None:
        rig = self._parts.opened.rig

        def between() -> None:
            self._crew.beat("capture")
            self._steering.act()

        read_in_order(rig.reference, rig.secondary, self.intake, self.stopping, between)
        self.stopping.set()

    def _capture_live(self, camera: Camera) -> None:
        stage = f"capture {camera.info.name}"
        try:
            read_live(camera, self.intake, self.stopping, partial(self._crew.beat, stage))
        except CameraLostError as error:
            if camera.info.name == "reference":
                raise
            log.error("%s", error)  # the page names it as soon as its frames are missed
        if camera.info.name == "reference":
            self.stopping.set()  # the end of a recording

    def _stamped(self, item: Stamped) -> None:
        """Every good frame passes here, in the capture threads."""
        if self._duration_ns is not None and item.t_ns >= self._duration_ns:
            self.stopping.set()
            return
        self._parts.reporter.received(item.frame, item.t_ns)
        self._steering.take(item)
        ring = self._masters.get(item.frame.camera)
        if ring is None:
            self._parts.session.sidecar.frame(item.frame, item.t_ns, None)
        else:
            self._put(ring, item)
        self._put(self._frames, item)

    def _write_masters(self, name: CameraName, ring: Ring[Stamped]) -> None:
        rig, session, config = self._parts.opened.rig, self._parts.session, self._parts.config
        info = (rig.reference if name == "reference" else rig.secondary).info
        settings = MasterSettings(segment_s=config.masters.segment_s, sync_s=config.hdr.sync_s)
        writer = MasterWriter.of(session.path, info, settings, self._parts.reporter.segment_closed)
        try:
            self._each(ring, f"{name} masters", partial(self._write_master, writer))
        finally:
            writer.close()

    def _write_master(self, writer: MasterWriter, item: Stamped) -> None:
        with self._watch.stage("masters"):
            location = writer.write(item.frame, item.t_ns)
        self._parts.session.sidecar.frame(item.frame, item.t_ns, location)

    def _fuse(self) -> None:
        self._each(self._frames, "fuse", self._fuse_one)
        for fused in self.line.flush():
            self._hand_on(fused)

    def _fuse_one(self, item: Stamped) -> None:
        if self._hurrying.is_set():
            self.line.hurry()
        for fused in self.line.add(item, item.frame.t_host_ns, len(self._frames)):
            self._hand_on(fused)

    def _hand_on(self, fused: Fused) -> None:
        self._parts.reporter.fused(fused.hdr)
        if self._recorder is not None:
            self._put(self._hdr, fused)
        if self._viewer.due(time.monotonic_ns()):
            self._pictures.put(fused)

    def _encode(self) -> None:
        try:
            self._each(self._hdr, "encode", self._encode_one)
        finally:
            # Here and not in the main thread: an encoder must never be closed while it is being written to.
            if self._recorder is not None:
                self._recorder.close()

    def _encode_one(self, fused: Fused) -> None:
        if self._recorder is None:
            return
        self._parts.reporter.luminance("fused", self._recorder.write(fused.hdr))
        reference = fused.prepared.reference
        with self._watch.stage("measure"):
            mean_mu = mean_mu_luminance(reference, self._parts.opened.full_scale, SAMPLE_STEP)
        self._parts.reporter.luminance("reference", mean_mu)

    def _view(self) -> None:
        self._each(self._pictures, "viewer", self._view_one)

    def _view_one(self, fused: Fused) -> None:
        self._viewer.show(fused, time.monotonic_ns())

    # what the stages share

    def _put(self, ring: Ring[T], item: T) -> None:
        if self._parts.opened.can_wait:
            ring.put_waiting(item)
        else:
            ring.put(item)

    def _each(self, ring: Ring[T], stage: str, work: Callable[[T], None]) -> None:
        """``work`` on every item until the ring ends. A stage that fails closes its ring: nobody waits."""
        try:
            while True:
                item = ring.get(POLL_S)
                self._crew.beat(stage)
                if item is not None:
                    work(item)
        except Closed:
            return
        finally:
            ring.close()

    def _publish_rings(self) -> None:
        rings: list[Ring[Any]] = [self._frames, self._hdr, *self._masters.values()]
        for ring in rings:
            self._parts.reporter.health.gauge("ring_depth", len(ring), ring.name)
            self._parts.reporter.health.gauge("ring_capacity", ring.capacity, ring.name)
        self._parts.reporter.health.gauge("encoder_backlog", len(self._hdr))
        self._parts.reporter.clocks(self.intake)
        self._parts.reporter.cameras(self._parts.opened.rig)
