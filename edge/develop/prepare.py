"""A group of raw frames made ready for fusion: developed, and the secondary ones rectified.

Reference frames share their pair with their neighbours, so each secondary frame is prepared once and kept
while it can still be used.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from edge.develop.linear import DevelopSettings, develop
from edge.frames import FloatImage, Frame, Group
from edge.fuse.stopwatch import Stopwatch
from edge.register.rectify import Rectifier

KEPT_SECONDARY = 4


@dataclass(frozen=True, slots=True)
class Prepared:
    """A group with its images: linear (H, W, 3) float32 in [0, 1], all in the reference view.

    ``sensitivity`` is the light that low and high show over what their exposure says, by the reference.
    """

    group: Group
    reference: FloatImage
    low: FloatImage | None
    high: FloatImage | None
    sensitivity: float = 1.0

    @property
    def light(self) -> tuple[float, float, float] | None:
        """Light of (low, reference, high) relative to the reference; None without low and high.

        Where one of both is missing it counts as far from the reference as the other is.
        """
        low, high = self.group.low, self.group.high
        unit = self.group.reference.exposure.light / self.sensitivity
        darker = None if low is None else low.exposure.light / unit
        brighter = None if high is None else high.exposure.light / unit
        if darker is None and brighter is None:
            return None
        return darker or 1.0 / (brighter or 1.0), 1.0, brighter or 1.0 / (darker or 1.0)


class Preparer:
    """Develops and rectifies. One thread."""

    def __init__(
        self, reference: DevelopSettings, secondary: DevelopSettings, rectifier: Rectifier, watch: Stopwatch
    ) -> None:
        self._reference = reference
        self._secondary = secondary
        self._rectifier = rectifier
        self._watch = watch
        self._kept: OrderedDict[tuple[int, int], FloatImage] = OrderedDict()

    def prepare(self, group: Group) -> Prepared:
        """The images of a group."""
        frame = group.reference
        with self._watch.stage("develop"):
            reference = develop(frame.image, frame.pixel_format, self._reference)
            reference = self._rectifier.rectify_reference(reference)
        low, high = self._secondary_image(group.low), self._secondary_image(group.high)
        return Prepared(group, reference, low, high, self._rectifier.sensitivity)

    def _secondary_image(self, frame: Frame | None) -> FloatImage | None:
        if frame is None:
            return None
        key = frame.seq, frame.t_device_ns  # numbers begin anew when a camera restarts
        image = self._kept.get(key)
        if image is None:
            with self._watch.stage("develop"):
                image = develop(frame.image, frame.pixel_format, self._secondary)
            with self._watch.stage("register"):
                image = self._rectifier.rectify(image)
            self._kept[key] = image
            while len(self._kept) > KEPT_SECONDARY:
                self._kept.popitem(last=False)
        return image
