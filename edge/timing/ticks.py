"""In which unit a camera counts: device nanoseconds per real nanosecond.

Some cameras count in wrong units (known: x10 and x0.694 for 1 ns ticks). The ratio is looked for among the
known ones first, because that needs three frames; any other ratio has to be measured, which takes longer.
Arrivals are only ever late, sometimes very late: nothing here trusts a single one of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KNOWN_TICK_RATIOS = (1.0, 10.0, 0.1, 0.694, 1.0 / 0.694, 1000.0, 0.001)
"""Device nanoseconds per real nanosecond that cameras are known to report."""
CRYSTAL_PPM = 50.0
"""Crystals of industrial cameras are specified at 50 to 100 ppm."""
ROUNDED_PPM = 500.0
"""0.694 is known to three digits only (25/36, perhaps)."""
MEASURED_PPM = 2_000.0

SNAP_TOLERANCE = 0.02
FEWEST_STAMPS = 3
SETTLED_SPAN_NS = 60_000_000
DECISIVE = 3.0
"""How many times better than the next one a known ratio must explain the arrivals."""
JITTER_FLOOR_NS = 1_000_000.0
"""Spread of arrivals that says nothing: a ratio is not better for explaining less than this."""
UNKNOWN_SPAN_NS = 400_000_000
"""From here on a ratio that is not in the table is taken as measured."""
REVIEW_SPAN_NS = 1_000_000_000
"""The one later look at a settled ratio: a lucky row of late arrivals must not stay a wrong clock."""


@dataclass(frozen=True, slots=True)
class TickRatio:
    """Device ns per real ns, and by how much the true rate may differ from it."""

    value: float
    error_ppm: float


def snap_tick_ratio(measured: float, tolerance: float = SNAP_TOLERANCE) -> float:
    """The nearest known tick ratio (device ns per real ns) if within ``tolerance``, else ``measured``."""
    if not (math.isfinite(measured) and measured > 0):
        raise ValueError(f"tick ratio must be finite and positive, got {measured}")
    nearest = min(KNOWN_TICK_RATIOS, key=lambda known: abs(math.log(measured / known)))
    return nearest if abs(measured / nearest - 1.0) <= tolerance else measured


class TickFinder:
    """Looks at the first second of one camera's stamps."""

    def __init__(self) -> None:
        self._stamps: list[tuple[int, int]] = []
        self._found: TickRatio | None = None
        self._reviewed = False

    @property
    def found(self) -> TickRatio | None:
        """The ratio, None while too little was seen. Changes at most once."""
        return self._found

    def observe(self, t_device_ns: int, t_host_ns: int, in_burst: bool = False) -> TickRatio | None:
        """Add one stamp, ``t_device_ns`` greater than all before; return what is known now.

        ``in_burst``: it was handed over together with the one before, which therefore was later still and is
        forgotten.
        """
        if self._reviewed:
            return self._found
        stamps = self._stamps
        if stamps and in_burst:
            stamps.pop()
        stamps.append((t_device_ns, t_host_ns))
        span_ns = t_host_ns - stamps[0][1]
        if len(stamps) < FEWEST_STAMPS or span_ns < SETTLED_SPAN_NS:
            return self._found
        since = np.array(stamps, np.int64) - np.array(stamps[0], np.int64)
        device_ns, host_ns = since[:, 0].astype(np.float64), since[:, 1].astype(np.float64)
        if self._found is None:
            self._found = _decide(device_ns, host_ns, span_ns >= UNKNOWN_SPAN_NS)
        if span_ns >= REVIEW_SPAN_NS:
            self._reviewed = True
            self._stamps = []
            settled = _settle(device_ns, host_ns)
            if self._found is None or abs(settled.value / self._found.value - 1.0) > SNAP_TOLERANCE:
                self._found = settled
        return self._found


def _decide(
    device_ns: NDArray[np.float64], host_ns: NDArray[np.float64], any_ratio: bool
) -> TickRatio | None:
    """The known ratio that explains the arrivals much better than the others; later also a measured one."""
    (best, ratio), (next_best, _) = _ranked(device_ns, host_ns)[:2]
    if next_best > DECISIVE * max(best, JITTER_FLOOR_NS) and best < DECISIVE * JITTER_FLOOR_NS:
        return _named(ratio)
    return _settle(device_ns, host_ns) if any_ratio else None


def _settle(device_ns: NDArray[np.float64], host_ns: NDArray[np.float64]) -> TickRatio:
    """The measured ratio, if it explains the arrivals much better than a right clock does; else that.

    Arrivals that fit no ratio measure a host that was held up, and most clocks are right.
    """
    measured = _named(_measure(device_ns, host_ns))
    left = max(_spread(host_ns - device_ns / measured.value), JITTER_FLOOR_NS)
    return measured if _spread(host_ns - device_ns) > DECISIVE * left else _named(1.0)


def _ranked(device_ns: NDArray[np.float64], host_ns: NDArray[np.float64]) -> list[tuple[float, float]]:
    """(spread that is left, known ratio), the one that explains the arrivals best first."""
    return sorted((_spread(host_ns - device_ns / ratio), ratio) for ratio in KNOWN_TICK_RATIOS)


def _named(measured: float) -> TickRatio:
    """The known ratio that was meant, else the measured one."""
    ratio = snap_tick_ratio(measured)
    if ratio not in KNOWN_TICK_RATIOS:
        return TickRatio(ratio, MEASURED_PPM)
    decade = math.log10(ratio)
    return TickRatio(ratio, CRYSTAL_PPM if decade == round(decade) else ROUNDED_PPM)


def _spread(delay_ns: NDArray[np.float64]) -> float:
    """Median distance from the median: blind to the few arrivals that are far too late."""
    return float(np.median(np.abs(delay_ns - np.median(delay_ns))))


def _measure(device_ns: NDArray[np.float64], host_ns: NDArray[np.float64]) -> float:
    """Median of the slopes between all pairs of stamps (Theil 1950, Sen 1968)."""
    first, second = np.triu_indices(len(device_ns), 1)
    slopes = (host_ns[second] - host_ns[first]) / (device_ns[second] - device_ns[first])
    # Clocks run forwards: where a burst hides it, one per million stands for "not known yet".
    return 1.0 / max(float(np.median(slopes)), 1e-6)
