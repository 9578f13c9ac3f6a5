"""How good a network is on brackets with ground truth, beside what needs no network.

The validation set is rendered, always the same: one bracket of every held-out image (``brackets.VALIDATION``)
at -2, 0, +2 EV with moving objects, parallax, noise and a clipped reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.align import Aligner
from edge.frames import Exposure, FloatImage
from export.brackets import GAMMA, Sample, make_sample, registered, split_images
from export.metrics import mu_law, psnr_linear, psnr_mu
from hw.simulator.library import SCENES, scene_world
from hw.simulator.motion import Motion
from hw.simulator.radiance import load_radiance
from hw.simulator.scene import Stage, make_world
from hw.simulator.sensor import Sensor
from hw.simulator.triples import render_triple, residual_homography

if TYPE_CHECKING:
    from export.eafnet.model import Eafnet

Method = Callable[[Sample], FloatImage]
"""A bracket to (H, W, 3) in [0, 1], 1.0 saturates the low exposure."""

VALIDATION_SIZE = (480, 288)


@dataclass(frozen=True, slots=True)
class Score:
    """Means over a set, in dB."""

    psnr_mu: float
    psnr_linear: float


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


def reference_only(sample: Sample) -> FloatImage:
    """The reference exposure as it is."""
    scaled: FloatImage = sample.reference * sample.exposure[0]
    return scaled


def radiance_merge(sample: Sample) -> FloatImage:
    """Unaligned merge (Debevec and Malik 1997, on linear data): triangle weights in the gamma domain.

    The low exposure's weight does not fall towards white nor the high exposure's towards black: beyond them
    there is no better one.
    """
    total = np.zeros_like(sample.reference)
    weights = np.full_like(sample.reference, 1e-6)
    exposures = (sample.low, sample.reference, sample.high)
    for number, (image, light) in enumerate(zip(exposures, sample.exposure, strict=True)):
        bright = np.power(image, np.float32(1 / GAMMA))
        rising = np.ones_like(bright) if number == 2 else 2.0 * bright
        falling = np.ones_like(bright) if number == 0 else 2.0 - 2.0 * bright
        weight = np.clip(np.minimum(rising, falling), 1e-6, 1.0)
        total += weight * image * (sample.exposure[0] / light)
        weights += weight
    merged: FloatImage = total / weights
    return merged


def blend_only(sample: Sample, ramp: tuple[float, float] = (0.93, 0.99)) -> FloatImage:
    """The network's start (``eafnet.model.blend``): the low exposure in the channels that clip, unaligned."""
    reference = reference_only(sample)
    x = np.clip((np.power(sample.reference, np.float32(1 / GAMMA)) - ramp[0]) / (ramp[1] - ramp[0]), 0.0, 1.0)
    w = x * x * (3.0 - 2.0 * x)
    blended: FloatImage = (1.0 - w) * reference + w * np.maximum(sample.low, reference)
    return blended


BASELINES: dict[str, Method] = {
    "reference": reference_only,
    "merge": radiance_merge,
    "blend": blend_only,
}


def network(net: Eafnet) -> Method:
    """``net`` as a method, with the device's registration and mirrored padding."""
    import torch

    aligner = Aligner()

    def padded(image: FloatImage) -> torch.Tensor:
        h, w = image.shape[:2]
        m = net.config.multiple
        grown = cv2.copyMakeBorder(image, 0, -h % m, 0, -w % m, cv2.BORDER_REFLECT_101)
        return torch.from_numpy(grown.transpose(2, 0, 1)[None].copy())

    def fuse(unaligned: Sample) -> FloatImage:
        sample = registered(unaligned, aligner)
        h, w = sample.reference.shape[:2]
        exposure = torch.from_numpy(sample.exposure[None].copy())
        mean = torch.from_numpy(sample.mean[None].copy())
        images = [padded(x) for x in (sample.low, sample.reference, sample.high)]
        with torch.inference_mode():
            out = net(*images, exposure, mean)
        answer: FloatImage = out[0, :, :h, :w].permute(1, 2, 0).numpy()
        return answer * (unaligned.exposure[0] / sample.exposure[0])

    return fuse


def score_each(method: Method, samples: Mapping[str, Sample]) -> dict[str, Score]:
    """Score of ``method`` by name of the sample, and their ``mean``."""
    scores = {}
    for name, sample in samples.items():
        answer = np.clip(method(sample), 0.0, 1.0)
        scores[name] = Score(psnr_mu(answer, sample.truth), psnr_linear(answer, sample.truth))
    each = list(scores.values())
    mean = Score(float(np.mean([s.psnr_mu for s in each])), float(np.mean([s.psnr_linear for s in each])))
    return {**scores, "mean": mean}


def score(method: Method, samples: Mapping[str, Sample]) -> Score:
    """Mean over ``samples``."""
    return score_each(method, samples)["mean"]


def contact_sheet(methods: dict[str, Method], samples: Iterable[Sample]) -> NDArray[np.uint8]:
    """One row per sample: each method's mu-law picture, then the truth. (H, W, 3) uint8 RGB."""
    rows = []
    for sample in samples:
        pictures = [mu_law(np.clip(m(sample), 0, 1)) for m in methods.values()]
        rows.append(np.hstack([*pictures, mu_law(sample.truth)]))
    sheet: NDArray[np.uint8] = (np.vstack(rows) * 255 + 0.5).astype(np.uint8)
    return sheet
