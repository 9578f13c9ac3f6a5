"""The life of a recording: arming the cameras, watching the stages, and closing the files.

One thread a stage, one bounded ring between two stages (``edge.stages``):

    capture --+--> masters            (first, and on its own)
              +--> fuse --+--> encode
                          +--> viewer (newest picture only)

The calling thread watches: it has stages replaced (``edge.supervise.crew``) and tells systemd
(``edge.supervise``).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from edge.config.schema import Config
from edge.frames import Rung
from edge.fuse.late_engines import Late
from edge.fuse.line import Fused
from edge.fuse.stopwatch import Stopwatch
from edge.stages.filming import Filming
from edge.stages.fusing import Fusing
from edge.stages.parts import Parts
from edge.stages.rings import Rings
from edge.stages.showing import Showing
from edge.stages.writing import Writing
from edge.store.gate import DiskGate
from edge.supervise.crew import Crew, Replaced, Turn
from edge.supervise.heat import Allowance
from edge.supervise.notify import Notifier
from edge.supervise.pulse import Progress, Pulse
from edge.supervise.stages import STAGES, UNHURRIED, Stage
from edge.supervise.thermometer import Thermometer

__all__ = ["Daemon", "Parts"]

log = logging.getLogger(__name__)

TICK_S = 0.25
SECOND_S = 1.0


class Daemon:
    """One recording, from arming the cameras to closing the files. Use once.

    ``duration_s`` is session time: a simulation slower than real time still records so many frames.
    ``stages`` are the rows of the table by name; ``root`` is where the machine's thermal zones are read.
    """

    def __init__(
        self,
        parts: Parts,
        duration_s: float | None = None,
        notifier: Notifier | None = None,
        stages: Mapping[str, Stage] | None = None,
        root: Path = Path("/"),
    ) -> None:
        self._parts = parts
        self._stages = stages or (UNHURRIED if parts.opened.can_wait else STAGES)
        report = parts.reporter
        self.stopping = threading.Event()
        self._notifier = notifier or Notifier()
        self._gate = parts.session.gate or DiskGate()
        self._crew = Crew(self.stopping, report.health, self._replaced, waits_for_disk=self._gate.waits)
        watch = Stopwatch(time.monotonic_ns, lambda stage, ms: report.health.observe("stage_ms", ms, stage))
        self.progress = Progress()
        self._pulse = Pulse(self._notifier, self.progress, self._status)
        self._rings = Rings(parts.opened.can_wait, parts.config.masters.enabled, report)
        duration_ns = None if duration_s is None else round(duration_s * 1e9)
        self._filming = Filming(
            parts, self._rings, self.progress, self.stopping, self._crew.beat, duration_ns
        )
        self._writing = Writing(parts, self._rings, self.progress, watch)
        self._fusing = Fusing(parts, self._rings, watch, self._deliver)
        self._showing = Showing(parts, self._rings, watch)
        self._thermometer = Thermometer(
            parts.config.thermal, parts.config.masters.enabled, report, self._allow, self.stopping, root
        )

    def run(self, every_second: Callable[[], bool]) -> None:
        """Record until the duration is over, ``stopping`` is set, or ``every_second`` returns False.

        A stage that fails for good ends the recording in good order; its error is raised at the end.
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
            self._watch_over(every_second)
        finally:
            self._end()
        if self._crew.failure is not None:
            raise self._crew.failure
        self._parts.reporter.clocks(self._filming.intake, last=True)

    def configure(self, config: Config) -> None:
        """Take over what can change while filming (edge/settings/live.py). Any thread."""
        for stage in (self._filming, self._showing, self._writing, self._thermometer):
            stage.configure(config)

    def reloading(self) -> AbstractContextManager[None]:
        """Around reading the configuration again: systemd is told. The thread of ``every_second``."""
        return self._pulse.reloading()

    def stop(self) -> None:
        """Ask for the end, soon: what waits for fusion goes on the merge. Safe in a signal handler."""
        self._fusing.hurry()
        self.stopping.set()

    def offer(self, late: Late) -> None:
        """An engine that became ready meanwhile. Any thread."""
        self._fusing.offer(late)

    def _watch_over(self, every_second: Callable[[], bool]) -> None:
        published_s = time.monotonic()
        while not self.stopping.wait(TICK_S):
            now_s = time.monotonic()
            self._crew.look(now_s)
            self._pulse.tick(self._crew.watches(now_s), now_s, self._gate.takes_nothing)
            if now_s - published_s < SECOND_S:
                continue
            published_s = now_s
            self._rings.publish()
            self._parts.reporter.clocks(self._filming.intake)
            self._parts.reporter.cameras(self._parts.opened.rig)
            if not every_second():
                self.stopping.set()

    def _end(self) -> None:
        """Stop filming, let every stage finish what it holds, in the order of the way of a frame."""
        self.stopping.set()
        self._notifier.stopping()
        rig = self._parts.opened.rig
        for camera in (rig.reference, rig.secondary):
            if not self._crew.hangs(f"capture {camera.info.name}"):  # it would take this thread with it
                camera.stop()
        rig.trigger.stop()
        self._crew.join("capture")
        self._filming.close()
        for ring in (self._rings.frames, *self._rings.masters.values()):
            ring.close()
        self._crew.join("fuse")
        self._rings.hdr.close()
        self._rings.pictures.close()
        self._crew.join()

    def _start_stages(self) -> None:
        """A stage that is given up closes its ring, so that nobody waits for it."""
        rig, post, rings = self._parts.opened.rig, self._crew.post, self._rings
        stages = self._stages
        for name, ring in rings.masters.items():
            post(stages[f"{name} masters"], partial(self._writing.masters, name), ring.close)
        post(stages["encode"], self._writing.video, rings.hdr.close)
        post(stages["viewer"], self._showing.run, rings.pictures.close)
        post(self._fusing.patient(stages["fuse"]), self._fusing.run, rings.frames.close)
        post(stages["heat"], self._thermometer.run)
        if self._parts.opened.can_wait:
            post(stages["capture"], lambda _turn: self._filming.in_order())
            return
        post(stages["exposure"], self._filming.steer)
        post(stages["capture reference"], lambda _turn: self._filming.live(rig.reference))
        post(stages["capture secondary"], lambda _turn: self._filming.live(rig.secondary))

    def _deliver(self, fused: Fused, turn: Turn) -> None:
        """From the fusion stage to those behind it."""
        if self._parts.config.hdr.enabled:
            self._rings.put(self._rings.hdr, fused, turn.beat)
        self._showing.offer(fused)

    def _allow(self, allowance: Allowance) -> None:
        self._fusing.allow(allowance)
        self._showing.allow(allowance)

    def _replaced(self, replaced: Replaced) -> None:
        """Told in the session, too: who looks at a gap later finds its cause."""
        self._parts.session.sidecar.event(
            "stage", stage=replaced.stage, number=replaced.number, why=replaced.why
        )

    def _status(self) -> str:
        """For ``systemctl status``."""
        snapshot = self._parts.reporter.health.snapshot(time.monotonic_ns())
        rates = snapshot.rates.get("frames", {})
        rung = snapshot.gauges.get("rung", {}).get(())
        name = "no rung yet" if rung is None else Rung(int(rung)).name.lower().replace("_", " ")
        what = "masters" if self._rings.masters else "fused"
        fps = rates.get(("reference",) if self._rings.masters else ("fused",), 0.0)
        return f"{self._parts.session.path.name}: {what} {fps:.1f} fps, {name}"
