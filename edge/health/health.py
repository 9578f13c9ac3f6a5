"""Everything the stages say about themselves, gathered in one place that never makes them wait.

A stage calls one short method per fact, from its own thread; names and labels come from
`edge.health.series`. Who wants to know takes a `HealthSnapshot`. There is no clock in here: every time is
an argument, in nanoseconds on the host's monotonic clock.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

from edge.health.series import Kind, series
from edge.health.snapshot import Beat, Condition, Event, HealthSnapshot, Labels, Severity, rate_hz, spread

V = TypeVar("V")
Key: TypeAlias = tuple[str, Labels]

log = logging.getLogger(__name__)

RATE_WINDOW_NS: Final = 5_000_000_000
RATE_EVENTS: Final = 1500  # 300 fps over the window
SPREAD_VALUES: Final = 240
TRACE_BIN_NS: Final = 500_000_000
TRACE_BINS: Final = 120
EVENTS_KEPT: Final = 20
QUIET_NS: Final = 5_000_000_000
"""A condition that flaps is named at most once in this time, so that it cannot flood the log."""


@dataclass(slots=True)
class _State:
    """A condition as it is (``ok``) and as it was last named."""

    ok: bool
    severity: Severity
    text: str
    todo: str
    since_ns: int
    named_ok: bool = True
    named_ns: int | None = None


class Health:
    """Counters, gauges, heartbeats and conditions of a process. Any thread may call any method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: set[tuple[Kind, str, Labels]] = set()
        self._totals: defaultdict[Key, int] = defaultdict(int)
        self._stamps: dict[Key, deque[int]] = {}
        self._gauges: dict[Key, float] = {}
        self._values: dict[Key, deque[float]] = {}
        self._traces: dict[Key, deque[tuple[int, float]]] = {}
        self._histograms: dict[Key, tuple[float, ...]] = {}
        self._texts: dict[Key, str] = {}
        self._beats: dict[str, tuple[int, int]] = {}
        self._conditions: dict[str, _State] = {}
        self._events: deque[tuple[int, str]] = deque(maxlen=EVENTS_KEPT)

    def count(self, name: str, *labels: str, n: int = 1) -> None:
        """Add ``n`` >= 0 to a COUNTER. ``n=0`` makes the counter visible before anything happened."""
        if n < 0:
            raise ValueError(f"counter {name} only grows, got {n}")
        key = self._key(Kind.COUNTER, name, labels)
        with self._lock:
            self._totals[key] += n

    def tick(self, name: str, t_ns: int, *labels: str) -> None:
        """One of the EVENTS happened at ``t_ns``: counted, and its rate is known."""
        key = self._key(Kind.EVENTS, name, labels)
        with self._lock:
            self._totals[key] += 1
            stamps = self._stamps.get(key)
            if stamps is None:
                stamps = self._stamps[key] = deque(maxlen=RATE_EVENTS)
            stamps.append(t_ns)

    def gauge(self, name: str, value: float | None, *labels: str) -> None:
        """Set a GAUGE. None, NaN and infinity take it away: a figure that is not known is not shown."""
        key = self._key(Kind.GAUGE, name, labels)
        with self._lock:
            if value is None or not math.isfinite(value):
                self._gauges.pop(key, None)
            else:
                self._gauges[key] = float(value)

    def trace(self, name: str, t_ns: int, value: float, *labels: str) -> None:
        """Set a TRACE and keep it for the sparkline: per half second the value of largest magnitude."""
        key = self._key(Kind.TRACE, name, labels)
        if not math.isfinite(value):
            return
        value, slot = float(value), t_ns // TRACE_BIN_NS
        with self._lock:
            self._gauges[key] = value
            bins = self._traces.get(key)
            if bins is None:
                bins = self._traces[key] = deque(maxlen=TRACE_BINS)
            if not bins or bins[-1][0] < slot:
                bins.append((slot, value))
            elif abs(value) > abs(bins[-1][1]):
                bins[-1] = (bins[-1][0], value)

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Add one value to a SPREAD. Values that are not finite are left out."""
        key = self._key(Kind.SPREAD, name, labels)
        if not math.isfinite(value):
            return
        with self._lock:
            values = self._values.get(key)
            if values is None:
                values = self._values[key] = deque(maxlen=SPREAD_VALUES)
            values.append(float(value))

    def histogram(self, name: str, shares: Sequence[float] | None, *labels: str) -> None:
        """Set a HISTOGRAM, the shares of its bins. None takes it away."""
        key = self._key(Kind.HISTOGRAM, name, labels)
        with self._lock:
            if shares is None:
                self._histograms.pop(key, None)
            else:
                self._histograms[key] = tuple(map(float, shares))

    def text(self, name: str, value: str, *labels: str) -> None:
        """Set a TEXT."""
        key = self._key(Kind.TEXT, name, labels)
        with self._lock:
            self._texts[key] = value

    def event(self, t_ns: int, text: str) -> None:
        """Remember that something happened; the newest few are shown with their age."""
        with self._lock:
            self._events.append((t_ns, text))

    def watch(self, stage: str, t_ns: int, limit_ns: int) -> None:
        """From ``t_ns`` on ``stage`` must beat at least every ``limit_ns``."""
        with self._lock:
            self._beats[stage] = (t_ns, limit_ns)

    def beat(self, stage: str, t_ns: int) -> None:
        """``stage`` did a round of work at ``t_ns``. Of no effect on a stage that nobody watches."""
        with self._lock:
            watched = self._beats.get(stage)
            if watched is not None:
                self._beats[stage] = (max(t_ns, watched[0]), watched[1])

    def unwatch(self, stage: str) -> None:
        """``stage`` has ended as it should."""
        with self._lock:
            self._beats.pop(stage, None)

    def condition(
        self, name: str, ok: bool, t_ns: int, text: str = "", todo: str = "", severity: Severity = "error"
    ) -> bool:
        """Say whether ``name`` is as it should be; may be called per frame.

        A change is named once, in the log and among the events: that it became false with ``text`` (what is
        wrong) and ``todo`` (what to do), or that it is good again. A condition that is good from the start is
        not named. ``text`` may carry figures: it is shown as it was last given, and its change is no news.
        Returns True where the change was named by this call.
        """
        with self._lock:
            state = self._conditions.get(name)
            if state is None:
                state = self._conditions[name] = _State(ok, severity, text, todo, t_ns)
            elif state.ok != ok:
                state.since_ns = t_ns
            state.ok, state.severity, state.text, state.todo = ok, severity, text, todo
            quiet = state.named_ns is not None and t_ns - state.named_ns < QUIET_NS
            if state.named_ok == ok or quiet:
                return False
            state.named_ok, state.named_ns = ok, t_ns
            said = f"{name}: good again" if ok else f"{name}: {text} {todo}".rstrip()
            self._events.append((t_ns, said))
        log.log(logging.INFO if ok else logging.WARNING, "%s", said)
        return True

    def snapshot(self, now_ns: int) -> HealthSnapshot:
        """All figures at ``now_ns``. Copies under the lock (tens of microseconds), computes outside it."""
        with self._lock:
            totals, gauges, texts = dict(self._totals), dict(self._gauges), dict(self._texts)
            stamps = {key: tuple(d) for key, d in self._stamps.items()}
            values = {key: tuple(d) for key, d in self._values.items()}
            traces = {key: tuple(d) for key, d in self._traces.items()}
            histograms, beats = dict(self._histograms), dict(self._beats)
            conditions = [
                Condition(n, s.ok, s.severity, s.text, s.todo, (now_ns - s.since_ns) / 1e9)
                for n, s in self._conditions.items()
            ]
            events = tuple(self._events)
        return HealthSnapshot(
            t_ns=now_ns,
            totals=_by_name(totals),
            rates=_by_name({k: rate_hz(v, now_ns, RATE_WINDOW_NS) for k, v in stamps.items()}),
            gauges=_by_name(gauges),
            spreads=_by_name({k: spread(v) for k, v in values.items()}),
            histograms=_by_name(histograms),
            traces=_by_name({k: [_aged(b, now_ns) for b in v] for k, v in traces.items()}),
            texts=_by_name(texts),
            beats=tuple(Beat(stage, (now_ns - t) / 1e9, lim / 1e9) for stage, (t, lim) in beats.items()),
            conditions=tuple(conditions),
            events=tuple(Event((now_ns - t) / 1e9, text) for t, text in reversed(events)),
        )

    def _key(self, kind: Kind, name: str, labels: Labels) -> Key:
        if (kind, name, labels) not in self._known:
            series(name, kind, labels)
            if any("/" in label for label in labels):
                raise ValueError(f"series {name}: the labels {labels} must not contain a slash")
            self._known.add((kind, name, labels))
        return name, labels


def _by_name(flat: Mapping[Key, V]) -> dict[str, dict[Labels, V]]:
    nested: dict[str, dict[Labels, V]] = {}
    for (name, labels), value in flat.items():
        nested.setdefault(name, {})[labels] = value
    return nested


def _aged(traced: tuple[int, float], now_ns: int) -> tuple[float, float]:
    slot, value = traced
    return (now_ns - slot * TRACE_BIN_NS) / 1e9, value
