"""Which exposure a frame had, where the camera does not say: seen from how bright it is.

After a start the first frame may be missing, and a vendor's cycle may begin anywhere, so the order is never
assumed: neighbours are compared with what the known exposures predict. A frame is held until that is decided,
or given out as unknown.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge.frames import Exposure, Image
from hw.exposure_level import LevelIdentifier, Quantiles, quantiles_of

ItemT = TypeVar("ItemT")
Samples: TypeAlias = NDArray[np.float32]

FLOOR = 2.0**-10
"""Share of full scale that is added to every level: noise and a wrong black level are no evidence."""
SAMPLES = 1000
"""About so many pixels are looked at, four times in Bayer patterns: once for each colour."""
CLEAR_EV = 0.5
"""A step in level that is no accident."""
LARGEST_EV = 1.0
"""One step proves no more than this, however large: a lamp may have been switched."""
FORGET = 0.1
"""Share of what was known that a step of one EV makes forgotten."""
DECIDED = 2.5
"""Lead in EV of the best phase over the next: two clear steps of two exposures that are far apart."""
MOST_HELD = 8
"""Half a second at 15 frames a second; longer than it takes to decide in any light."""


def sample(image: Image, black: int, white: int) -> Samples:
    """(N,) linear values in [0, 1] from all over ``image`` and from each colour of a Bayer pattern."""
    step = max(2, math.isqrt(image.shape[0] * image.shape[1] // SAMPLES) // 2 * 2)
    picked = np.concatenate(
        [image[row::step, column::step].reshape(-1) for row in (0, 1) for column in (0, 1)]
    )
    return np.clip((picked.astype(np.float32) - black) / (white - black), 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame's place in its run (``hw.gige.ids``) and linear ``sample``s of it."""

    count: int
    samples: Samples

    @property
    def level_ev(self) -> float:
        """log2 of the mean as a share of full scale."""
        return math.log2(float(self.samples.mean()) + FLOOR)


class Finder(Protocol):
    """Decides from frame to frame."""

    def see(self, seen: Seen) -> None:
        """The next frame."""

    def exposure(self, count: int) -> Exposure | None:
        """What a frame that was seen lately had; None while it is not known."""

    def change(self, exposures: Sequence[Exposure]) -> None:
        """As many exposures as before, in the same order, with other values, from about now on."""


class OneExposure:
    """There is nothing to find out."""

    def __init__(self, exposures: Sequence[Exposure]) -> None:
        (self._exposure,) = exposures

    def see(self, seen: Seen) -> None: ...

    def exposure(self, count: int) -> Exposure | None:
        return self._exposure

    def change(self, exposures: Sequence[Exposure]) -> None:
        (self._exposure,) = exposures


class PhaseFinder:
    """The camera cycles by itself, one exposure a frame: what is not known is the phase.

    Each step between two frames speaks for the phases that predict its direction. In light in which no step
    shows (a covered lens, all saturated) a phase that was found stays. A frame that does not take the step
    that its neighbours took is unknown; two in a row that step the wrong way end the phase.
    """

    def __init__(self, exposures: Sequence[Exposure]) -> None:
        self._scores = [0.0] * len(exposures)
        self._last: tuple[int, float] | None = None
        self._usual = 0.0
        self._doubtful: deque[int] = deque(maxlen=16)
        self.change(exposures)

    def change(self, exposures: Sequence[Exposure]) -> None:
        self._exposures = tuple(exposures)
        self._ev = [math.log2(exposure.light) for exposure in exposures]
        self._largest = max(self._ev) - min(self._ev)

    def see(self, seen: Seen) -> None:
        last, self._last = self._last, (seen.count, seen.level_ev)
        if last is None or self._largest == 0.0:
            return
        step = max(-LARGEST_EV, min(LARGEST_EV, self._last[1] - last[1]))
        phase = self._phase()
        predicted = [self._predicted(last[0], seen.count, each) for each in range(len(self._ev))]
        if phase is not None:
            self._doubt(seen.count, last[0], step, predicted[phase])
        keep = 1.0 - FORGET * abs(step)  # what shows nothing makes nothing forgotten
        self._scores = [
            score * keep + step * each for score, each in zip(self._scores, predicted, strict=True)
        ]

    def _doubt(self, count: int, before: int, step: float, predicted: float) -> None:
        """Mark a frame whose step is not what the phase predicts, judged by the steps before it."""
        expected, seen = self._usual * abs(predicted), math.copysign(step, step * predicted)
        if predicted:
            self._usual += (abs(step) / abs(predicted) - self._usual) / 2
        against = seen <= -CLEAR_EV
        if not against and not (expected >= CLEAR_EV and seen < expected / 2):
            return
        if against and self._doubtful and self._doubtful[-1] == before:
            self._scores = [0.0] * len(self._ev)
        self._doubtful.append(count)

    def exposure(self, count: int) -> Exposure | None:
        phase = self._phase()
        if phase is None or count in self._doubtful:
            return None
        return self._exposures[(count + phase) % len(self._exposures)]

    def _predicted(self, before: int, after: int, phase: int) -> float:
        """The step in level that ``phase`` predicts, as a share of the largest one."""
        n = len(self._ev)
        return (self._ev[(after + phase) % n] - self._ev[(before + phase) % n]) / self._largest

    def _phase(self) -> int | None:
        ranked = sorted(range(len(self._scores)), key=lambda phase: -self._scores[phase])
        lead = self._scores[ranked[0]] - self._scores[ranked[1]]
        return ranked[0] if lead >= DECIDED else None


class LevelFinder:
    """The host writes exposures in turn and knows not when each takes effect: each frame tells its own.

    The first frames are looked at again as soon as two unlike ones have come.
    """

    def __init__(self, exposures: Sequence[Exposure]) -> None:
        self._identifier = LevelIdentifier(exposures)
        self._found: dict[int, Exposure | None] = {}
        self._unsettled: dict[int, Quantiles] = {}

    def see(self, seen: Seen) -> None:
        quantiles = quantiles_of(seen.samples)
        self._found[seen.count] = self._identifier.identify(quantiles)
        if not self._identifier.settled:
            self._unsettled[seen.count] = quantiles
        else:
            for count, before in self._unsettled.items():
                self._found[count] = self._identifier.identify(before)
            self._unsettled.clear()
        for count in [count for count in self._found if count < seen.count - 2 * MOST_HELD]:
            del self._found[count]
            self._unsettled.pop(count, None)

    def exposure(self, count: int) -> Exposure | None:
        return self._found.get(count)

    def change(self, exposures: Sequence[Exposure]) -> None:
        self._identifier.change(exposures)


class Holder(Generic[ItemT]):
    """Keeps frames in order until each one's exposure is known, or waiting longer would cost a pair."""

    def __init__(self, finder: Finder) -> None:
        self.finder = finder
        self._held: deque[tuple[ItemT, int | None]] = deque()

    def add(self, item: ItemT, seen: Seen | None) -> list[tuple[ItemT, Exposure | None]]:
        """Take a frame; give out (frame, its exposure or None) for all that are decided, in order.

        ``seen`` None: a frame that has no exposure to be found, kept in its place.
        """
        if seen is not None:
            self.finder.see(seen)
        self._held.append((item, None if seen is None else seen.count))
        known = [count is not None and self.finder.exposure(count) is not None for _, count in self._held]
        # what is known, and everything before it: waiting longer would tell no more
        ready = max((place + 1 for place, yes in enumerate(known) if yes), default=0)
        while ready < len(self._held) and self._held[ready][1] is None:
            ready += 1
        return self._give(max(ready, len(self._held) - MOST_HELD))

    def rest(self) -> list[tuple[ItemT, Exposure | None]]:
        """All that is held, known or not: nothing more comes."""
        return self._give(len(self._held))

    def _give(self, count: int) -> list[tuple[ItemT, Exposure | None]]:
        given = [self._held.popleft() for _ in range(count)]
        return [(item, None if its is None else self.finder.exposure(its)) for item, its in given]
