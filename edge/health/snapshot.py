"""What `edge.health.health.Health` knows at one moment: frozen, and JSON as it stands."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, TypeVar

V = TypeVar("V")
Labels: TypeAlias = tuple[str, ...]
Labelled: TypeAlias = Mapping[str, Mapping[Labels, V]]
"""Name of the series -> its label values, in the order of the table in edge/health/series.py -> V."""

Severity: TypeAlias = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Spread:
    """Of the last ``count`` values: nearest-rank percentiles, in the unit of the series."""

    p50: float
    p95: float
    count: int


@dataclass(frozen=True, slots=True)
class Beat:
    """The heartbeat of one stage: ``ok`` while its last one is at most ``limit_s`` old."""

    stage: str
    age_s: float
    limit_s: float

    @property
    def ok(self) -> bool:
        return self.age_s <= self.limit_s


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that should be true: while it is not, ``text`` says what is wrong and ``todo`` what to do.

    An "error" means that the recording suffers, a "warning" that it may.
    """

    name: str
    ok: bool
    severity: Severity
    text: str
    todo: str
    since_s: float


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened once, ``age_s`` ago."""

    age_s: float
    text: str


@dataclass(frozen=True, slots=True)
class HealthSnapshot:
    """All figures at ``t_ns`` (host's monotonic clock). Every number is finite.

    ``traces`` hold (age in seconds, value) pairs, oldest first.
    """

    t_ns: int
    totals: Labelled[int]
    rates: Labelled[float]
    gauges: Labelled[float]
    spreads: Labelled[Spread]
    histograms: Labelled[Sequence[float]]
    traces: Labelled[Sequence[tuple[float, float]]]
    texts: Labelled[str]
    beats: tuple[Beat, ...]
    conditions: tuple[Condition, ...]
    events: tuple[Event, ...]

    @property
    def healthy(self) -> bool:
        """True while every stage moves and no condition of severity "error" is false."""
        return not self.faults()

    @property
    def recorded(self) -> bool:
        """True from the first frame on that reached the recording."""
        return self.totals.get("frames", {}).get(("fused",), 0) > 0

    def faults(self) -> list[str]:
        """One line for each reason not to be healthy: what is wrong and, where known, what to do."""
        still = [f"stage {b.stage} has not moved for {b.age_s:.1f} s" for b in self.beats if not b.ok]
        false = [c for c in self.conditions if not c.ok and c.severity == "error"]
        return still + [f"{c.name}: {c.text} {c.todo}".rstrip() for c in false]

    def as_json(self) -> dict[str, Any]:
        """For ``json.dumps``: label values joined by "/" ("" where a series has none)."""
        return {
            "t_ns": self.t_ns,
            "healthy": self.healthy,
            "totals": _joined(self.totals, int),
            "rates": _joined(self.rates, _six_digits),
            "gauges": _joined(self.gauges, _six_digits),
            "spreads": _joined(
                self.spreads, lambda s: {"p50": _six_digits(s.p50), "p95": _six_digits(s.p95)}
            ),
            "histograms": _joined(self.histograms, lambda h: [round(share, 4) for share in h]),
            "traces": _joined(self.traces, lambda t: [[round(age, 1), _six_digits(v)] for age, v in t]),
            "texts": _joined(self.texts, str),
            "beats": [{**asdict(b), "ok": b.ok} for b in self.beats],
            "conditions": [asdict(c) for c in self.conditions],
            "events": [asdict(e) for e in self.events],
        }


def _joined(table: Labelled[V], value: Any) -> dict[str, dict[str, Any]]:
    return {name: {"/".join(k): value(v) for k, v in row.items()} for name, row in table.items()}


def _percentiles(values: Spread) -> dict[str, float]:
    return {"p50": _six_digits(values.p50), "p95": _six_digits(values.p95)}


def _six_digits(value: float) -> float:
    return float(f"{value:.6g}")


def rate_hz(stamps_ns: Sequence[int], now_ns: int, window_ns: int) -> float:
    """Events per second from their times, oldest first, looking back ``window_ns`` from ``now_ns``.

    While events keep coming it is the inverse of their mean distance, so it does not flutter with the moment
    of asking. When the next one is overdue by more than one distance the silence counts too, and the rate
    falls to 0 within the window. Fewer than two events in the window are 0.
    """
    recent = [t for t in stamps_ns if t > now_ns - window_ns]
    if len(recent) < 2 or recent[-1] <= recent[0]:
        return 0.0
    span = recent[-1] - recent[0]
    overdue = now_ns - recent[-1] > 2 * span / (len(recent) - 1)
    return (len(recent) - 1) * 1e9 / (now_ns - recent[0] if overdue else span)


def spread(values: Iterable[float]) -> Spread:
    """Percentiles by nearest rank. Raises ValueError without values."""
    ranked = sorted(values)
    if not ranked:
        raise ValueError("spread: no values")
    n = len(ranked)
    return Spread(ranked[math.ceil(0.5 * n) - 1], ranked[math.ceil(0.95 * n) - 1], n)
