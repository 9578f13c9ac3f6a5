"""From buffers to frames: counted, placed on the camera's clock, with the exposure they were taken with.

Used by the reader alone; nothing here calls the device.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.frames import CameraName, Exposure, Frame, FrameStatus, Image
from hw.camera import CameraInfo
from hw.gige.identify import Finder, Holder, PhaseFinder, Seen, sample
from hw.gige.ids import FrameIds
from hw.gige.quirks import Quirks

EMPTY = np.empty((0, 0), np.uint16)
SAME_EV = 0.05
"""Exposures this near to each other may stand for one another while one is being changed."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One buffer as the stream handed it over.

    ``stamp_ns`` is the device's, ``host_ns`` when its first packet came (monotonic). ``exposure`` is what the
    camera wrote into it; ``underruns`` counts frames that found no free buffer so far.
    """

    status: FrameStatus
    frame_id: int
    stamp_ns: int
    host_ns: int
    image: Image
    exposure: Exposure | None
    underruns: int


@dataclass(frozen=True, slots=True)
class Source:
    """What does not change while a camera is open. ``tick_ratio``: ns that it counts for each real one."""

    info: CameraInfo
    quirks: Quirks
    tick_ratio: float
    narrow_ids: bool


@dataclass(frozen=True, slots=True)
class _Setting:
    sent_ns: int
    done_ns: int
    exposures: tuple[Exposure, ...]


class Settings:
    """What the camera was told and when: the keeper writes, the reader asks."""

    def __init__(self, exposures: Sequence[Exposure], finder: Finder) -> None:
        self._lock = threading.Lock()
        self._log = [_Setting(0, 0, tuple(exposures))]
        self.finder = finder

    @property
    def latest(self) -> tuple[Exposure, ...]:
        return self._log[-1].exposures

    def changed(self, sent_ns: int, done_ns: int, exposures: Sequence[Exposure]) -> None:
        """The camera took ``exposures`` at some instant between the two host times."""
        with self._lock:
            self._log.append(_Setting(sent_ns, done_ns, tuple(exposures)))
            del self._log[:-16]

    def at(self, index: int, begin_ns: int, lag_ns: int) -> Exposure | None:
        """Exposure ``index`` of the cycle for a frame that began at ``begin_ns``; None while it is changing.

        A write takes effect up to ``lag_ns`` after it was done.
        """
        with self._lock:
            settings = list(self._log)
        now = settings[0]
        for setting in settings[1:]:
            if begin_ns >= setting.done_ns + lag_ns:
                now = setting
            elif begin_ns >= setting.sent_ns:
                before, after = now.exposures[index], setting.exposures[index]
                return after if abs(after.ev_from(before)) <= SAME_EV else None
        return now.exposures[index]


class Receiver:
    """Sequence numbers and epochs over the whole recording, whatever becomes of the camera meanwhile."""

    def __init__(self, name: CameraName, period_ns: int) -> None:
        self._name = name
        self._period_ns = period_ns
        self._last: tuple[int, int] | None = None
        self._first_seq = 0
        self._epoch = -1
        self._cause = "lost"
        self._underruns = 0
        self._run: _Run | None = None

    def begin(self, source: Source, settings: Settings) -> None:
        """A newly opened camera: its ids and its clock start anew."""
        self._epoch += 1
        self._run = _Run(source, settings, FrameIds(source.narrow_ids), Holder(settings.finder))
        self._underruns = 0

    def take(self, delivery: Delivery) -> list[Frame]:
        """The frames that are ready with this one, in order."""
        run = self._run
        assert run is not None, "begin comes before take"
        frames: list[Frame] = []
        if run.holder.finder is not run.settings.finder:
            frames = [self._frame(run, *held) for held in run.holder.rest()]
            run.holder, run.cycle = Holder(run.settings.finder), run.settings.latest
        if run.cycle is not run.settings.latest:
            run.cycle = run.settings.latest
            run.holder.finder.change(run.cycle)
        numbered = self._number(run, delivery)
        seen = None
        if delivery.status is FrameStatus.OK and delivery.exposure is None and len(run.cycle) > 1:
            info = run.source.info
            seen = Seen(numbered.count, sample(delivery.image, info.black_level, info.white_level))
        return frames + [self._frame(run, *ready) for ready in run.holder.add(numbered, seen)]

    def end(self) -> list[Frame]:
        """The camera is gone: what was held."""
        run, self._run = self._run, None
        return [] if run is None else [self._frame(run, *ready) for ready in run.holder.rest()]

    def _number(self, run: _Run, delivery: Delivery) -> _Numbered:
        count = run.ids.count(delivery.frame_id)
        cause = "lost"
        if not run.begun:
            run.begun = True
            if self._last is not None:
                seq, host_ns = self._last
                away = round((delivery.host_ns - host_ns) / self._period_ns)
                self._first_seq = seq + max(1, away)
                cause = "camera_lost"
        elif delivery.underruns > self._underruns:
            cause = "underrun"
        self._underruns = delivery.underruns
        seq = self._first_seq + count
        self._last = (seq, delivery.host_ns)
        return _Numbered(delivery, count, seq, cause, self._epoch)

    def _frame(self, run: _Run, item: _Numbered, found: Exposure | None) -> Frame:
        delivery, source, status = item.delivery, run.source, item.delivery.status
        exposure = self._exposure(run, delivery, found)
        if status is FrameStatus.OK and exposure is None:
            status = FrameStatus.UNKNOWN_EXPOSURE
        named = exposure if exposure is not None else run.cycle[0]
        half_ns = named.exposure_us * 500.0 * source.tick_ratio
        middle_ns = delivery.stamp_ns + (half_ns if source.quirks.stamp == "begin" else -half_ns)
        return Frame(
            camera=self._name,
            seq=item.seq,
            t_device_ns=round(middle_ns),
            t_host_ns=delivery.host_ns,
            exposure=named,
            image=delivery.image if status is FrameStatus.OK else EMPTY,
            pixel_format=source.info.pixel_format,
            bit_depth=source.info.bit_depth,
            status=status,
            epoch=item.epoch,
            gap_cause=item.gap_cause,
        )

    def _exposure(self, run: _Run, delivery: Delivery, found: Exposure | None) -> Exposure | None:
        """What the camera says, else what was found, else the one setting that was in force."""
        if delivery.exposure is not None or delivery.status is not FrameStatus.OK:
            return delivery.exposure
        if len(run.cycle) > 1 and (found is None or not isinstance(run.holder.finder, PhaseFinder)):
            return found
        index = 0 if found is None else run.cycle.index(found)
        begin_ns = delivery.host_ns - round(run.cycle[index].exposure_us * 1e3)
        return run.settings.at(index, begin_ns, run.source.quirks.write_lag * self._period_ns)


@dataclass(slots=True)
class _Run:
    """From one opening of the camera to its loss."""

    source: Source
    settings: Settings
    ids: FrameIds
    holder: Holder[_Numbered]
    begun: bool = False
    cycle: tuple[Exposure, ...] = ()

    def __post_init__(self) -> None:
        self.cycle = self.settings.latest


@dataclass(frozen=True, slots=True)
class _Numbered:
    delivery: Delivery
    count: int
    seq: int
    gap_cause: str
    epoch: int
