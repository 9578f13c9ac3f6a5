"""The quick score of a network, PSNR-mu / PSNR-L, beside what needs no network: for training and one glance.

Every figure on everything, with pictures, is ``judging``'s work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from export.compare.merges import blend_only, radiance_merge, reference_only
from export.compare.network import network
from export.compare.row import Method
from export.compare.rows import quick_rows
from export.judging.judged import VALIDATION_SIZE, shipped_set, validation_set
from export.judging.metrics import psnr_linear, psnr_mu
from export.training.brackets import Sample

__all__ = [
    "BASELINES",
    "VALIDATION_SIZE",
    "Method",
    "Score",
    "blend_only",
    "network",
    "radiance_merge",
    "reference_only",
    "score",
    "score_each",
    "shipped_set",
    "validation_set",
]

BASELINES: dict[str, Method] = {row.name: row.method for row in quick_rows()}


@dataclass(frozen=True, slots=True)
class Score:
    """Means over a set, in dB."""

    psnr_mu: float
    psnr_linear: float


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
