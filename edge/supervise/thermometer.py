"""The stage that reads the machine's zones, publishes them, and says what they allow."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from edge.config.schema import Config
from edge.config.thermal import ThermalConfig
from edge.health.report import Reporter
from edge.supervise.crew import Turn
from edge.supervise.heat import Allowance, Band, HeatState, Readings, allowance, step
from hw.device.board import power_mode_number_of, power_modes_of
from hw.device.thermal import temperatures_of, throttles_of, trips_of

PERIOD_S = 2.0
TODO = "Give it air and shade, or a smaller picture or frame rate; it goes back by itself."
GIVEN_UP = {
    Band.NO_LARGE_NETWORK: "no large network",
    Band.NO_NETWORK: "no network",
    Band.NO_PREVIEW: "no network and no preview",
    Band.NO_FUSED_VIDEO: "only what is recorded first",
}

log = logging.getLogger(__name__)


def readings_of(root: Path) -> Readings:
    """The zones of the machine whose file system begins at ``root``."""
    return Readings(
        temperatures_of(root),
        {trip.zone: trip.celsius for trip in trips_of(root)},
        tuple(throttle.name for throttle in throttles_of(root)),
    )


class Thermometer:
    """Reads every PERIOD_S until ``stopping``; ``allow`` hears of each change, in this thread."""

    def __init__(
        self,
        config: ThermalConfig,
        masters: bool,
        reporter: Reporter,
        allow: Callable[[Allowance], None],
        stopping: threading.Event,
        root: Path = Path("/"),
    ) -> None:
        self._config = config
        self._masters = masters
        self._reporter = reporter
        self._allow = allow
        self._stopping = stopping
        self._root = root
        self._state = HeatState()
        self._mode: int | None = None

    def configure(self, config: Config) -> None:
        """Other bands from the next reading on. Any thread."""
        self._config = config.thermal

    def run(self, turn: Turn) -> None:
        """The stage."""
        while True:
            turn.beat()
            readings = readings_of(self._root)
            turn.check()
            self.take(readings, time.monotonic_ns())
            self._power_mode()
            if self._stopping.wait(PERIOD_S):
                return

    def take(self, readings: Readings, now_ns: int) -> None:
        """Publish, decide, tell."""
        health, before = self._reporter.health, self._state
        for zone, celsius in readings.celsius.items():
            health.gauge("zone_celsius", celsius, zone.replace("/", "_"))
        config = self._config
        state = self._state = step(before, readings, config, now_ns) if config.enabled else HeatState()
        health.gauge("heat_band", int(state.band))
        health.condition(
            "heat",
            state.band is Band.NORMAL,
            now_ns,
            f"{state.cause}: {GIVEN_UP.get(state.band, '')}.",
            TODO,
            "error" if state.band is Band.NO_FUSED_VIDEO else "warning",
        )
        if state.band is not before.band:
            self._allow(allowance(state, self._masters))
            self._reporter.sidecar.event("heat", band=state.band.name.lower(), cause=state.cause)

    def _power_mode(self) -> None:
        """A change of nvpmodel's mode is worth a line; what it costs the ladder measures by itself."""
        mode = power_mode_number_of(self._root)
        if mode is not None and self._mode is not None and mode != self._mode:
            name = power_modes_of(self._root).get(mode, "")
            text = f"power mode is now {f'{name} (mode {mode})' if name else f'mode {mode}'}"
            log.warning("%s", text)
            self._reporter.health.event(time.monotonic_ns(), text)
        self._mode = mode
