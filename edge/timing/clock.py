"""Device clocks against the host's, and so against each other.

A camera stamps the middle of an exposure on its own clock. A frame arrives after the rest of the exposure,
the readout and a transfer whose jitter only ever adds delay, so the *earliest* arrivals carry the truth: a
line through the lower envelope of (device, host) stamps gives offset and drift. Arrival jitter never becomes
frame time; it only moves the offset between two cameras, where the readout delay of equal models cancels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edge.timing.ticks import TickFinder, TickRatio

BUCKET_NS = 250_000_000
OLD_BUCKET_S = 2.0
MAX_BUCKETS = 120
"""Of either size: half a minute in detail, and four minutes before it."""
ENVELOPE_NOISE_NS = 100_000.0
"""Spread of the earliest arrival of a bucket; weighs the data against the drift prior."""
LATE_NS = 300_000.0
"""A bucket whose earliest arrival is later than this above the earliest line was held up: no evidence."""
STEEPEST = 4.0
"""Times the drift that the tick ratio leaves open: a first line may not be steeper, or two late arrivals that
happen to rise would pass for a fast clock."""
WARMING = 50.0
"""A crystal that warms up changes its rate by less than this, in ns per s (0.05 ppm) every second."""
SURE = 4.0
"""Standard errors of a rate that was once known."""
FIRM = 20e3
"""A rate known better than this (ns per s) begins the next line: it decides which arrivals are late."""
ROUNDS = 3
JUMP_NS = 1_000_000_000
"""No frame arrives this long before it was taken: the device clock was set forward."""
BURST_NS = 2_000_000
"""Arrivals closer than this were handed over together, after the host was held up."""
MAX_EARLY = 64


@dataclass(frozen=True, slots=True)
class ClockLine:
    """``host = host0 + (device - device0) / tick_ratio * (1 - drift)``, all in ns.

    ``drift_ppm`` is positive where the device clock runs fast. ``residual_ns`` is the spread (standard
    deviation) of the envelope around the line.
    """

    device0_ns: int
    host0_ns: float
    tick_ratio: float
    drift_ppm: float
    residual_ns: float

    @property
    def _host_per_device(self) -> float:
        return (1.0 - self.drift_ppm * 1e-6) / self.tick_ratio

    def to_host(self, t_device_ns: float) -> float:
        """Host time in ns at which the instant ``t_device_ns`` happened (plus the constant delay)."""
        return self.host0_ns + (t_device_ns - self.device0_ns) * self._host_per_device

    def to_device(self, t_host_ns: float) -> float:
        """Inverse of ``to_host``."""
        return self.device0_ns + (t_host_ns - self.host0_ns) / self._host_per_device


class ClockFit:
    """Collects stamps of one camera, from its start to its next, and answers with the best line so far.

    Minutes of evidence are kept: a host may be busy for so long, and a crystal that warms up bends so slowly.
    """

    def __init__(self) -> None:
        self._ticks = TickFinder()
        self._ratio: TickRatio | None = None
        self._early: list[tuple[int, float]] = []
        self._last: tuple[int, int] | None = None
        self._zero = (0, 0.0)
        self._bucket = 0
        self._recent: list[tuple[float, float]] = []
        self._old: list[tuple[float, float]] = []
        self._known: _Rate | None = None
        self._line: ClockLine | None = None

    @property
    def line(self) -> ClockLine | None:
        """The current line, or None while the tick ratio is not known."""
        return self._line

    def continues(self, t_device_ns: int, t_host_ns: int) -> bool:
        """Whether a frame with these stamps can be of the same run of the device clock.

        It is not where stamps run backwards (the camera was restarted), or so far ahead that the frame would
        have arrived before it was taken (its clock was set).
        """
        if self._last is not None and t_device_ns <= self._last[0]:
            return False
        return self._line is None or self._line.to_host(t_device_ns) - t_host_ns < JUMP_NS

    def observe(self, t_device_ns: int, t_host_ns: int, exposure_us: float) -> None:
        """Add one frame of this run: stamps of the middle of its exposure and of its arrival."""
        at_host_ns = t_host_ns - exposure_us * 500.0  # the same delay for short and long exposures
        in_burst = self._last is not None and t_host_ns - self._last[1] < BURST_NS
        self._last = (t_device_ns, t_host_ns)
        ratio = self._ticks.observe(t_device_ns, round(at_host_ns), in_burst)
        if ratio is None:
            self._early.append((t_device_ns, at_host_ns))
            del self._early[:-MAX_EARLY]
            return
        better = ratio != self._ratio
        if better:
            self._ratio, self._zero = ratio, (t_device_ns, at_host_ns)
            self._recent, self._old, self._known = [], [], None
            for early in self._early:
                self._add(ratio, *early)
            self._early = []
        if self._add(ratio, t_device_ns, at_host_ns) or better:
            self._line = self._solve(ratio)

    def _add(self, ratio: TickRatio, t_device_ns: int, at_host_ns: float) -> bool:
        """Keep the earliest arrival of each bucket of time. Whether this one is evidence."""
        since_ns = (t_device_ns - self._zero[0]) / ratio.value
        delay_ns = at_host_ns - self._zero[1] - since_ns
        point, bucket = (since_ns * 1e-9, delay_ns), int(since_ns // BUCKET_NS)
        if not self._recent or bucket != self._bucket:
            self._bucket = bucket
            self._recent.append(point)
            if len(self._recent) > MAX_BUCKETS:
                self._keep_old(self._recent.pop(0))
        elif delay_ns < self._recent[-1][1]:
            self._recent[-1] = point
        else:
            return False
        return True

    def _keep_old(self, point: tuple[float, float]) -> None:
        if not self._old or point[0] // OLD_BUCKET_S != self._old[-1][0] // OLD_BUCKET_S:
            self._old.append(point)
            del self._old[:-MAX_BUCKETS]
        elif point[1] < self._old[-1][1]:
            self._old[-1] = point

    def _solve(self, ratio: TickRatio) -> ClockLine:
        """Ridge regression of the earliest delays on time: the drift prior rules until the data outweighs it.

        On a busy host most buckets are late, by milliseconds and by chance, and a mean over them would move
        with the load; so only what lies on the lower edge counts. The edge may not turn faster than a crystal
        can: a host that becomes busy for good is no slow clock.
        """
        t_s, delay_ns = np.array(self._old + self._recent).T
        known = self._known or _Rate(0.0, STEEPEST * 1e3 * ratio.error_ppm, 0.0)
        now_s = float(t_s[-1])
        slope = (
            known.slope if known.error_at(now_s) < FIRM else known.nearest(_edge_slope(t_s, delay_ns), now_s)
        )
        above_ns = delay_ns - slope * t_s
        for _ in range(ROUNDS):
            used = above_ns <= above_ns.min() + LATE_NS
            t_mid, d_mid, slope = _ridge(t_s[used], delay_ns[used], ratio.error_ppm)
            above_ns = delay_ns - (d_mid + slope * (t_s - t_mid))
        rate = _Rate(slope, SURE * _slope_error(t_s[used]), float(t_s[used][-1]))
        if rate.error_at(now_s) < known.error_at(now_s):
            self._known = rate
        spread_ns = math.sqrt(float(above_ns[used] @ above_ns[used]) / int(used.sum()))
        # Anchored at the middle of the data, where a wrong slope costs nothing.
        device0 = self._zero[0] + round(t_mid * 1e9 * ratio.value)
        host0 = self._zero[1] + t_mid * 1e9 + d_mid
        return ClockLine(device0, host0, ratio.value, -slope * 1e-3, spread_ns)


@dataclass(frozen=True, slots=True)
class _Rate:
    """A slope in ns per s, known to ``error`` at ``t_s``."""

    slope: float
    error: float
    t_s: float

    def error_at(self, t_s: float) -> float:
        return self.error + WARMING * (t_s - self.t_s)

    def nearest(self, slope: float, t_s: float) -> float:
        """What the rate can be at ``t_s`` that is nearest to ``slope``."""
        error = self.error_at(t_s)
        return min(max(slope, self.slope - error), self.slope + error)


def _slope_error(t_s: NDArray[np.float64]) -> float:
    spread = t_s - t_s.mean()
    return ENVELOPE_NOISE_NS / math.sqrt(max(float(spread @ spread), 1e-9))


def _edge_slope(t_s: NDArray[np.float64], delay_ns: NDArray[np.float64]) -> float:
    """Slope (ns per s) of the lower convex hull under the middle of the times; 0 for a single point.

    Of all lines below the points it is the one nearest to them (Moon, Skelly, Towsley 1999).
    """
    hull: list[int] = []
    for point in range(len(t_s)):
        while len(hull) > 1 and _turns_down(t_s, delay_ns, hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    middle = float(t_s.mean())
    for left, right in pairwise(hull):
        if t_s[right] >= middle:
            return float((delay_ns[right] - delay_ns[left]) / (t_s[right] - t_s[left]))
    return 0.0


def _turns_down(t_s: NDArray[np.float64], delay_ns: NDArray[np.float64], a: int, b: int, c: int) -> bool:
    """Whether ``b`` lies on or above the line from ``a`` to ``c``."""
    rise, run = delay_ns[c] - delay_ns[a], t_s[c] - t_s[a]
    return bool((delay_ns[b] - delay_ns[a]) * run >= rise * (t_s[b] - t_s[a]))


def _ridge(
    t_s: NDArray[np.float64], delay_ns: NDArray[np.float64], prior_ppm: float
) -> tuple[float, float, float]:
    """Mean time, mean delay and slope (ns per s; 1 ppm is 1000)."""
    t_mid, d_mid = float(t_s.sum()) / len(t_s), float(delay_ns.sum()) / len(t_s)
    spread = t_s - t_mid
    ridge = (ENVELOPE_NOISE_NS / (prior_ppm * 1e3)) ** 2
    return t_mid, d_mid, float(spread @ (delay_ns - d_mid)) / (float(spread @ spread) + ridge)
