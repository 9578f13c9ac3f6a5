"""How well the two cameras' clocks agree, judged from the frames as they were placed in time.

Placing frames (``edge.timing.timebase``) fits each clock against the host's over the last minute. This
looks at the result from outside and over the whole recording: in each half second the earliest arrival of
each camera says where its clock stood at one instant of the host's. Two such instants give one comparison
of both device clocks directly; a line through all of them since the common start gives their drift, and how
far the placed times disagree with each single one is the residual that pairing works with. Arrivals are
only ever late, so the residual bounds the error of pairing from above.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from edge.frames import CameraName, Exposure, Frame

BUCKET_NS = 500_000_000
BIN_NS = 10_000
MOST_BINS = 100_000
"""Residuals are counted in steps of 10 us; what is beyond a second counts as a second."""
FEWEST = 4
"""Comparisons from which a drift is told."""
OUTLIER_NS = 1_000_000.0
"""A comparison so far off the line of the others was late as a whole."""
FIRM = 16
"""Comparisons from which the line may call one an outlier."""


@dataclass(frozen=True, slots=True)
class Residuals:
    """Distances in ms between placed times and arrivals, each the magnitude of one half second's."""

    p50_ms: float
    p99_ms: float
    max_ms: float
    count: int


@dataclass(frozen=True, slots=True)
class ClockFigures:
    """What is known so far; None: not yet.

    ``drift_ppm`` is the rate of the secondary clock against the reference clock beyond ``tick_ratio``, since
    the common start or, if a camera was restarted, since then; ``drift_error_ppm`` its standard error.
    ``start_apart_ms`` is how much later than the reference's the secondary's first exposure began, by these
    clocks; None where it was not the first, or a camera was restarted since.
    """

    tick_ratio: float
    drift_ppm: float | None
    drift_error_ppm: float | None
    residuals: Residuals | None
    start_apart_ms: float | None


@dataclass(frozen=True, slots=True)
class _Instant:
    """One frame: its device stamp, its session time, and when the host had it, half its exposure ago."""

    device_ns: int
    t_ns: int
    at_host_ns: float

    @property
    def delay_ns(self) -> float:
        return self.at_host_ns - self.t_ns


class ClockTruth:
    """Takes every placed frame, in the order of arrival within each camera. One thread at a time."""

    def __init__(self) -> None:
        self._begin_host_ns: int | None = None
        self._bucket = 0
        self._earliest: dict[CameraName, _Instant] = {}
        self._epochs: dict[CameraName, int] = {}
        self._first: dict[CameraName, tuple[_Instant, Exposure]] = {}
        self._restarted = False
        self._line = _Line()
        self._bins: Counter[int] = Counter()

    def observe(self, frame: Frame, t_ns: int) -> None:
        """A good frame and its session time."""
        camera = frame.camera
        half_ns = frame.exposure.exposure_us * 500.0
        instant = _Instant(frame.t_device_ns, t_ns, frame.t_host_ns - half_ns)
        if self._begin_host_ns is None:
            self._begin_host_ns = frame.t_host_ns
        if self._epochs.setdefault(camera, frame.epoch) != frame.epoch:
            self._epochs[camera] = frame.epoch
            self._restarted, self._line, self._earliest = True, _Line(), {}
        self._first.setdefault(camera, (instant, frame.exposure))
        bucket = (frame.t_host_ns - self._begin_host_ns) // BUCKET_NS
        if bucket > self._bucket:
            self._compare()
            self._bucket, self._earliest = bucket, {}
        before = self._earliest.get(camera)
        if before is None or instant.delay_ns < before.delay_ns:
            self._earliest[camera] = instant

    def figures(self, tick_ratio: float) -> ClockFigures:
        """All figures; ``tick_ratio`` (secondary ns per reference ns) is what drift is counted from."""
        line = self._line
        known = line.count >= FEWEST
        return ClockFigures(
            tick_ratio=tick_ratio,
            drift_ppm=(line.slope / tick_ratio - 1.0) * 1e6 if known else None,
            drift_error_ppm=line.slope_error / tick_ratio * 1e6 if known else None,
            residuals=self._residuals(),
            start_apart_ms=self._start_apart_ms() if known and not self._restarted else None,
        )

    def _compare(self) -> None:
        reference, secondary = self._earliest.get("reference"), self._earliest.get("secondary")
        if reference is None or secondary is None:
            return
        off_ns = abs(secondary.delay_ns - reference.delay_ns)
        self._bins[min(math.floor(off_ns / BIN_NS), MOST_BINS)] += 1
        # The reference clock at the instant the secondary's stamp is of; the host bridges a moment.
        reference_ns = reference.t_ns + secondary.at_host_ns - reference.at_host_ns
        self._line.add(reference_ns, float(secondary.device_ns - self._first["secondary"][0].device_ns))

    def _residuals(self) -> Residuals | None:
        count = sum(self._bins.values())
        if not count:
            return None
        ranked = sorted(self._bins)

        def rank_ms(share: float) -> float:
            left = math.ceil(share * count)
            for place in ranked:
                left -= self._bins[place]
                if left <= 0:
                    return (place + 0.5) * BIN_NS / 1e6
            raise AssertionError("a share of at most 1 is reached")

        return Residuals(rank_ms(0.5), rank_ms(0.99), rank_ms(1.0), count)

    def _start_apart_ms(self) -> float | None:
        if len(self._first) < 2:
            return None
        (reference, reference_used), (_, secondary_used) = self._first["reference"], self._first["secondary"]
        secondary_ns = self._line.x_of(0.0) - secondary_used.exposure_us * 500.0
        apart_ms = (secondary_ns - (reference.t_ns - reference_used.exposure_us * 500.0)) / 1e6
        return apart_ms


class _Line:
    """Least squares of y on x, one point at a time (Welford 1962), kept small by a rough slope."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None
        self._rough: float | None = None
        self.count = 0
        self._x = self._y = self._sxx = self._sxy = self._syy = 0.0

    def add(self, x: float, y: float) -> None:
        """One more point, unless it is far off a firm line."""
        if self._first is None:
            self._first = (x, y)
            return
        x, y = x - self._first[0], y - self._first[1]
        if self._rough is None:
            self._rough = y / x
        y = y / self._rough - x
        if self.count >= FIRM and abs(y - self._y - self._slope() * (x - self._x)) > OUTLIER_NS:
            return
        self.count += 1
        dx, dy = x - self._x, y - self._y
        self._x += dx / self.count
        self._y += dy / self.count
        self._sxx += dx * (x - self._x)
        self._sxy += dx * (y - self._y)
        self._syy += dy * (y - self._y)

    @property
    def slope(self) -> float:
        """dy / dx."""
        return (1.0 + self._slope()) * (self._rough or 1.0)

    @property
    def slope_error(self) -> float:
        """Standard error of ``slope``."""
        left = max(self._syy - self._slope() * self._sxy, 0.0) / max(self.count - 2, 1)
        return math.sqrt(left / self._sxx) * (self._rough or 1.0) if self._sxx else math.inf

    def x_of(self, y: float) -> float:
        """Where the line has the value ``y``."""
        if self._first is None or self._rough is None:
            raise ValueError("a line through fewer than two points")
        # At y the detrended value is (y - y0) / rough - x, and on the line it is mean + slope (x - mean x).
        scaled = (y - self._first[1]) / self._rough
        x = (scaled - self._y + self._slope() * self._x) / (1.0 + self._slope())
        return self._first[0] + x

    def _slope(self) -> float:
        return self._sxy / self._sxx if self._sxx else 0.0
