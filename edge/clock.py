"""Device clocks against the host's, and so against each other.

A camera stamps the middle of an exposure on its own clock. A frame arrives after the rest of the exposure,
the readout and a transfer whose jitter only ever adds delay, so the *earliest* arrivals carry the truth: a
line through the lower envelope of (device, host) stamps gives offset and drift. Arrival jitter never becomes
frame time; it only moves the offset between two cameras, where the readout delay of equal models cancels.

Some cameras count in wrong units (known: x10 and x0.694 for 1 ns ticks); the ratio is found from the first
seconds and snapped to the table below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge.frames import Frame

KNOWN_TICK_RATIOS = (1.0, 10.0, 0.1, 0.694, 1.0 / 0.694, 1000.0, 0.001)
"""Device nanoseconds per real nanosecond that cameras are known to report."""

SNAP_TOLERANCE = 0.02
ARRIVAL_JITTER_NS = 5_000_000
"""What an arrival may be late by; makes the first, short looks at the tick ratio tolerant."""
SETTLED_SPAN_NS = 60_000_000
BUCKET_NS = 250_000_000
MAX_BUCKETS = 240
DRIFT_PRIOR_PPM = 50.0
"""Crystals of industrial cameras are specified at 50 to 100 ppm."""
ENVELOPE_NOISE_NS = 100_000.0
"""Spread of the earliest arrival of a bucket; weighs the data against the drift prior."""


def snap_tick_ratio(measured: float, tolerance: float = SNAP_TOLERANCE) -> float:
    """The nearest known tick ratio (device ns per real ns) if within ``tolerance``, else ``measured``."""
    if not (math.isfinite(measured) and measured > 0):
        raise ValueError(f"tick ratio must be finite and positive, got {measured}")
    nearest = min(KNOWN_TICK_RATIOS, key=lambda known: abs(math.log(measured / known)))
    return nearest if abs(measured / nearest - 1.0) <= tolerance else measured


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

    def to_host(self, t_device_ns: int) -> float:
        """Host time in ns at which the instant ``t_device_ns`` happened (plus the constant delay)."""
        return self.host0_ns + (t_device_ns - self.device0_ns) * self._host_per_device

    def to_device(self, t_host_ns: float) -> float:
        """Inverse of ``to_host``."""
        return self.device0_ns + (t_host_ns - self.host0_ns) / self._host_per_device


class ClockFit:
    """Collects stamps of one camera and answers with the best line so far.

    ``observe`` takes the mid-exposure device stamp and the arrival *less half the exposure*, so that frames
    of different exposure have the same delay.
    """

    def __init__(self) -> None:
        self._first: tuple[int, int] | None = None
        self._last: tuple[int, int] | None = None
        self._ratio = 1.0
        self._ratio_span_ns = 0
        self._buckets: list[tuple[int, float, float]] = []  # (bucket, device seconds, lowest delay in ns)
        self._line: ClockLine | None = None

    @property
    def line(self) -> ClockLine | None:
        """The current line, or None before the first frame."""
        return self._line

    @property
    def settled(self) -> bool:
        """Whether enough time has passed for the tick ratio to be known."""
        return self._ratio_span_ns > 0

    def observe(self, t_device_ns: int, t_host_ns: int, exposure_us: float) -> ClockLine:
        """Add one frame and return the refined line. Stamps that run backwards restart the fit."""
        t_host_ns -= round(exposure_us * 500.0)
        if self._first is None or self._last is None or t_device_ns <= self._last[0]:
            self._restart(t_device_ns, t_host_ns)
        self._last = (t_device_ns, t_host_ns)
        self._find_ratio(t_device_ns, t_host_ns)
        self._add(t_device_ns, t_host_ns)
        self._line = self._solve()
        return self._line

    def _restart(self, t_device_ns: int, t_host_ns: int) -> None:
        self._first = (t_device_ns, t_host_ns)
        self._buckets = []
        self._ratio, self._ratio_span_ns = 1.0, 0

    def _find_ratio(self, t_device_ns: int, t_host_ns: int) -> None:
        assert self._first is not None
        host_span = t_host_ns - self._first[1]
        # The span doubles between looks: early looks are coarse, and a settled ratio is not questioned again.
        if host_span < max(SETTLED_SPAN_NS, 2 * self._ratio_span_ns) or self._ratio_span_ns > 2_000_000_000:
            return
        tolerance = SNAP_TOLERANCE + ARRIVAL_JITTER_NS / host_span
        ratio = snap_tick_ratio((t_device_ns - self._first[0]) / host_span, tolerance)
        self._ratio_span_ns = host_span
        if ratio != self._ratio:
            self._ratio = ratio
            self._buckets = []

    def _add(self, t_device_ns: int, t_host_ns: int) -> None:
        assert self._first is not None
        since_ns = (t_device_ns - self._first[0]) / self._ratio
        delay_ns = (t_host_ns - self._first[1]) - since_ns
        bucket = int(since_ns // BUCKET_NS)
        if self._buckets and self._buckets[-1][0] == bucket:
            if delay_ns < self._buckets[-1][2]:
                self._buckets[-1] = (bucket, since_ns * 1e-9, delay_ns)
        else:
            self._buckets.append((bucket, since_ns * 1e-9, delay_ns))
            del self._buckets[:-MAX_BUCKETS]

    def _solve(self) -> ClockLine:
        """Ridge regression of delay on time: the drift prior rules until the data outweighs it."""
        assert self._first is not None
        if not self._buckets:
            return ClockLine(self._first[0], float(self._first[1]), self._ratio, 0.0, 0.0)
        t_s = np.array([b[1] for b in self._buckets])
        delay_ns = np.array([b[2] for b in self._buckets])
        t_mid, d_mid = float(t_s.mean()), float(delay_ns.mean())
        spread = t_s - t_mid
        ridge = (ENVELOPE_NOISE_NS / (DRIFT_PRIOR_PPM * 1e3)) ** 2  # slope is in ns per s: 1 ppm is 1000
        slope = float(spread @ (delay_ns - d_mid)) / (float(spread @ spread) + ridge)
        residual = delay_ns - d_mid - slope * spread
        # Anchored at the middle of the data, so that a wrong slope costs least where frames are now.
        device0 = self._first[0] + round(t_mid * 1e9 * self._ratio)
        host0 = self._first[1] + t_mid * 1e9 + d_mid
        return ClockLine(device0, host0, self._ratio, -slope * 1e-3, float(residual.std()))


class TimeBase:
    """Session time for the frames of both cameras: ns of the reference camera's clock, in real units.

    Zero is the beginning of the first reference exposure, which is the common start edge.
    ``stamp`` returns the frames whose time is now known, in order of arrival: the first few wait until the
    tick ratio of their camera (and for the secondary, of the reference) is settled.
    """

    def __init__(self) -> None:
        self.reference = ClockFit()
        self.secondary = ClockFit()
        self._epoch_device_ns: int | None = None
        self._waiting: list[Frame] = []

    def stamp(self, frame: Frame) -> list[tuple[Frame, int]]:
        """Take one frame; return (frame, t_ns) for each that can be placed in session time."""
        fit = self.reference if frame.camera == "reference" else self.secondary
        fit.observe(frame.t_device_ns, frame.t_host_ns, frame.exposure.exposure_us)
        self._waiting.append(frame)
        placed = [(f, t) for f in self._waiting if (t := self._place(f)) is not None]
        if placed:
            done = {id(f) for f, _ in placed}
            self._waiting = [f for f in self._waiting if id(f) not in done]
        return placed

    def _place(self, frame: Frame) -> int | None:
        reference = self.reference.line
        if reference is None or not self.reference.settled:
            return None
        if self._epoch_device_ns is None:
            first = next(f for f in self._waiting if f.camera == "reference")
            half_ns = first.exposure.exposure_us * 500.0 * reference.tick_ratio
            self._epoch_device_ns = first.t_device_ns - round(half_ns)
        t_device: float = frame.t_device_ns
        if frame.camera == "secondary":
            if self.secondary.line is None or not self.secondary.settled:
                return None
            t_device = reference.to_device(self.secondary.line.to_host(frame.t_device_ns))
        return round((t_device - self._epoch_device_ns) / reference.tick_ratio)

    def drift_ppm(self) -> float | None:
        """Secondary clock against the reference clock; positive where the secondary runs fast."""
        if self.reference.line is None or self.secondary.line is None:
            return None
        return self.secondary.line.drift_ppm - self.reference.line.drift_ppm
