"""Brackets whose right answer the tests know: soft blobs of radiance, seen by ideal cameras."""

from __future__ import annotations

import numpy as np

from edge.frames import FloatImage
from export.training.brackets import Sample, gamma_mean
from tests.export.bracket_sets import exposed, radiance

EXPOSURE = (0.25, 1.0, 4.0)


def sample_of(scene: FloatImage, pair: FloatImage | None = None) -> Sample:
    """``scene`` in reference units as a bracket at -2, 0, +2 EV; the pair sees ``pair`` where given."""
    seen = scene if pair is None else pair
    images = (exposed(seen, -2.0), exposed(scene, 0.0), exposed(seen, 2.0))
    truth = np.clip(scene * np.float32(0.25), 0.0, 1.0)
    mean = np.array([gamma_mean(image) for image in images], np.float32)
    return Sample(*images, truth, np.array(EXPOSURE, np.float32), mean)


def still(seed: int = 0, height: int = 48, width: int = 64) -> Sample:
    """Nothing moves; the brightest is just within the low exposure."""
    return sample_of(np.minimum(radiance(seed, height, width), np.float32(3.9)))


def moved(by_px: int = 4, seed: int = 0, height: int = 96, width: int = 128) -> Sample:
    """The pair was taken when everything was ``by_px`` further to the right."""
    scene = np.minimum(radiance(seed, height, width + by_px), np.float32(3.9))
    return sample_of(
        np.ascontiguousarray(scene[:, by_px:]), np.ascontiguousarray(scene[:, : scene.shape[1] - by_px])
    )
