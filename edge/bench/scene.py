"""One bracket with its ground truth for ``twinhdr bench``: a shipped scene, filmed, developed and aligned."""

from __future__ import annotations

from dataclasses import dataclass

from edge.develop.linear import DevelopSettings, develop
from edge.engines import Light
from edge.frames import Exposure, FloatImage

SCENE = "workshop"
SEED = 3
EXPOSURES = (Exposure(2000.0, 0.0), Exposure(8000.0, 0.0), Exposure(16_000.0, 6.0206))
"""Low, reference, high at +-2 EV; the high one cannot be longer than a frame at 60 per second."""
AGES_S = (0.03, -0.02)
BASELINE_M = 0.03


@dataclass(frozen=True, slots=True, eq=False)
class Bracket:
    """Linear (H, W, 3) float32 in [0, 1] as the recorder would have them before alignment.

    ``truth`` is radiance in reference units.
    """

    low: FloatImage
    reference: FloatImage
    high: FloatImage
    truth: FloatImage
    light: Light


def bench_bracket(width: int, height: int) -> Bracket:
    """The bracket for pictures of ``width`` x ``height``; the same on every machine."""
    from hw.simulator.library import scene_world
    from hw.simulator.sensor import Sensor
    from hw.simulator.triples import render_triple

    world = scene_world(SCENE, width, height, SEED)
    triple = render_triple(world, Sensor(), 2.0, *AGES_S, EXPOSURES, SEED, BASELINE_M)
    sensor = triple.sensor
    settings = DevelopSettings(sensor.black, sensor.white, demosaic="fine")
    low, reference, high = (
        develop(raw, sensor.pixel_format, settings) for raw in (triple.low, triple.reference, triple.high)
    )
    unit = EXPOSURES[1].light
    light = (EXPOSURES[0].light / unit, 1.0, EXPOSURES[2].light / unit)
    return Bracket(low, reference, high, triple.truth, light)
