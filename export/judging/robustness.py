"""What a network loses when what it is told, or given, is wrong.

Truth stays in true units. A network answers in units of the low exposure it was *told*, so its answer is
brought from that scale to the true one before it is judged. The bars are those of the project.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from edge.frames import FloatImage
from edge.register.align import Aligner
from export.compare.merges import reference_only
from export.compare.row import Method
from export.judging.metrics import psnr_linear, psnr_mu
from export.training.brackets import Sample, gamma_mean

Lost = Literal["low", "high"]
MISREPORT = 0.1
SHIFT_PX = 3.0
EXPOSURE_BAR_DB, SHIFT_BAR_DB, MISSING_BAR_DB = 0.7, 1.0, 0.2


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong.

    ``told``: reported over true light of low and high. ``shift_px``: the pair right and down of where it
    belongs. ``bar_db``: the largest loss of PSNR-mu, in the mean or, where an exposure is ``lost``, on any
    one picture against the reference alone.
    """

    name: str
    told: tuple[float, float] = (1.0, 1.0)
    shift_px: tuple[float, float] = (0.0, 0.0)
    lost: Lost | None = None
    bar_db: float | None = None


def faults() -> list[Fault]:
    """The list that the report goes through; the first is nothing wrong."""
    wrong = [Fault("nothing wrong")]
    for sign in (1.0, -1.0):
        told = 1.0 + sign * MISREPORT
        for name, both in (("low", (told, 1.0)), ("high", (1.0, told)), ("low and high", (told, told))):
            wrong.append(Fault(f"{name} reported {sign * MISREPORT:+.0%}", both, bar_db=EXPOSURE_BAR_DB))
    right, diagonal = (SHIFT_PX, 0.0), (SHIFT_PX * 0.5**0.5, SHIFT_PX * 0.5**0.5)
    wrong.append(Fault(f"pair {SHIFT_PX:g} px to the right", shift_px=right, bar_db=SHIFT_BAR_DB))
    wrong.append(Fault(f"pair {SHIFT_PX:g} px along the diagonal", shift_px=diagonal, bar_db=SHIFT_BAR_DB))
    wrong.append(Fault("low missing", lost="low", bar_db=MISSING_BAR_DB))
    wrong.append(Fault("high missing", lost="high", bar_db=MISSING_BAR_DB))
    return wrong


@dataclass(frozen=True, slots=True)
class Outcome:
    """Means in dB. ``cost_mu``, ``cost_linear``: less than with nothing wrong.

    ``worst_mu``: the smallest gain over the reference alone on any one picture, PSNR-mu, and which that is;
    ``within`` None where there is no bar.
    """

    fault: str
    psnr_mu: float
    psnr_linear: float
    cost_mu: float
    cost_linear: float
    worst_mu: float
    worst_picture: str
    bar_db: float | None
    within: bool | None


def try_faults(
    forward: Method,
    samples: Mapping[str, Sample],
    aligner: Aligner | None = None,
    seen: Callable[[], None] = lambda: None,
) -> list[Outcome]:
    """``forward`` (a network on registered samples) on ``samples`` with every fault.

    ``aligner`` registers as the device does. ``seen`` is called once a fault.
    """
    aligner = aligner or Aligner()
    alone = np.array([psnr_mu(reference_only(s), s.truth) for s in samples.values()])
    outcomes: list[Outcome] = []
    for fault in faults():
        answers = [(with_fault(forward, sample, fault, aligner), sample.truth) for sample in samples.values()]
        mu = np.array([psnr_mu(answer, truth) for answer, truth in answers])
        linear = float(np.mean([psnr_linear(answer, truth) for answer, truth in answers]))
        gains = dict(zip(samples, (float(gain) for gain in mu - alone), strict=True))
        outcomes.append(_outcome(fault, float(mu.mean()), linear, gains, outcomes[0] if outcomes else None))
        seen()
    return outcomes


def with_fault(forward: Method, sample: Sample, fault: Fault, aligner: Aligner) -> FloatImage:
    """The answer to ``sample`` with ``fault``, on the true low exposure's scale, in [0, 1]."""
    given = misled(sample, fault)
    registered = on_reference(given, aligner, fault.lost)
    answer: FloatImage = forward(registered) * (sample.exposure[0] / registered.exposure[0])
    return np.clip(answer, 0.0, 1.0)


def misled(sample: Sample, fault: Fault) -> Sample:
    """``sample`` as a camera that is wrong would give it."""
    told = np.array((fault.told[0], 1.0, fault.told[1]), np.float32)
    low, high = (_shifted(image, fault.shift_px) for image in (sample.low, sample.high))
    return replace(sample, low=low, high=high, exposure=sample.exposure * told)


def on_reference(sample: Sample, aligner: Aligner, lost: Lost | None = None) -> Sample:
    """As ``brackets.registered``, but for a pair that may have lost one; the truth stays as it is."""
    low_light, unit, high_light = (float(e) for e in sample.exposure)
    aligned = aligner.align(
        sample.reference,
        None if lost == "low" else sample.low,
        None if lost == "high" else sample.high,
        (low_light, unit, high_light),
    )
    images = (aligned.low, sample.reference, aligned.high)
    mean = np.array([gamma_mean(image) for image in images], np.float32)
    return Sample(*images, sample.truth, np.array(aligned.light, np.float32), mean)


def _shifted(image: FloatImage, by_px: tuple[float, float]) -> FloatImage:
    if by_px == (0.0, 0.0):
        return image
    matrix = np.array(((1.0, 0.0, by_px[0]), (0.0, 1.0, by_px[1])), np.float32)
    size = image.shape[1], image.shape[0]
    moved = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def _outcome(
    fault: Fault, mean: float, linear: float, gains: Mapping[str, float], right: Outcome | None
) -> Outcome:
    """``gains`` over the reference alone by picture; ``right`` with nothing wrong, None if that is it."""
    picture = min(gains, key=lambda name: gains[name])
    worst = gains[picture]
    cost_mu = 0.0 if right is None else right.psnr_mu - mean
    cost_linear = 0.0 if right is None else right.psnr_linear - linear
    within = None
    if fault.bar_db is not None:
        within = worst >= -fault.bar_db if fault.lost else cost_mu < fault.bar_db
    return Outcome(fault.name, mean, linear, cost_mu, cost_linear, worst, picture, fault.bar_db, within)
