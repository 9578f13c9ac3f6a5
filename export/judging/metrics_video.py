"""How steady a sequence is: L_avg, LSD and t-SSIM, the figures of flicker of the paper.

"Capturing Stable HDR Videos Using a Dual-Camera System", where domain, colour and pairs of frames are left
open. What we take, and why:

- *Luminance* is Rec. 709 (BT.709-6, table 3) of the linear image, then the mu-law, then the mean over pixels:
  as the recorder's own gauge (``edge.judge.flicker``) has it, so that a figure of the laboratory and one of a
  recording compare. The mu domain, because linear means follow a few highlights that an eye hardly weighs.
- *L_avg* is the mean over the frames of that luminance; ``luminances`` is its curve over time.
- *LSD* is the standard deviation of the curve. A scene that gets brighter has one, too: against a truth we
  take the deviation of the *difference*. It is never smaller than the distance of the two deviations.
- *t-SSIM* is the mean SSIM-mu of consecutive frames, without motion compensation: a compensated one would
  measure the optical flow used as much as the sequence. Motion and sensor noise lower it in the truth, too,
  and blur raises it, so it says something beside the truth's t-SSIM of the same frames only: aim at
  equality, not at 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.frames import FloatImage
from edge.judge.quality import mu_law
from export.judging.metrics_ssim import ssim

LUMINANCE = np.array([[0.2126, 0.7152, 0.0722]], np.float32)
"""Rec. 709 / BT.709-6, table 3."""


def mean_luminance(image: FloatImage) -> float:
    """Mean over the pixels of T(Y), in [0, 1], of one (H, W, 3) linear image in [0, 1]."""
    return float(np.mean(mu_law(cv2.transform(image, LUMINANCE)), dtype=np.float64))


def luminances(frames: Iterable[FloatImage]) -> list[float]:
    """The curve of L_avg: ``mean_luminance`` of each frame."""
    return [mean_luminance(frame) for frame in frames]


def l_avg(curve: Sequence[float]) -> float:
    """L_avg: mean of a curve of ``luminances``, in [0, 1]. Best: the truth's. ValueError without frames."""
    return float(np.mean(_series(curve, None)))


def lsd(curve: Sequence[float], truth: Sequence[float] | None = None) -> float:
    """LSD, the luminance standard deviation (over n): flicker in parts of full scale of the mu-law domain.

    ``curve`` and ``truth`` are ``luminances`` in time order. Of the sequence itself, the paper's measure for
    a steady scene; with ``truth``, of the difference, so that what the scene itself does is not counted and a
    constant error of brightness is no flicker. Raises ValueError without frames or with unequal lengths.
    """
    return float(np.std(_series(curve, truth)))


def luminance_step(curve: Sequence[float], truth: Sequence[float] | None = None) -> float:
    """Largest change of mean luminance from one frame to the next, beyond the scene's own with ``truth``.

    What LSD averages away: one visible step where a low/high pair changes. 0 for a single frame. In and
    out as ``lsd``.
    """
    return float(np.max(np.abs(np.diff(_series(curve, truth))), initial=0.0))


def temporal_ssims(frames: Iterable[FloatImage]) -> Iterator[float]:
    """SSIM-mu of each frame and the one before it, from the second frame on; holds two frames at a time."""
    for before, after in pairwise(mu_law(frame) for frame in frames):
        yield ssim(before, after)


def t_ssim(frames: Iterable[FloatImage]) -> float:
    """t-SSIM: mean of ``temporal_ssims``, in [-1, 1]; equality with the truth's is best.

    Raises ValueError for fewer than two frames.
    """
    values = list(temporal_ssims(frames))
    if not values:
        raise ValueError("t-SSIM of fewer than two frames: it compares each frame with the one before")
    return float(np.mean(values))


def _series(curve: Sequence[float], truth: Sequence[float] | None) -> NDArray[np.float64]:
    values: NDArray[np.float64] = np.asarray(curve, np.float64)
    if values.size == 0:
        raise ValueError("a curve of no frames: give at least one mean luminance")
    if truth is None:
        return values
    if len(truth) != len(values):
        raise ValueError(f"{len(values)} frames against {len(truth)} of truth: give the truth of each frame")
    return values - np.asarray(truth, np.float64)
