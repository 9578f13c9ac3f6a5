"""How the camera is made to alternate exposures: by itself where it can, else written frame by frame.

The order of preference is that of who keeps the beat: a vendor's HDR polling and the standard's sequencer are
exact to the frame; writes from the host land when they land.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from edge.frames import Exposure
from hw.camera import CameraError
from hw.gige import quirks as q
from hw.gige.identify import Finder, LevelFinder, OneExposure, PhaseFinder
from hw.gige.nodes import Nodes

log = logging.getLogger(__name__)

Alternation = Literal["auto", "hdr_polling", "sequencer", "per_frame"]


class Shutter(Protocol):
    """One way of setting exposures; used by the keeper thread only."""

    kind: str
    by_host: bool
    """Whether ``next`` has to be called for each frame."""

    def apply(self, exposures: Sequence[Exposure]) -> tuple[Exposure, ...]:
        """Cycle through ``exposures``; return them as the camera rounded them. Raises CameraError."""

    def next(self) -> None:
        """A frame came: write the exposure of the one after."""

    def finder(self, exposures: Sequence[Exposure]) -> Finder:
        """What finds out which of them a frame had."""


class Plain:
    """The ordinary exposure and gain nodes."""

    def __init__(self, nodes: Nodes, quirks: q.Quirks, where: str) -> None:
        self.nodes = nodes
        self._quirks = quirks
        self._gain = nodes.first(q.GAIN)
        time = nodes.first(q.EXPOSURE)
        if time is None:
            raise CameraError(
                f"{where}: none of {', '.join(q.EXPOSURE)} is there; its exposure cannot be set"
            )
        self._time = time

    def write(self, exposure: Exposure) -> Exposure:
        """Set one exposure; what the camera made of it."""
        exposure_us = self.nodes.set_number(self._time, exposure.exposure_us)
        return Exposure(exposure_us, self.write_gain(exposure.gain_db))

    def write_gain(self, gain_db: float) -> float:
        """Set the gain; what the camera made of it in dB. One that has none stands at 0 dB."""
        if self._gain is None:
            return 0.0
        raw = self.nodes.set_number(self._gain, q.gain_value(self._gain, gain_db, self._quirks))
        return q.gain_db(self._gain, raw, self._quirks)


class PerFrame:
    """One exposure, or two written in turn by the host."""

    kind = "per_frame"

    def __init__(self, plain: Plain) -> None:
        self._plain = plain
        self._cycle: tuple[Exposure, ...] = ()
        self._at = 0
        self.by_host = False

    def apply(self, exposures: Sequence[Exposure]) -> tuple[Exposure, ...]:
        if len(exposures) > 2:
            raise CameraError(f"exposures written frame by frame can be two at most, not {len(exposures)}")
        # each is written once, because only the camera knows how it rounds
        self._cycle = tuple(self._plain.write(exposure) for exposure in exposures)
        self._at = len(exposures) - 1
        self.by_host = len(exposures) > 1
        return self._cycle

    def next(self) -> None:
        if self.by_host:
            self._at = (self._at + 1) % len(self._cycle)
            self._plain.write(self._cycle[self._at])

    def finder(self, exposures: Sequence[Exposure]) -> Finder:
        return LevelFinder(exposures) if len(exposures) > 1 else OneExposure(exposures)


class HdrPolling:
    """Hikrobot's HDR polling: four slots of exposure and gain, taken in turn (node names: quirks table)."""

    kind = "hdr_polling"
    by_host = False

    def __init__(self, plain: Plain) -> None:
        self._plain = plain
        self._nodes = nodes = plain.nodes
        shutter = nodes.first(q.HDR_SHUTTER)
        if shutter is None:
            raise CameraError(f"neither {' nor '.join(q.HDR_SHUTTER)} is there")
        self._shutter = shutter
        self._slots = range(int(nodes.bounds(q.HDR_SELECTOR)[0]), int(nodes.bounds(q.HDR_SELECTOR)[1]) + 1)

    def apply(self, exposures: Sequence[Exposure]) -> tuple[Exposure, ...]:
        count, nodes = len(exposures), self._nodes
        if len(self._slots) % count:
            raise CameraError(f"a cycle of {count} exposures does not fit the {len(self._slots)} HDR slots")
        own_gain = nodes.has(q.HDR_GAIN)
        common_db = 0.0
        if not own_gain:
            if len({exposure.gain_db for exposure in exposures}) > 1:
                raise CameraError(f"{q.HDR_GAIN} is not there, so all exposures need the same gain")
            common_db = self._plain.write_gain(exposures[0].gain_db)
        took: list[Exposure] = []
        for number, slot in enumerate(self._slots):
            exposure = exposures[number % count]
            nodes.set_number(q.HDR_SELECTOR, slot)
            exposure_us = nodes.set_number(self._shutter, exposure.exposure_us)
            gain_db = nodes.set_number(q.HDR_GAIN, exposure.gain_db) if own_gain else common_db
            took.append(Exposure(exposure_us, gain_db))
        nodes.set(q.HDR_ENABLE, True)
        return tuple(took[:count])

    def next(self) -> None: ...

    def finder(self, exposures: Sequence[Exposure]) -> Finder:
        return PhaseFinder(exposures) if len(exposures) > 1 else OneExposure(exposures)


class Sequencer:
    """The standard's sequencer: one set per exposure, the next at each frame (SFNC 2.7, chapter 14)."""

    kind = "sequencer"
    by_host = False

    def __init__(self, plain: Plain) -> None:
        self._plain = plain
        self._nodes = plain.nodes

    def apply(self, exposures: Sequence[Exposure]) -> tuple[Exposure, ...]:
        nodes = self._nodes
        nodes.set("SequencerMode", "Off")
        self._switch("SequencerConfigurationMode", "On")
        for feature in (*q.EXPOSURE, *q.GAIN):
            if feature in nodes.entries("SequencerFeatureSelector"):
                nodes.set("SequencerFeatureSelector", feature)
                nodes.set("SequencerFeatureEnable", True)
        took = [self._save(number, exposure, len(exposures)) for number, exposure in enumerate(exposures)]
        if nodes.has("SequencerSetStart"):
            nodes.set_number("SequencerSetStart", 0)
        self._switch("SequencerConfigurationMode", "Off")
        nodes.set("SequencerMode", "On")
        return tuple(took)

    def next(self) -> None: ...

    def finder(self, exposures: Sequence[Exposure]) -> Finder:
        return PhaseFinder(exposures) if len(exposures) > 1 else OneExposure(exposures)

    def _save(self, number: int, exposure: Exposure, count: int) -> Exposure:
        nodes = self._nodes
        nodes.set_number("SequencerSetSelector", number)
        took = self._plain.write(exposure)
        if nodes.has("SequencerPathSelector"):
            nodes.set_number("SequencerPathSelector", 0)
        sources = nodes.entries("SequencerTriggerSource")
        for source in ("FrameStart", "FrameEnd", "ExposureStart", "ExposureEnd"):
            if source in sources:
                nodes.set("SequencerTriggerSource", source)
                break
        nodes.set_number("SequencerSetNext", (number + 1) % count)
        nodes.execute("SequencerSetSave")
        return took

    def _switch(self, name: str, value: str) -> None:
        if self._nodes.has(name):
            self._nodes.set(name, value)


def probe(
    nodes: Nodes, quirks: q.Quirks, wanted: Alternation, exposures: Sequence[Exposure], where: str
) -> tuple[Shutter, tuple[Exposure, ...]]:
    """The best way that this camera takes, and the exposures as it rounded them; why is logged.

    Raises CameraError where the one that was ``wanted`` cannot be had.
    """
    plain = Plain(nodes, quirks, where)
    if len(exposures) == 1:
        only = PerFrame(plain)
        return only, only.apply(exposures)
    ways: tuple[tuple[str, str, Callable[[Plain], Shutter]], ...] = (
        ("hdr_polling", q.HDR_ENABLE, HdrPolling),
        ("sequencer", "SequencerMode", Sequencer),
        ("per_frame", "", PerFrame),
    )
    refused: list[str] = []
    for kind, needs, make in ways:
        if wanted not in ("auto", kind):
            continue
        if needs and not nodes.has(needs):
            refused.append(f"{kind}: it has no {needs}")
            continue
        try:
            shutter = make(plain)
            took = shutter.apply(exposures)
        except CameraError as error:
            if type(error) is not CameraError:
                raise  # gone or held: no fact about the camera's abilities
            refused.append(f"{kind}: {error}")
            continue
        because = "; ".join(refused) if refused else "the first choice"
        log.info("%s alternates exposures by %s (%s)", where, kind, because)
        return shutter, took
    raise CameraError(
        f"{where}: cannot alternate exposures: {'; '.join(refused)}; set gige.alternation: auto"
    )
