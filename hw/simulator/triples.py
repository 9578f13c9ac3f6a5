"""Training samples: one low/reference/high bracket with its ground truth, at any size from a patch up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.frames import Exposure, FloatImage
from hw.simulator.motion import Matrix
from hw.simulator.scene import View, World
from hw.simulator.sensor import Raw, Sensor, expose


@dataclass(frozen=True, eq=False, slots=True)
class Triple:
    """Three raw frames of one moment and what was really there.

    ``low``, ``reference`` and ``high`` are (H, W) raw Bayer counts; ``exposures`` are in that order.
    ``truth`` is (H, W, 3) float32: radiance of the reference view averaged over the reference exposure,
    without noise and without clipping, in reference units.
    """

    low: Raw
    reference: Raw
    high: Raw
    exposures: tuple[Exposure, Exposure, Exposure]
    truth: FloatImage
    sensor: Sensor


def film_triple(
    world: World,
    t_reference_s: float,
    low_age_s: float,
    high_age_s: float,
    exposures: tuple[Exposure, Exposure, Exposure],
    baseline_m: float = 0.0,
    secondary_homography: Matrix | None = None,
) -> tuple[FloatImage, FloatImage, FloatImage]:
    """Radiance that falls on the sensors during low, reference and high: (H, W, 3) float32, reference units.

    The reference is at ``t_reference_s``, low and high ``*_age_s`` before it (mid-exposure). The secondary
    camera is taken as registered on the background plane: ``baseline_m`` leaves the parallax of near objects,
    ``secondary_homography`` (3x3, secondary pixels to reference pixels) what a calibration got wrong; see
    ``residual_homography``.
    """
    low, reference, high = exposures
    secondary = View(baseline_m, secondary_homography)
    return (
        world.exposed(t_reference_s - low_age_s, low.exposure_us * 1e-6, secondary),
        world.exposed(t_reference_s, reference.exposure_us * 1e-6),
        world.exposed(t_reference_s - high_age_s, high.exposure_us * 1e-6, secondary),
    )


def render_triple(
    world: World,
    sensor: Sensor,
    t_reference_s: float,
    low_age_s: float,
    high_age_s: float,
    exposures: tuple[Exposure, Exposure, Exposure],
    seed: int | tuple[int, ...],
    baseline_m: float = 0.0,
    secondary_homography: Matrix | None = None,
) -> Triple:
    """Film one group as ``film_triple`` and expose a sensor to it."""
    filmed = film_triple(
        world, t_reference_s, low_age_s, high_age_s, exposures, baseline_m, secondary_homography
    )
    rng = np.random.Generator(np.random.SFC64(seed))
    unit = exposures[1].light
    # In this order since the first release: the noise of a seed, and with it every score, depends on it.
    raw = {
        i: expose(filmed[i], sensor, exposures[i].light / unit, exposures[i].gain_db, rng) for i in (0, 1, 2)
    }
    return Triple(raw[0], raw[1], raw[2], exposures, filmed[1], sensor)


def residual_homography(
    rng: np.random.Generator, width: int, height: int, shift_px: float = 1.0, corner_px: float = 0.5
) -> Matrix:
    """A small registration error: a common shift plus independent moves of the four corners.

    Both are normal with the given standard deviation in pixels. Maps secondary to reference pixels (3x3).
    """
    import cv2

    corners = np.array(((0, 0), (width, 0), (width, height), (0, height)), np.float32)
    moved = corners + rng.normal(0, shift_px, 2) + rng.normal(0, corner_px, (4, 2))
    matrix: Matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    return matrix
