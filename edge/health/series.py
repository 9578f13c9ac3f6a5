"""The table of everything twinhdr publishes about itself: names, kinds, labels, units.

The daemon writes by these names (`edge.health.health`), the page reads them from /api/status, and /metrics
derives its names and help texts from them (`edge.web.metrics`). A name that is not here is refused where it
is written, so a typing error cannot become a figure that nobody ever sees.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


class Kind(enum.Enum):
    """How a series is written, and what a reader gets of it."""

    COUNTER = "counter"
    """`Health.count`: a total that only grows."""
    EVENTS = "events"
    """`Health.tick`: a total, and a rate per second over a sliding window."""
    GAUGE = "gauge"
    """`Health.gauge`: the last value."""
    TRACE = "trace"
    """`Health.trace`: the last value and the largest magnitudes of the last minute, for a sparkline."""
    SPREAD = "spread"
    """`Health.observe`: p50 and p95 of the last values."""
    HISTOGRAM = "histogram"
    """`Health.histogram`: the last shares by bin, for a graph; not in /metrics."""
    TEXT = "text"
    """`Health.text`: words; not in /metrics."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line of the table.

    ``unit`` is what the daemon writes and the page reads. /metrics publishes ``scale`` times that, in the
    base units of Prometheus, as ``twinhdr_`` and ``exported``.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    unit: str
    help: str
    exported: str = ""
    scale: float = 1.0


def _table(rows: Iterable[Series]) -> MappingProxyType[str, Series]:
    return MappingProxyType({row.name: row for row in rows})


# fmt: off
SERIES: Final = _table(
    (
        # The way of a frame. "fused" is one stream beside "reference" and "secondary".
        Series("frames", Kind.EVENTS, ("stream",), "frames",
               "Frames received from a camera (reference, secondary) or written (fused)", "frames"),
        Series("drops", Kind.COUNTER, ("stage", "cause"), "frames",
               "Frames lost, by the stage that lost them and the cause", "dropped_frames"),
        Series("rung_frames", Kind.COUNTER, ("rung",), "frames",
               "Fused frames by rung of the ladder", "rung_frames"),
        Series("recorded_bytes", Kind.COUNTER, ("stream",), "bytes",
               "Bytes written to the recording", "recorded_bytes"),
        # Fusion.
        Series("rung", Kind.GAUGE, (), "0 to 3",
               "Rung now: 0 model, 1 small model, 2 radiance merge, 3 reference alone", "rung"),
        Series("rung_reason", Kind.TEXT, (), "", "Why the rung changed last"),
        Series("model", Kind.TEXT, (), "", "The network that fuses"),
        Series("age_ms", Kind.SPREAD, ("exposure",), "ms",
               "Distance in time of the low and the high frame from the reference frame (magnitude)",
               "pair_age_seconds", 1e-3),
        Series("age_limit_ms", Kind.GAUGE, (), "ms",
               "Age from which a pair costs the fused rung", "pair_age_limit_seconds", 1e-3),
        Series("flicker", Kind.TRACE, ("picture",), "share of full scale",
               "How far mean luminance jerks between frames (edge.judge.flicker), of reference and fused",
               "flicker_ratio"),
        Series("clipped_share", Kind.GAUGE, ("picture",), "share of pixels",
               "Pixels without highlight detail, in reference and fused; where exposure is planned, in low "
               "and high", "clipped_ratio"),
        Series("crushed_share", Kind.GAUGE, ("picture",), "share of pixels",
               "Pixels without shadow detail, in reference and fused", "crushed_ratio"),
        Series("exposure_histogram", Kind.HISTOGRAM, ("picture",), "shares of pixels",
               "Pixels by quarter stops below full scale, the last ten; of fused below its own ceiling"),
        Series("sharpness", Kind.GAUGE, ("exposure",), "%",
               "Fine detail in the middle of the picture against its brightness, while somebody looks",
               "sharpness_ratio", 1e-2),
        # Exposure, as used; "low", "reference", "high".
        Series("exposure_us", Kind.GAUGE, ("exposure",), "us",
               "Exposure time", "exposure_seconds", 1e-6),
        Series("gain_db", Kind.GAUGE, ("exposure",), "dB", "Sensor gain", "gain_decibels"),
        Series("ev", Kind.GAUGE, ("exposure",), "EV",
               "Exposure against the reference, in stops; positive collects more light", "exposure_ev"),
        Series("range_ev", Kind.GAUGE, (), "EV",
               "Usable range of one exposure, from saturation down to the noise floor", "exposure_range_ev"),
        # Cameras that may go and come back.
        Series("camera_losses", Kind.COUNTER, ("camera",), "losses",
               "Times that a camera was lost and opened again", "camera_losses"),
        Series("transport", Kind.COUNTER, ("camera", "what"), "events",
               "What the driver of a camera counts: failed frames, frames without a buffer, packets missing "
               "and asked for again", "camera_transport"),
        # Automatic exposure.
        Series("exposure_cause", Kind.TEXT, ("camera",), "", "Why the camera is exposed as it is"),
        Series("brightness_off_ev", Kind.GAUGE, (), "EV",
               "Log-average brightness of the reference above its target, where exposure is automatic",
               "brightness_off_ev"),
        Series("dark_share", Kind.GAUGE, ("exposure",), "share of pixels",
               "Pixels of low, reference and high below 1/128 of full scale, where exposure is automatic",
               "dark_ratio"),
        # Clocks.
        Series("clock_drift_ppm", Kind.GAUGE, (), "ppm",
               "Rate of the secondary camera's clock against the reference camera's", "clock_drift_ppm"),
        Series("clock_residual_ms", Kind.GAUGE, (), "ms",
               "Residual of the clock fit that pairing relies on", "clock_residual_seconds", 1e-3),
        Series("pair_residual_ms", Kind.GAUGE, ("rank",), "ms",
               "How far the two cameras' placed times disagree with their earliest arrivals, over the whole "
               "recording: p50, p99 and max of half seconds", "pair_residual_seconds", 1e-3),
        Series("start_skew_us", Kind.GAUGE, (), "us",
               "The most by which the cameras were started apart, as the trigger says",
               "start_skew_seconds", 1e-6),
        Series("start_apart_ms", Kind.GAUGE, (), "ms",
               "How much later the secondary's first exposure began, by the cameras' own clocks",
               "start_apart_seconds", 1e-3),
        # The machine room.
        Series("stage_ms", Kind.SPREAD, ("stage",), "ms",
               "Time one frame takes in a stage", "stage_seconds", 1e-3),
        Series("deadline_ms", Kind.GAUGE, (), "ms",
               "Period of the reference camera: what a frame may take", "frame_period_seconds", 1e-3),
        Series("ring_depth", Kind.GAUGE, ("ring",), "frames", "Frames waiting in a ring", "ring_frames"),
        Series("ring_capacity", Kind.GAUGE, ("ring",), "frames",
               "Frames a ring holds before it drops", "ring_capacity_frames"),
        Series("encoder_backlog", Kind.GAUGE, (), "frames",
               "Frames given to the encoder and not yet back", "encoder_backlog_frames"),
        # The supervisor.
        Series("stage_restarts", Kind.COUNTER, ("stage",), "restarts",
               "Times that a stage ended or hung and was started again", "stage_restarts"),
        Series("threads_left_behind", Kind.GAUGE, (), "threads",
               "Threads that hang and were replaced", "threads_left_behind"),
        Series("zone_celsius", Kind.GAUGE, ("zone",), "degrees Celsius",
               "Temperature of a zone of the machine", "zone_celsius"),
        Series("heat_band", Kind.GAUGE, (), "0 to 4",
               "What heat and power allow: 0 everything, 1 no large network, 2 no network, 3 no preview "
               "either, 4 only what is recorded first", "heat_band"),
        Series("cpu_celsius", Kind.GAUGE, (), "degrees Celsius", "CPU temperature", "cpu_celsius"),
        Series("rss_bytes", Kind.GAUGE, (), "bytes", "Resident memory", "resident_memory_bytes"),
        # The recording.
        Series("disk_free_bytes", Kind.GAUGE, (), "bytes",
               "Free space where the session is written", "disk_free_bytes"),
        Series("disk_left_s", Kind.GAUGE, (), "s",
               "Recording time until the floor of free space is reached", "disk_left_seconds"),
        Series("disk_waiting_s", Kind.GAUGE, (), "s",
               "How long the oldest write under way has been waiting for the disk", "disk_waiting_seconds"),
        Series("disk_faults", Kind.COUNTER, ("cause",), "faults",
               "Pauses of the recording: disk_full, disk_read_only, disk_removed, disk_error",
               "disk_faults"),
        Series("deleted", Kind.COUNTER, ("what",), "files or folders",
               "Old sessions, and old segments of the running one, deleted to make room", "deleted"),
        Series("deleted_bytes", Kind.COUNTER, ("what",), "bytes",
               "Bytes in what was deleted to make room", "deleted_bytes"),
        Series("session", Kind.TEXT, (), "", "Name of the session being recorded"),
        Series("session_s", Kind.GAUGE, (), "s", "Duration of the session", "session_seconds"),
        Series("source", Kind.TEXT, (), "", "Where the frames come from"),
    )
)
# fmt: on


class UnknownSeriesError(KeyError):
    """A name, kind or number of labels that the table does not have: a bug in the calling stage."""


def series(name: str, kind: Kind, labels: tuple[str, ...]) -> Series:
    """The row of ``name``. Raises UnknownSeriesError where it is missing, of another kind or labelled so."""
    row = SERIES.get(name)
    if row is None or row.kind is not kind or len(row.labels) != len(labels):
        known = "no such name" if row is None else f"it is {row.kind.value} with labels {row.labels}"
        raise UnknownSeriesError(f"{kind.value} series {name}{labels}: {known}; see edge/health/series.py")
    return row
