"""Puts the fusion line together: for the device, for the bench and for recordings."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge.config.schema import Config
from edge.develop.linear import IDENTITY, DevelopSettings, Transfer
from edge.develop.prepare import Preparer
from edge.engines import Engine
from edge.exposure.anchor import Anchor
from edge.frames import CameraName, Rung
from edge.fuse.fuser import Fuser
from edge.fuse.line import FusionLine, LadderPlan
from edge.fuse.stopwatch import Stopwatch
from edge.pair import Pairer
from edge.register.align import Aligner
from edge.register.rectify import Calibration, Rectifier
from edge.tone.tonemap import video_format
from hw.camera import CameraInfo


@dataclass(frozen=True, slots=True)
class Source:
    """Where frames come from, as far as fusing them depends on it."""

    cameras: Mapping[CameraName, CameraInfo]
    calibration: Calibration
    transfer: Transfer = "linear"


@dataclass(frozen=True, slots=True)
class Reports:
    """Who is told: ``on_drop(cause, secondary seq)``, ``on_rung(rung, cause, t_ns)`` and
    ``on_failure(rung, text)`` of a network that broke; None where that shall end the work.
    """

    on_drop: Callable[[str, int], None] = lambda _cause, _seq: None
    on_rung: Callable[[Rung, str, int], None] = lambda _rung, _cause, _t_ns: None
    on_failure: Callable[[Rung, str], None] | None = None


def develop_settings(
    config: Config, info: CameraInfo, transfer: Transfer = "linear", offline: bool = False
) -> DevelopSettings:
    """How the frames of one camera are developed; ``auto`` is fast live and fine ``offline``."""
    quality = config.develop.demosaic
    if quality == "auto":
        quality = "fine" if offline else "fast"
    matrix = config.develop.colour_matrix
    return DevelopSettings(
        info.black_level,
        info.white_level,
        config.develop.white_balance,
        matrix if matrix else IDENTITY,
        transfer,
        quality,
    )


def aligner_of(config: Config, offline: bool = False) -> Aligner | None:
    """What brings pairs onto reference frames: as configured; ``auto`` is fast live and fine ``offline``."""
    effort = config.fuse.alignment
    if effort == "auto":
        effort = "fine" if offline else "fast"
    return None if effort == "off" else Aligner(effort)


def build_line(
    config: Config,
    source: Source,
    engines: Mapping[Rung, Engine],
    plan: LadderPlan,
    *,
    wait_ns: int | None,
    watch: Stopwatch,
    reports: Reports,
) -> FusionLine:
    """The fusion line.

    ``wait_ns`` is how long a frame waits for its pair; None, for recordings: until the pair is decided. A
    recording has time, too, for the fine ways that ``auto`` stands for.
    """
    offline = wait_ns is None
    preparer = Preparer(
        develop_settings(config, source.cameras["reference"], source.transfer, offline),
        develop_settings(config, source.cameras["secondary"], source.transfer, offline),
        Rectifier(source.calibration),
        watch,
    )
    return FusionLine(
        Pairer(round(config.pair.max_age_ms * 1e6), wait_ns),
        preparer,
        Fuser(engines, aligner_of(config, offline), video_format(config.hdr) if config.hdr.enabled else None),
        plan,
        time.monotonic_ns,
        watch,
        reports.on_drop,
        reports.on_rung,
        reports.on_failure,
        Anchor(config.exposure.reference.ev_per_s, config.exposure.reference.ev_per_frame),
    )
