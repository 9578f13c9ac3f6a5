"""Which exposure a frame is taken with: constant, vendor HDR polling or sequencer, on time or late."""

from __future__ import annotations

import collections
from dataclasses import dataclass

from edge.frames import Exposure
from hw.simulator.gige.features import HDR_SLOTS, SEQUENCER_SETS, HdrSpelling, Settings

ALL_CYCLES = 840
"""A multiple of the length of every cycle that eight sets can form, longer than any way into one."""


@dataclass(frozen=True, slots=True)
class SequencerSet:
    """What the sequencer stores: an exposure and the set that follows at the next frame (None: stays)."""

    exposure: Exposure
    follows: int | None


@dataclass(frozen=True, slots=True)
class Program:
    """Everything that decides exposures, as it stands at one moment."""

    constant: Exposure
    polling: tuple[Exposure, ...] = ()
    sets: tuple[SequencerSet, ...] = ()
    first_set: int = 0

    def of(self, number: int, phase: int) -> Exposure:
        """The exposure of frame ``number`` after a start. Polling begins anywhere, a sequencer at its set."""
        if self.sets:
            place = self.first_set
            for _ in range(number % ALL_CYCLES):
                follows = self.sets[place].follows
                place = place if follows is None else follows
            return self.sets[place].exposure
        if self.polling:
            return self.polling[(number + phase) % len(self.polling)]
        return self.constant


class Programs:
    """The programs of the last seconds, so that a frame is taken with what held when it began.

    ``lag`` frames pass before a change takes hold, one more where it is ``late``.
    """

    def __init__(self, lag: int) -> None:
        self._lag = lag
        self._log: collections.deque[tuple[int, Program]] = collections.deque(maxlen=256)
        self._at_begin: collections.deque[Program] = collections.deque(maxlen=lag + 2)

    def record(self, now_ns: int, program: Program) -> None:
        if not self._log or self._log[-1][1] != program:
            self._log.append((now_ns, program))

    def restart(self) -> None:
        """A new acquisition begins with what is set now."""
        self._at_begin.clear()

    def for_frame(self, begin_ns: int, late: bool) -> Program:
        earlier = [program for t_ns, program in self._log if t_ns <= begin_ns]
        self._at_begin.append(earlier[-1] if earlier else self._log[0][1])
        back = min(self._lag + late, len(self._at_begin) - 1)
        return self._at_begin[-1 - back]


class Sequencer:
    """The stored sets behind SequencerSetSave and SequencerSetLoad."""

    def __init__(self) -> None:
        self._sets = [SequencerSet(Exposure(5000.0), None)] * SEQUENCER_SETS

    @property
    def sets(self) -> tuple[SequencerSet, ...]:
        return tuple(self._sets)

    def save(self, settings: Settings) -> None:
        follows = settings.whole("SequencerSetNext") if settings.get("SequencerTriggerSource") else None
        number = settings.whole("SequencerSetSelector")
        self._sets[number] = SequencerSet(_constant(settings), follows)

    def load(self, settings: Settings) -> None:
        stored = self._sets[settings.whole("SequencerSetSelector")]
        settings.put("ExposureTime", stored.exposure.exposure_us)
        settings.put("Gain", stored.exposure.gain_db)
        settings.put("SequencerSetNext", stored.follows or 0)
        settings.put("SequencerTriggerSource", stored.follows is not None)


def program(settings: Settings, sequencer: Sequencer, hdr: HdrSpelling | None, hdr_cycle: int) -> Program:
    """What the settings ask for now. HDR polling steps through the first ``hdr_cycle`` slots."""
    constant = _constant(settings)
    if settings.has("SequencerMode") and settings.get("SequencerMode"):
        return Program(constant, sets=sequencer.sets, first_set=settings.whole("SequencerSetStart"))
    if hdr is not None and settings.get("HDREnable"):
        slots = range(min(hdr_cycle, HDR_SLOTS))
        polling = tuple(Exposure(settings.get(hdr, i), settings.get("HDRGain", i)) for i in slots)
        return Program(constant, polling=polling)
    return Program(constant)


def _constant(settings: Settings) -> Exposure:
    return Exposure(settings.get("ExposureTime"), settings.get("Gain"))
