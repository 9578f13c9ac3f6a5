"""Whether a calibration still holds: what is left between the views once they have been rectified by it.

A thing nearer than the distance the calibration is for moves along the line between the cameras. That is
parallax, no drift, and where the mounting is known only what is left *across* that line counts. Without a
mounting (a homography from elsewhere) depth and drift cannot be told apart, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge.calibration.features import Instant, Matches, match
from edge.calibration.maps import undistorted
from edge.calibration.model import Calibration
from edge.calibration.selfcal import displacement, fit_views
from edge.register.rectify import Rectifier

Verdict: TypeAlias = Literal["good", "drifting", "lost"]
GOOD_PX = 0.5
LIMIT_PX = 1.5
"""Above it calibrate again. The flow that follows finds more than that, at the price of its errors."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How far the rectified views are apart.

    ``drift_px`` rms over the picture of what is systematic; ``worst_px`` its largest value, ``uncertain_px``
    how far it may be off; ``parallax_px`` the median shift along the baseline (None: not separable).
    """

    drift_px: float
    worst_px: float
    uncertain_px: float
    residual_px: float
    parallax_px: float | None
    matches: int
    agreeing: int
    limit_px: float = LIMIT_PX

    @property
    def verdict(self) -> Verdict:
        """In a word."""
        if self.drift_px <= min(GOOD_PX, self.limit_px):
            return "good"
        return "drifting" if self.drift_px <= self.limit_px else "lost"

    @property
    def exit_code(self) -> int:
        """0 as long as the calibration can be used."""
        return 1 if self.verdict == "lost" else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return {"verdict": self.verdict, **plain}


def measure_drift(material: Iterable[Instant], calibration: Calibration, limit_px: float = LIMIT_PX) -> Drift:
    """Drift of ``calibration`` on some instants of a recording. Raises SelfCalibrationError."""
    rectifier = Rectifier(calibration)
    found = [match(_rectified(instant, rectifier)) for instant in material]
    size = calibration.width, calibration.height
    parallax_px = None
    if calibration.mounting is not None and calibration.reference is not None:
        found, parallax_px = _across(found, calibration)
    fit = fit_views(found, size)
    field = np.hypot(*np.moveaxis(displacement(fit.matrix, size), -1, 0))
    return Drift(
        float(np.sqrt((field**2).mean())),
        float(field.max()),
        fit.uncertain_px,
        fit.residual_px,
        parallax_px,
        fit.matches,
        fit.agreeing,
        limit_px,
    )


def _rectified(instant: Instant, rectifier: Rectifier) -> Instant:
    return replace(
        instant,
        before=rectifier.rectify_reference(instant.before),
        after=rectifier.rectify_reference(instant.after),
        secondary=rectifier.rectify(instant.secondary),
        ratio=instant.ratio * rectifier.sensitivity,
    )


def _across(found: list[Matches], calibration: Calibration) -> tuple[list[Matches], float]:
    """Matches without what lies along the baseline, and the median of that in px."""
    along = []
    across = []
    for one in found:
        direction = _epipolar(one.secondary, calibration)
        shift = one.reference - one.secondary
        part = (shift * direction).sum(axis=1)
        along.append(part)
        across.append(Matches(one.secondary + shift - part[:, None] * direction, one.secondary))
    joined = np.concatenate(along) if along else np.empty(0)
    return across, float(np.median(joined)) if joined.size else 0.0


def _epipolar(pixels: NDArray[np.float64], calibration: Calibration) -> NDArray[np.float64]:
    """(n, 2) unit steps in the rectified picture along which a thing moves with its distance."""
    lens, mounting = calibration.reference, calibration.mounting
    assert lens is not None, "the caller has made sure"
    assert mounting is not None, "the caller has made sure"
    straight = calibration.undistort_reference
    rays = (pixels - (lens.cx, lens.cy)) / (lens.fx, lens.fy) if straight else undistorted(lens, pixels)
    x, y, z = mounting.secondary_at_m
    steps = np.column_stack(((x - rays[:, 0] * z) * lens.fx, (y - rays[:, 1] * z) * lens.fy))
    length = np.linalg.norm(steps, axis=1, keepdims=True)
    return np.asarray(steps / np.maximum(length, 1e-12), np.float64)
