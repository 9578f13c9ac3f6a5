"""SIGHUP: read the layers again, take over what can change now; if they are bad, the old values stay."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from edge.config.layers import LoadedConfig, load
from edge.errors import ConfigError, Fault
from edge.health.health import Health
from edge.settings import state as remembered
from edge.settings.files import FileError
from edge.settings.lines import shown
from edge.settings.live import Plan, differing, plan
from edge.settings.running import Running
from edge.settings.state import HEALTHY_S, Start

log = logging.getLogger(__name__)

CONDITION = "configuration"
WAITING = "configuration change"
NAMED = 8
"""Keys or faults that the page names; the log has all."""


class Reload:
    """The configuration of one process, from its files to its stages. One thread calls ``poll``.

    ``path`` as in ``edge.config.layers.load``; ``state``: where the device remembers, None for nowhere.
    """

    def __init__(self, begun: Start, path: Path | None, state: Path | None = None) -> None:
        self.running = Running(begun.loaded.config)
        self.path = path
        self._read: Callable[[], LoadedConfig] = lambda: load(path)
        self._values = dict(begun.loaded.values)
        self._faults: tuple[Fault, ...] = begun.faults
        self._fallback = bool(begun.faults)
        self._waiting: tuple[str, ...] = ()
        self._state = state
        self._asked = False
        self._told = False
        self._healthy_since_ns: int | None = None
        self._proven = False

    @contextlib.contextmanager
    def on_hangup(self) -> Iterator[None]:
        """SIGHUP asks for a reload; at a terminal it keeps its meaning, that the terminal is gone."""
        if sys.stdin is not None and sys.stdin.isatty():
            yield
            return

        def ask(_signal: int, _frame: FrameType | None) -> None:
            self._asked = True  # no lock: the handler runs in the middle of whatever poll does

        before = signal.signal(signal.SIGHUP, ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGHUP, before)

    @property
    def asked(self) -> bool:
        """Whether the next ``poll`` reads the files again."""
        return self._asked

    def poll(self, now_ns: int, health: Health) -> None:
        """Reload if asked to; remember a configuration that has proven itself. Call about once a second."""
        if not self._told:
            self._told = True
            self._tell(now_ns, health)
            self._remember()
        if self._asked:
            self._asked = False
            self._reload(now_ns, health)
        self._prove(now_ns, healthy=not health.snapshot(now_ns).faults())

    def _reload(self, now_ns: int, health: Health) -> None:
        try:
            wanted = self._read()
        except ConfigError as error:
            self._faults = error.faults
            for fault in error.faults:
                log.error("not reloaded, the old configuration goes on: %s", fault)
        else:
            found = plan(self._values, wanted)
            self._faults, self._fallback = (), False
            self._take_over(found, wanted)
            health.event(now_ns, _summary(found))
        self._remember()
        self._tell(now_ns, health)

    def _take_over(self, found: Plan, wanted: LoadedConfig) -> None:
        for key in found.applied:
            log.info("reloaded: %s: %s, was %s", key, shown(wanted.values[key]), shown(self._values[key]))
        for key in found.waiting:
            new, old = shown(wanted.values[key]), shown(self._values[key])
            log.warning("not before a restart: %s: %s, is %s", key, new, old)
        if not found.applied and not found.waiting:
            log.info("reloaded: nothing has changed")
        self._values |= {key: wanted.values[key] for key in found.applied}
        self._waiting = differing(self._values, wanted.values)
        self.running.replace(found.config)
        logging.getLogger().setLevel(found.config.log.level.upper())
        if found.applied:
            self._proven, self._healthy_since_ns = False, None

    def _tell(self, now_ns: int, health: Health) -> None:
        goes_on = "the last good one runs" if self._fallback else "the old one goes on"
        health.condition(
            CONDITION,
            not self._faults,
            now_ns,
            f"the files cannot be used, {goes_on}: {_some([str(fault) for fault in self._faults], '; ')}.",
            "Correct them (twinhdr check shows every fault), then: sudo systemctl reload twinhdr",
            "warning",
        )
        health.condition(
            WAITING,
            not self._waiting,
            now_ns,
            f"changed, and waiting for a restart: {_some(self._waiting, ', ')}.",
            "sudo systemctl restart twinhdr (the recording goes on in a new session)",
            "warning",
        )

    def _prove(self, now_ns: int, *, healthy: bool) -> None:
        if not healthy:
            self._healthy_since_ns = None
        elif self._healthy_since_ns is None:
            self._healthy_since_ns = now_ns
        elif not self._proven and now_ns - self._healthy_since_ns >= HEALTHY_S * 1e9:
            self._proven = True
            if self._state is not None:
                self._written(lambda state: remembered.remember_good(self._values, state))

    def _remember(self) -> None:
        self._written(lambda state: remembered.remember_running(self._values, self._waiting, state))

    def _written(self, write: Callable[[Path], None]) -> None:
        if self._state is not None:
            try:
                write(self._state)
            except FileError as error:  # a full disk must not end the recording that filled it
                log.warning("%s", error)


def _summary(found: Plan) -> str:
    said = [f"configuration reloaded: {len(found.applied)} changed at once"]
    if found.waiting:
        said.append(f"{len(found.waiting)} after a restart")
    return ", ".join(said)


def _some(items: tuple[str, ...] | list[str], separator: str) -> str:
    more = [f"and {len(items) - NAMED} more"] if len(items) > NAMED else []
    return separator.join([*items[:NAMED], *more])
