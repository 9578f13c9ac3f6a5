"""A `HealthSnapshot` as Prometheus metrics: names, help and units from the table in `edge.health.series`.

``python -m edge.web.metrics > docs/metrics.md`` writes the documentation of the names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edge.health.series import SERIES, Kind, Series
from edge.health.snapshot import HealthSnapshot

CONDITION: Final = ("twinhdr_condition_ok", "1 while the named condition holds", ("condition", "severity"))
BEAT: Final = (
    "twinhdr_stage_beat_age_seconds",
    "Time since the stage did its last round of work",
    ("stage",),
)
READY: Final = ("twinhdr_ready", "1 where /readyz answers 200: the first frame is recorded", ())
HEALTHY: Final = ("twinhdr_healthy", "1 where /healthz answers 200", ())
PREFACE: Final = """\
# Metrics

What `/metrics` publishes in the text format of Prometheus, in base units (seconds, bytes, ratios of 1). A
metric whose value is not known is left out. [A Grafana dashboard](grafana-dashboard.json) asks for
them: import the file and choose the Prometheus that scrapes the device. Written by
`python -m edge.web.metrics > docs/metrics.md`.
"""


class SnapshotCollector(Collector):
    """Asks for a snapshot at each scrape, so nothing is computed while nobody scrapes."""

    def __init__(self, snapshot: Callable[[], HealthSnapshot]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        snap = self._snapshot()
        for row in SERIES.values():
            yield from _families(row, snap)
        yield from _states(snap)


def registry(snapshot: Callable[[], HealthSnapshot]) -> CollectorRegistry:
    """A registry of its own: two servers in one process never mix their figures."""
    own = CollectorRegistry()
    own.register(SnapshotCollector(snapshot))
    return own


def exported_names(row: Series) -> list[tuple[str, str]]:
    """(metric name, meaning) of a series in /metrics; empty for text."""
    name = f"twinhdr_{row.exported}"
    if row.kind in (Kind.TEXT, Kind.HISTOGRAM):
        return []
    if row.kind is Kind.COUNTER:
        return [(f"{name}_total", row.help)]
    if row.kind is Kind.EVENTS:
        return [(f"{name}_total", row.help), (f"{name}_per_second", f"{row.help}: rate now")]
    return [(name, row.help)]


def markdown() -> str:
    """docs/metrics.md."""
    lines = [PREFACE, "| metric | labels | meaning |", "|---|---|---|"]
    for row in SERIES.values():
        labels = [*row.labels, *(["quantile"] if row.kind is Kind.SPREAD else [])]
        lines += [f"| `{name}` | {', '.join(labels)} | {text} |" for name, text in exported_names(row)]
    for name, text, given in (CONDITION, BEAT, HEALTHY, READY):
        lines.append(f"| `{name}` | {', '.join(given)} | {text} |")
    return "\n".join(lines) + "\n"


def _families(row: Series, snap: HealthSnapshot) -> Iterator[Metric]:
    name = f"twinhdr_{row.exported}"
    if row.kind in (Kind.COUNTER, Kind.EVENTS):
        total = CounterMetricFamily(name, row.help, labels=row.labels)
        for labels, count in snap.totals.get(row.name, {}).items():
            total.add_metric(labels, count)
        yield total
    if row.kind is Kind.EVENTS:
        rate = GaugeMetricFamily(f"{name}_per_second", f"{row.help}: rate now", labels=row.labels)
        for labels, per_second in snap.rates.get(row.name, {}).items():
            rate.add_metric(labels, per_second)
        yield rate
    if row.kind in (Kind.GAUGE, Kind.TRACE):
        gauge = GaugeMetricFamily(name, row.help, labels=row.labels)
        for labels, value in snap.gauges.get(row.name, {}).items():
            gauge.add_metric(labels, value * row.scale)
        yield gauge
    if row.kind is Kind.SPREAD:
        ranks = GaugeMetricFamily(name, row.help, labels=(*row.labels, "quantile"))
        for labels, values in snap.spreads.get(row.name, {}).items():
            ranks.add_metric((*labels, "0.5"), values.p50 * row.scale)
            ranks.add_metric((*labels, "0.95"), values.p95 * row.scale)
        yield ranks


def _states(snap: HealthSnapshot) -> Iterator[Metric]:
    condition = GaugeMetricFamily(CONDITION[0], CONDITION[1], labels=CONDITION[2])
    for state in snap.conditions:
        condition.add_metric((state.name, state.severity), float(state.ok))
    yield condition
    beat = GaugeMetricFamily(BEAT[0], BEAT[1], labels=BEAT[2])
    for stage in snap.beats:
        beat.add_metric((stage.stage,), stage.age_s)
    yield beat
    yield GaugeMetricFamily(HEALTHY[0], HEALTHY[1], value=float(snap.healthy))
    yield GaugeMetricFamily(READY[0], READY[1], value=float(snap.recorded))


if __name__ == "__main__":
    print(markdown(), end="")
