"""What a dataset yields: one bracket, with its ground truth where the dataset has one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError
from edge.frames import FloatImage
from export.training.brackets import Sample, gamma_mean


class DatasetError(ImageError):
    """A dataset cannot be read. The text names file or folder, what was expected, and what to do."""


@dataclass(frozen=True, eq=False, slots=True)
class Bracket:
    """One bracket of a dataset.

    ``name``: its folder's path within the dataset, ``Training/001``. ``low``, ``reference``, ``high``:
    (H, W, 3) float32 RGB, linear in [0, 1], 1.0 = saturation of *that* exposure. ``exposure``: (3,) float32,
    light of low, reference, high over the reference's. ``truth``: (H, W, 3) float32 in [0, 1], 1.0 saturates
    the low exposure; None in a dataset without ground truth.
    """

    name: str
    low: FloatImage
    reference: FloatImage
    high: FloatImage
    exposure: NDArray[np.float32]
    truth: FloatImage | None = None

    def sample(self) -> Sample:
        """The bracket as what training and scoring take. Raises DatasetError without ground truth."""
        if self.truth is None:
            raise DatasetError(
                f"{self.name}: this bracket has no ground truth, so nothing can be scored or trained on it; "
                "look at the fused picture instead, or name a dataset that has ground truth"
            )
        images = (self.low, self.reference, self.high)
        mean = np.array([gamma_mean(image) for image in images], np.float32)
        return Sample(*images, self.truth, self.exposure, mean)
