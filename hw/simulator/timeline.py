"""When a virtual camera takes each frame, and what becomes of it: pure functions of spec, seed and number.

True time is counted in ns from the start edge.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edge.frames import CameraName, Exposure
from hw.simulator.spec import CameraSpec, DeviceClock

Purpose = Literal["noise", "fate", "jitter"]
CAMERA_KEYS: dict[CameraName, int] = {"reference": 0, "secondary": 1}
PURPOSE_KEYS: dict[Purpose, int] = {"noise": 0, "fate": 1, "jitter": 2}


class Fate(enum.Enum):
    """What the transport does to a frame."""

    DELIVERED = "delivered"
    INCOMPLETE = "incomplete"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """Middle of the exposure, its end and the arrival at the host, in ns of true time."""

    mid_ns: int
    end_ns: int
    arrival_ns: int


def frame_rng(seed: int, camera: CameraName, seq: int, purpose: Purpose) -> np.random.Generator:
    """The randomness of one frame: independent of every other frame and of the order of rendering."""
    key = (seed, CAMERA_KEYS[camera], seq, PURPOSE_KEYS[purpose])
    return np.random.Generator(np.random.SFC64(key))


def start_ns(spec: CameraSpec, seq: int) -> int:
    """Begin of the exposure of frame ``seq``."""
    own_us = seq * spec.frame_period_us / (1.0 + spec.clock.drift_ppm * 1e-6)
    return round((spec.start_delay_us + own_us) * 1e3)


def frame_times(spec: CameraSpec, seed: int, camera: CameraName, seq: int, exposure: Exposure) -> FrameTimes:
    begin = start_ns(spec, seq)
    end = begin + round(exposure.exposure_us * 1e3)
    jitter_us = frame_rng(seed, camera, seq, "jitter").exponential(spec.jitter_us) if spec.jitter_us else 0.0
    return FrameTimes(
        mid_ns=begin + round(exposure.exposure_us * 500),
        end_ns=end,
        arrival_ns=end + round((spec.readout_us + jitter_us) * 1e3),
    )


def device_stamp(clock: DeviceClock, true_ns: int) -> int:
    """What the camera's clock shows at ``true_ns``."""
    return clock.offset_ns + round(true_ns * clock.tick_ratio * (1.0 + clock.drift_ppm * 1e-6))


def frame_fate(spec: CameraSpec, seed: int, camera: CameraName, seq: int) -> Fate:
    """Lost, incomplete or delivered."""
    faults = spec.faults
    draw = float(frame_rng(seed, camera, seq, "fate").random())
    begin_s = start_ns(spec, seq) * 1e-9
    silent = any(since <= begin_s < until for since, until in faults.silences)
    if silent or seq in faults.lost_seqs or draw < faults.lost_share:
        return Fate.LOST
    if seq in faults.incomplete_seqs or draw >= 1.0 - faults.incomplete_share:
        return Fate.INCOMPLETE
    return Fate.DELIVERED


def is_late(spec: CameraSpec, seed: int, camera: CameraName, seq: int) -> bool:
    """Whether the setting meant for frame ``seq`` came too late for it."""
    if seq in spec.faults.late_exposure_seqs:
        return True
    rng = frame_rng(seed, camera, seq, "fate")
    return float(rng.random(2)[1]) < spec.faults.late_exposure_share


@dataclass(frozen=True, slots=True)
class Cycle:
    """A cycle of exposures that holds from frame ``since`` on, which is the ``place``-th of it."""

    since: int
    exposures: tuple[Exposure, ...]
    place: int = 0


def continued(before: Cycle, since: int, exposures: tuple[Exposure, ...]) -> Cycle:
    """``exposures`` from frame ``since`` on; a cycle as long as ``before`` goes on at its place in it."""
    same = len(exposures) == len(before.exposures)
    return Cycle(since, exposures, (since - before.since + before.place) % len(exposures) if same else 0)


def intended_exposure(cycles: Sequence[Cycle], seq: int) -> Exposure:
    """What frame ``seq`` is meant to be taken with; ``cycles`` in the order they were set."""
    cycle = next(c for c in reversed(cycles) if c.since <= seq)
    return cycle.exposures[(seq - cycle.since + cycle.place) % len(cycle.exposures)]


def used_exposure(
    cycles: Sequence[Cycle], spec: CameraSpec, seed: int, camera: CameraName, seq: int
) -> Exposure:
    """What frame ``seq`` really is taken with: the latest setting that was not late."""
    while seq > 0 and is_late(spec, seed, camera, seq):
        seq -= 1
    return intended_exposure(cycles, seq)
