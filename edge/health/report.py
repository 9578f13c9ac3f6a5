"""Everything worth knowing about a recording, told twice: to the health figures and to the sidecar."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from edge.capture.reader import Intake
from edge.capture.stuck import StuckPicture
from edge.encode.segments import ClosedSegment
from edge.frames import CameraName, Frame, HdrFrame, Rung
from edge.fuse.ladder_plan import Fusion
from edge.fuse.late_engines import Late
from edge.health.health import Health
from edge.judge.flicker import FlickerGauge
from edge.session.sidecar import SidecarWriter
from edge.timing.report import ClockReporter
from hw.camera import Camera, CameraState, Rig, Trigger, Watched

SILENT_S = 1.0
STUCK_S = 2.0


class Reporter:
    """Any thread may call any method."""

    def __init__(self, health: Health, sidecar: SidecarWriter) -> None:
        self.health = health
        self.sidecar = sidecar
        self._lock = threading.Lock()
        self.clock = ClockReporter(health, sidecar)
        self._flicker = {"reference": FlickerGauge(), "fused": FlickerGauge()}
        self._last_t_ns: dict[CameraName, int] = {"reference": 0, "secondary": 0}
        self._states: dict[CameraName, CameraState] = {}
        self._pictures: dict[CameraName, StuckPicture] = {n: StuckPicture() for n in self._last_t_ns}

    def received(self, frame: Frame, t_ns: int) -> None:
        """A frame came from a camera and has its place in time."""
        self.health.tick("frames", time.monotonic_ns(), frame.camera)
        self._last_t_ns[frame.camera] = t_ns
        self.clock.placed(frame, t_ns)
        self._same_picture(frame)
        if frame.camera == "reference":
            self.health.gauge("session_s", t_ns / 1e9)

    def _same_picture(self, frame: Frame) -> None:
        if frame.pixel_format == "rgb":
            return  # what a camera has denoised and compressed may well agree
        now_ns = time.monotonic_ns()
        same_s = self._pictures[frame.camera].take(frame, now_ns)
        self.health.condition(
            f"{frame.camera} picture",
            same_s < STUCK_S,
            now_ns,
            "it sends one and the same picture, down to its noise.",
            "Its sensor or its driver hangs: cut its power for a moment.",
        )

    def camera_drop(self, cause: str, camera: CameraName, seq: int, count: int) -> None:
        """A camera's frames never became usable."""
        self.health.count("drops", f"{camera} capture", cause, n=count)
        self.sidecar.drop("capture", cause, camera=camera, seq=seq, count=count)

    def stage_drop(self, stage: str, cause: str, seq: int, camera: CameraName) -> None:
        """A stage could not use or not keep up with a frame."""
        self.health.count("drops", stage, cause)
        self.sidecar.drop(stage, cause, camera=camera, seq=seq)

    def rung_changed(self, rung: Rung, cause: str, t_ns: int) -> None:
        """The ladder moved."""
        self.health.gauge("rung", int(rung))
        self.health.text("rung_reason", cause)
        self.health.event(time.monotonic_ns(), f"fusing on {rung.name.lower().replace('_', ' ')}: {cause}")
        self.sidecar.rung(t_ns, rung, cause)

    def rung_failed(self, rung: Rung, text: str) -> None:
        """A network broke while it ran; its rung is given up for this recording."""
        self.health.condition(
            "model",
            False,
            time.monotonic_ns(),
            f"{rung.name.lower().replace('_', ' ')} failed: {text}.",
            "Fusing goes on a rung lower; restart to try again.",
            "warning",
        )
        self.sidecar.event("rung_failed", rung=rung.name.lower(), text=text)

    def fused(self, hdr: HdrFrame) -> None:
        """A frame was fused."""
        self.health.tick("frames", time.monotonic_ns(), "fused")
        self.health.count("rung_frames", hdr.rung.name.lower())
        for exposure, age_ns in (("low", hdr.low_age_ns), ("high", hdr.high_age_ns)):
            if age_ns is not None:
                self.health.observe("age_ms", abs(age_ns) / 1e6, exposure)

    def luminance(self, picture: str, mean_mu: float) -> None:
        """Mean mu-law luminance of a ``reference`` or ``fused`` picture, for the flicker gauge."""
        with self._lock:
            gauge = self._flicker[picture] = self._flicker[picture].step(mean_mu)
        self.health.trace("flicker", time.monotonic_ns(), gauge.level, picture)

    def segment_closed(self, closed: ClosedSegment) -> None:
        """A file is complete."""
        self.sidecar.segment(closed)

    def fusion(self, fusion: Fusion, budget_ms: float) -> None:
        """What fuses, and what is missing."""
        self.health.text("model", ", ".join(engine.name for engine in fusion.engines.values()) or "none")
        self.health.gauge("deadline_ms", budget_ms)
        self.models(fusion.problems)

    def models(self, problems: Sequence[str]) -> None:
        """What keeps networks from running, or from running where they should."""
        self.health.condition(
            "model",
            not problems,
            time.monotonic_ns(),
            "; ".join(problems).rstrip(".") + ".",
            "Fusing goes on with what there is; see fuse.model in the configuration.",
            "warning",
        )

    def engine_ready(self, late: Late) -> None:
        """A network got its engine while the recording runs."""
        rung = late.rung.name.lower()
        self.health.event(time.monotonic_ns(), f"{late.engine.name} has an engine now")
        self.sidecar.event("engine", rung=rung, model=late.engine.name, cost_ms=late.cost_ns / 1e6)

    def cameras(self, rig: Rig) -> None:
        """Name a camera that is gone: as it says itself, else by its silence while the other one films."""
        rows: tuple[tuple[CameraName, CameraName, Camera, str], ...] = (
            ("reference", "secondary", rig.reference, "There is no video without it."),
            ("secondary", "reference", rig.secondary, "The video goes on from the reference alone."),
        )
        for camera, other, device, cost in rows:
            if isinstance(device, Watched):
                state = device.state(time.monotonic_ns())
            else:
                silent_s = (self._last_t_ns[other] - self._last_t_ns[camera]) / 1e9
                text = f"no frame for {silent_s:.0f} s."
                state = CameraState(silent_s < SILENT_S, text, "Check its cable and its power.")
            self.health.condition(
                f"{camera} camera", state.ok, time.monotonic_ns(), f"{state.text} {cost}", state.todo
            )
            self._count_state(camera, state)
        self._trigger(rig.trigger)

    def _trigger(self, trigger: Trigger) -> None:
        """A trigger that the cameras go on needing may be gone, and then they only seem to be."""
        if isinstance(trigger, Watched):
            state = trigger.state(time.monotonic_ns())
            self.health.condition("trigger", state.ok, time.monotonic_ns(), state.text, state.todo)

    def _count_state(self, camera: CameraName, state: CameraState) -> None:
        before = self._states.get(camera, CameraState(True))
        self._states[camera] = state
        if state.losses or state.counters:
            self.health.count("camera_losses", camera, n=state.losses - before.losses)
        for name, total in state.counters.items():
            grown = max(0, total - before.counters.get(name, 0))
            self.health.count("transport", camera, name, n=grown)
        if state.ok != before.ok:
            self.sidecar.event("camera", camera=camera, ok=state.ok, text=state.text, losses=state.losses)

    def clocks(self, intake: Intake, last: bool = False) -> None:
        """How well the cameras' clocks are known; ``last`` at the end of the recording."""
        self.clock.report(intake.base, last)
        lines = (intake.base.reference.line, intake.base.secondary.line)
        for line, camera in zip(lines, ("reference", "secondary"), strict=True):
            ratio = 1.0 if line is None else line.tick_ratio
            self.health.condition(
                f"{camera} clock",
                ratio == 1.0,
                time.monotonic_ns(),
                f"the {camera} camera counts {ratio:g} ns for each real one; its stamps are corrected.",
                "Nothing needs to be done.",
                "warning",
            )
