"""Which of two exposures a frame was really taken with, told from its brightness.

A camera that is told a new exposure takes it one, two or three frames later, and the frames in flight tell
nobody. So nothing here counts frames: each frame's *quantiles* (sorted samples, 0 to 1 linear) are compared
with what the scene would give under each exposure. Quantiles do not mind motion, and a monotone response
(clipping included) maps a quantile onto a quantile.

Until two unlike frames came there is nothing to compare with and no answer. A frame between two exposures (a
rolling shutter that was told while it read out) fits none and has no answer either: such a frame would give
wrong radiance with full confidence, which is worse than none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.frames import Exposure

Quantiles = NDArray[np.float64]

COUNT = 64
FLOOR = 1.0 / 255.0
"""Added before logarithms: one count of 8 bits, so that noise near black carries no weight."""
CLIPPED = 0.97
"""From here on a value says "at least": sensors and their curves bend before full scale."""
UNLIKE_SHARE = 0.35
"""Two frames are unlike if they differ by this share of the distance the exposures should show, or more."""
BETWEEN = 0.35
"""A frame further from its nearest exposure than this share of their distance belongs to none."""
TELLS_EV = 0.3
"""Exposures that would look more alike than this, all dark or all white, cannot be told apart."""
NEIGHBOURS_EV = 0.5
"""Exposures closer than this are steps of one that is regulated: taking one for the other costs little."""
RETIRE_FRAMES = 6
"""So long may frames still come that were taken before the exposures were changed."""
PATIENCE = 4
"""So many frames in a row that fit nothing: the scene has changed, begin anew."""


def quantiles_of(linear: NDArray[np.floating]) -> Quantiles:
    """(64,) sorted quantiles of samples in [0, 1], any shape; a few hundred samples are enough."""
    samples = np.sort(linear, axis=None)
    at = (np.arange(COUNT) + 0.5) / COUNT * samples.size
    picked: Quantiles = samples[at.astype(np.intp)].astype(np.float64)
    return picked


@dataclass(frozen=True, slots=True)
class _Seen:
    """The last frame of one exposure: its quantiles, and as scene radiance per unit of light."""

    radiance: Quantiles
    value: Quantiles


class LevelIdentifier:
    """Tells the exposures of one camera's frames apart. One call of ``identify`` a frame, in order.

    ``exposures`` are those it alternates between; darkest and brightest are half an EV apart at least.
    """

    def __init__(self, exposures: Sequence[Exposure]) -> None:
        self._exposures = _by_light(exposures)
        self._retired: tuple[Exposure, ...] = ()
        self._retire_in = 0
        self._seen: dict[Exposure, _Seen] = {}
        self._previous: Quantiles | None = None
        self._misfits = 0

    @property
    def settled(self) -> bool:
        """Whether two exposures have been told apart."""
        return len(self._seen) > 1

    def change(self, exposures: Sequence[Exposure]) -> None:
        """Alternate between these from now on. What was seen of the scene still holds."""
        self._retired, self._retire_in = self._exposures, RETIRE_FRAMES
        self._exposures = _by_light(exposures)

    def identify(self, quantiles: Quantiles) -> Exposure | None:
        """The exposure of a frame with these ``quantiles_of``, or None where they do not say."""
        previous, self._previous = self._previous, quantiles
        self._retire_in -= 1
        if self._retire_in < 0:
            self._retired = ()
        if not self.settled:
            return self._acquire(previous, quantiles)
        found = self._nearest(quantiles)
        if found is not None:
            self._misfits = 0
            self._remember(found, quantiles)
            return found
        self._misfits += 1
        if self._misfits >= PATIENCE:
            self._seen.clear()
            self._misfits = 0
        return None

    def _acquire(self, previous: Quantiles | None, now: Quantiles) -> Exposure | None:
        """Two unlike frames in a row: the brighter one had more light."""
        if previous is None:
            return None
        darkest, brightest = self._exposures[0], self._exposures[-1]
        darker, brighter = (previous, now) if previous.sum() < now.sum() else (now, previous)
        expected = _distance(np.minimum(darker * (brightest.light / darkest.light), 1.0), darker)
        if expected < TELLS_EV or _distance(brighter, darker) < UNLIKE_SHARE * expected:
            return None
        self._remember(darkest, darker)
        self._remember(brightest, brighter)
        return brightest if brighter is now else darkest

    def _nearest(self, quantiles: Quantiles) -> Exposure | None:
        predicted = {known: self._predict(known) for known in (*self._exposures, *self._retired)}
        errors = {known: _distance(quantiles, view) for known, view in predicted.items()}
        best = min(errors, key=lambda known: errors[known])
        others = [known for known in errors if abs(known.ev_from(best)) >= NEIGHBOURS_EV]
        second = min(others, key=lambda known: errors[known])
        apart = _distance(predicted[best], predicted[second])
        if apart < TELLS_EV or errors[best] > BETWEEN * apart:
            return None
        return best

    def _predict(self, exposure: Exposure) -> Quantiles:
        """What the scene as last seen would give: from the brightest frame that did not clip there."""
        radiance: Quantiles | None = None
        for seen in sorted(self._seen, key=lambda known: known.light):
            entry = self._seen[seen]
            usable = entry.value < CLIPPED
            radiance = entry.radiance if radiance is None else np.where(usable, entry.radiance, radiance)
        assert radiance is not None, "only asked once settled"
        view: Quantiles = np.minimum(radiance * exposure.light, 1.0)
        return view

    def _remember(self, exposure: Exposure, quantiles: Quantiles) -> None:
        self._seen = {
            known: entry
            for known, entry in self._seen.items()
            if abs(known.ev_from(exposure)) >= NEIGHBOURS_EV
        }
        self._seen[exposure] = _Seen(quantiles / exposure.light, quantiles)


def _by_light(exposures: Sequence[Exposure]) -> tuple[Exposure, ...]:
    ordered = tuple(sorted(exposures, key=lambda exposure: exposure.light))
    if ordered[-1].ev_from(ordered[0]) < NEIGHBOURS_EV:
        raise ValueError(f"exposures {NEIGHBOURS_EV} EV apart or more are needed, not {ordered}")
    return ordered


def _distance(a: Quantiles, b: Quantiles) -> float:
    """How far apart two brightnesses are: the mean over quantiles, in EV."""
    return float(np.abs(np.log2((a + FLOOR) / (b + FLOOR))).mean())
