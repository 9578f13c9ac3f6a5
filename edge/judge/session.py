"""Fused frames against the ground truth of a simulated session, beside what no network would give."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import cv2
import numpy as np

from edge.errors import TwinhdrError
from edge.frames import FloatImage
from edge.fuse.line import Fused
from edge.fuse.merge import merge, merge_unaligned, prepare_pair
from edge.images.panel import labelled_row, stacked
from edge.judge.flicker import lsd, mean_mu_luminance
from edge.judge.quality import psnr_linear, psnr_mu
from edge.session.recording import Session
from edge.tone.sdr import Rgb8, ToneCurve, apply_curve, meter

PSNR_EVERY = 10
"""PSNR is taken on every tenth frame; flicker needs all of them."""
CROP = (150, 200)
"""Rows and columns of the crops at a width of 960; they scale with the picture."""


@dataclass(frozen=True, slots=True)
class Score:
    """One method over a sequence: mean PSNR in dB, and LSD in parts of full scale (mu-law)."""

    name: str
    psnr_mu: float
    psnr_linear: float
    lsd: float


@dataclass(slots=True)
class _Series:
    psnr_mu: list[float] = field(default_factory=list)
    psnr_linear: list[float] = field(default_factory=list)
    luminance: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Shown:
    reference: FloatImage
    fused: FloatImage
    truth: FloatImage


class Judge:
    """Takes fused frames one by one. The picture is of the frame with most to recover among those judged.

    Raises TwinhdrError for a session that was not simulated: there is no truth to compare with.
    """

    def __init__(self, session: Session, full_scale: float) -> None:
        from hw.simulator.rig import SimulatedRig
        from hw.simulator.spec import SimulatorSpec

        if session.header.simulator is None:
            raise TwinhdrError(f"{session.path}: was not simulated, so there is no ground truth to judge by")
        self._rig = SimulatedRig(SimulatorSpec.from_dict(session.header.simulator), None)
        self._full_scale = full_scale
        self._series: dict[str, _Series] = defaultdict(_Series)
        self._truth: list[float] = []
        self._shown: tuple[float, _Shown] | None = None

    def add(self, fused: Fused) -> None:
        """Judge one frame."""
        reference = fused.prepared.reference
        truth = self._rig.truth(fused.hdr.seq, fused.prepared.group.reference.exposure)
        judged = len(self._truth) % PSNR_EVERY == 0
        self._truth.append(mean_mu_luminance(truth, self._full_scale))
        for name, radiance in self._methods(fused).items():
            series = self._series[name]
            series.luminance.append(mean_mu_luminance(radiance, self._full_scale))
            if judged:
                series.psnr_mu.append(psnr_mu(radiance, truth, self._full_scale))
                series.psnr_linear.append(psnr_linear(radiance, truth, self._full_scale))
        recoverable = float(_recoverable(reference, truth, self._full_scale).mean())
        if judged and (self._shown is None or recoverable > self._shown[0]):
            self._shown = (recoverable, _Shown(reference.copy(), fused.hdr.radiance.copy(), truth))

    def _methods(self, fused: Fused) -> dict[str, FloatImage]:
        prepared, light = fused.prepared, fused.prepared.light
        methods = {"reference alone": prepared.reference}
        if light is None or prepared.low is None or prepared.high is None:
            methods["radiance merge, unaligned"] = methods["radiance merge, masked"] = prepared.reference
        else:
            low, high = prepared.low, prepared.high
            methods["radiance merge, unaligned"] = merge_unaligned(low, prepared.reference, high, light)
            methods["radiance merge, masked"] = merge(prepare_pair(low, high, light), prepared.reference)
        methods["EAFNet"] = fused.hdr.radiance
        return methods

    def scores(self) -> list[Score]:
        """One row a method, in a fixed order."""
        return [
            Score(
                name, float(np.mean(s.psnr_mu)), float(np.mean(s.psnr_linear)), lsd(s.luminance, self._truth)
            )
            for name, s in self._series.items()
        ]

    def picture(self) -> Rgb8:
        """Reference | fused | truth under one tone curve, with a blown-out and a dark crop below."""
        if self._shown is None:
            raise TwinhdrError("no frame was judged, so there is no picture")
        shown = self._shown[1]
        curve = meter(shown.truth)
        width = shown.truth.shape[1]
        rows = [_row(shown, curve, 640 / width)]
        size = (round(CROP[0] * width / 960), round(CROP[1] * width / 960))
        bright = _best_window(_recoverable(shown.reference, shown.truth, self._full_scale), size)
        dark = _best_window((shown.truth.max(2) < 0.04).astype(np.float32), size)
        for window, gain in ((bright, 0.35), (dark, 4.0)):
            crop = _Shown(shown.reference[window], shown.fused[window], shown.truth[window])
            rows.append(_row(crop, ToneCurve(curve.gain * gain, curve.white), 640 / size[1]))
        return stacked(rows)


def _recoverable(reference: FloatImage, truth: FloatImage, full_scale: float) -> FloatImage:
    """(H, W): 1 where the reference clips and the low exposure does not."""
    brightest = truth.max(2)
    lost = (reference.max(2) >= 0.97) & (brightest < 0.9 * full_scale) & (brightest > 1.0)
    return np.asarray(lost, np.float32)


def _best_window(score: FloatImage, size: tuple[int, int]) -> tuple[slice, slice]:
    """The window of ``size`` (rows, columns) with the highest mean score."""
    rows, columns = min(size[0], score.shape[0]), min(size[1], score.shape[1])
    sums = cv2.boxFilter(score, -1, (columns, rows), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    valid = sums[: score.shape[0] - rows + 1, : score.shape[1] - columns + 1]
    top, left = np.unravel_index(int(np.argmax(valid)), valid.shape)
    return slice(int(top), int(top) + rows), slice(int(left), int(left) + columns)


def _row(shown: _Shown, curve: ToneCurve, scale: float) -> Rgb8:
    interpolation = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_CUBIC

    def picture(radiance: FloatImage) -> Rgb8:
        rgb = apply_curve(np.ascontiguousarray(radiance), curve)
        resized: Rgb8 = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=interpolation)
        return resized

    return labelled_row(
        [
            ("reference", picture(shown.reference)),
            ("fused", picture(shown.fused)),
            ("ground truth", picture(shown.truth)),
        ]
    )
