"""What methods are judged on: rendered validation brackets, the shipped scenes, datasets on disk.

The validation set is rendered, always the same: one bracket of every held-out image (``brackets.VALIDATION``)
at -2, 0, +2 EV with moving objects, parallax, noise and a clipped reference. Sessions: ``judged_session``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.frames import Exposure
from export.training.brackets import Sample, gamma_mean, make_sample, split_images
from hw.simulator.library import SCENES, scene_world
from hw.simulator.motion import Motion
from hw.simulator.radiance import load_radiance
from hw.simulator.scene import Stage, make_world
from hw.simulator.sensor import Sensor
from hw.simulator.triples import render_triple, residual_homography

VALIDATION_SIZE = (480, 288)


@dataclass(frozen=True, eq=False, slots=True)
class Case:
    """One bracket to be judged. Without ``has_truth`` its sample's truth is black and means nothing."""

    name: str
    sample: Sample
    has_truth: bool = True


def validation_set(images: Path, size: tuple[int, int] = VALIDATION_SIZE) -> dict[str, Sample]:
    """One bracket per held-out image of ``images``, by name; the same in every process."""
    samples = {}
    for number, path in enumerate(split_images(images)[1]):
        rng = np.random.default_rng((7, number))
        stage = Stage(
            zoom=float(rng.uniform(1.0, 1.7)),
            percentile=float(rng.choice((80, 90, 95))),
            objects=4,
            object_levels=(0.03, 2.5, 0.4, 1.2),
        )
        motion = Motion(object_px_s=float(rng.uniform(80, 300)), pan_px_s=float(rng.uniform(0, 60)))
        world = make_world(load_radiance(path), *size, seed=number, stage=stage, motion=motion)
        time_us = float(rng.uniform(2000, 6000))
        exposures = (Exposure(time_us / 4), Exposure(time_us), Exposure(time_us * 4))
        residual = residual_homography(rng, *size, 0.5, 0.3)
        ages = (float(rng.uniform(-0.05, 0.05)), float(rng.uniform(-0.05, 0.05)))
        triple = render_triple(world, Sensor(), 5.0, *ages, exposures, number, 0.06, residual)
        samples[path.stem] = make_sample(triple)
    return samples


def shipped_set(size: tuple[int, int] = (960, 540)) -> dict[str, Sample]:
    """Brackets of the simulator's shipped scenes as the demo films them: two moments each, 8 ms reference.

    Ages and lags are those of a secondary camera at half the reference's frame rate.
    """
    exposures = (Exposure(2000.0), Exposure(8000.0), Exposure(32000.0))
    samples = {}
    for scene in SCENES:
        world = scene_world(scene, *size, seed=1)
        for number, ages in enumerate(((0.05, -0.017), (-0.05, 0.017))):
            triple = render_triple(world, Sensor(), 3.0 + 2 * number, *ages, exposures, number, 0.05)
            samples[f"{scene}-{number}"] = make_sample(triple)
    return samples


def cases_of(samples: Mapping[str, Sample]) -> list[Case]:
    """Samples that have their truth, as cases."""
    return [Case(name, sample) for name, sample in samples.items()]


def dataset_cases(folder: Path, layout: str | None = None) -> tuple[int, Iterator[Case]]:
    """Brackets of a dataset on disk (``export.layouts``), read one by one, and how many there are.

    Raises DatasetError, from the call or from the iteration.
    """
    from export.layouts import detect

    dataset = detect(folder, layout)

    def cases() -> Iterator[Case]:
        for scene in dataset.scenes:
            bracket = scene.bracket()
            images = (bracket.low, bracket.reference, bracket.high)
            mean = np.array([gamma_mean(image) for image in images], np.float32)
            truth = np.zeros_like(bracket.reference) if bracket.truth is None else bracket.truth
            yield Case(
                bracket.name, Sample(*images, truth, bracket.exposure, mean), bracket.truth is not None
            )

    return len(dataset.scenes), cases()
