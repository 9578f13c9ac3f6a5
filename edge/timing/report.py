"""Clock truth, told: to the health figures each second, to the sidecar now and then and at the end."""

from __future__ import annotations

import threading

from edge.frames import Frame
from edge.health.health import Health
from edge.session.sidecar import SidecarWriter
from edge.timing.timebase import TimeBase
from edge.timing.truth import ClockFigures, ClockTruth
from hw.camera import TellsEdge, Trigger

EVERY = 10
"""The sidecar has a line of every tenth report, so that a crash costs the last seconds only."""

FIRM_PPM = 3.0
"""Standard error from which the drift since the start is shown instead of the last minute's fit."""


class ClockReporter:
    """Any thread may call any method."""

    def __init__(self, health: Health, sidecar: SidecarWriter) -> None:
        self._health = health
        self._sidecar = sidecar
        self._lock = threading.Lock()
        self._truth = ClockTruth()
        self._skew_ns: int | None = None
        self._reports = 0

    def placed(self, frame: Frame, t_ns: int) -> None:
        """A good frame has its place in time."""
        with self._lock:
            self._truth.observe(frame, t_ns)

    def start(self, trigger: Trigger) -> None:
        """Give the common edge and keep what is known of it. Raises TriggerError."""
        edge_host_ns = trigger.start()
        edge = trigger.edge if isinstance(trigger, TellsEdge) else None
        self._skew_ns = None if edge is None else edge.skew_ns
        self._health.gauge("start_skew_us", None if self._skew_ns is None else self._skew_ns / 1e3)
        self._sidecar.event(
            "trigger",
            edge_host_ns=edge_host_ns,
            uncertainty_ns=None if edge is None else edge.uncertainty_ns,
            skew_ns=self._skew_ns,
        )

    def report(self, base: TimeBase, last: bool = False) -> None:
        """Once a second; ``last`` at the end of the recording."""
        reference, secondary = base.reference.line, base.secondary.line
        if reference is None or secondary is None:
            return
        with self._lock:
            figures = self._truth.figures(secondary.tick_ratio / reference.tick_ratio)
        # In the first half minute the fit, which knows what crystals are like, is the better guess.
        firm = figures.drift_error_ppm is not None and figures.drift_error_ppm < FIRM_PPM
        self._health.gauge("clock_drift_ppm", figures.drift_ppm if firm else base.drift_ppm())
        self._health.gauge("clock_residual_ms", max(reference.residual_ns, secondary.residual_ns) / 1e6)
        self._health.gauge("start_apart_ms", figures.start_apart_ms)
        if figures.residuals is not None:
            for name in ("p50", "p99", "max"):
                self._health.gauge("pair_residual_ms", getattr(figures.residuals, f"{name}_ms"), name)
        self._reports += 1
        if last or self._reports % EVERY == 0:
            self._write(figures)

    def _write(self, figures: ClockFigures) -> None:
        residuals = figures.residuals
        told = {} if residuals is None else {
            "residual_p50_ms": residuals.p50_ms,
            "residual_p99_ms": residuals.p99_ms,
            "residual_max_ms": residuals.max_ms,
            "comparisons": residuals.count,
        }  # fmt: skip
        self._sidecar.event(
            "clocks",
            tick_ratio=figures.tick_ratio,
            drift_ppm=figures.drift_ppm,
            drift_error_ppm=figures.drift_error_ppm,
            start_apart_ms=figures.start_apart_ms,
            start_skew_ns=self._skew_ns,
            **told,
        )
