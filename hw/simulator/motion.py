"""Smooth seeded paths: pure functions of time, so that any instant can be rendered in any order.

Everything moves in pixels of the *scene plane*: the plane of the background, at the view's own scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Motion:
    """How lively a world is. Speeds are peaks, in pixels of the rendered view per second."""

    pan_px_s: float = 40.0
    shake_px: float = 1.2
    """Amplitude of the hand's tremor (1 to 7 Hz)."""
    roll_deg: float = 0.05
    object_px_s: float = 160.0
    spin_deg_s: float = 12.0


@dataclass(frozen=True, slots=True)
class Wave:
    """A sum of sines: (amplitude, angular frequency in rad/s, phase in rad) each, around ``centre``."""

    terms: tuple[tuple[float, float, float], ...] = ()
    centre: float = 0.0

    def at(self, t_s: float) -> float:
        value = self.centre
        for amplitude, omega, phase in self.terms:
            value += amplitude * math.sin(omega * t_s + phase)
        return value


@dataclass(frozen=True, slots=True)
class Path:
    """Position (px) and turn (rad) over time."""

    x: Wave = Wave()
    y: Wave = Wave()
    angle: Wave = Wave()


def swing(rng: np.random.Generator, amplitude: float, speed: float, centre: float = 0.0) -> Wave:
    """One slow sine that never leaves ``centre +- amplitude`` and never exceeds ``speed`` (units per s)."""
    if amplitude <= 0.0 or speed <= 0.0:
        return Wave(centre=centre)
    return Wave(((amplitude, speed / amplitude, float(rng.uniform(0, 2 * math.pi))),), centre)


def tremor(rng: np.random.Generator, amplitude: float) -> Wave:
    """Three sines between 1 and 7 Hz, weaker as they get faster: a hand or a pole in the wind."""
    if amplitude <= 0.0:
        return Wave()
    hertz = rng.uniform((1.0, 2.0, 4.0), (2.0, 4.0, 7.0))
    phases = rng.uniform(0, 2 * math.pi, 3)
    weights = (0.6, 0.3, 0.1)
    return Wave(
        tuple(
            (amplitude * weight, 2 * math.pi * float(f), float(phase))
            for weight, f, phase in zip(weights, hertz, phases, strict=True)
        )
    )


def translation(x: float, y: float) -> Matrix:
    return np.array(((1.0, 0.0, x), (0.0, 1.0, y), (0.0, 0.0, 1.0)))


def similarity(angle_rad: float, scale: float, x: float, y: float, cx: float, cy: float) -> Matrix:
    """Turn and scale about (cx, cy), then carry (cx, cy) to (x, y)."""
    c, s = scale * math.cos(angle_rad), scale * math.sin(angle_rad)
    return np.array(((c, -s, x - c * cx + s * cy), (s, c, y - s * cx - c * cy), (0.0, 0.0, 1.0)))
