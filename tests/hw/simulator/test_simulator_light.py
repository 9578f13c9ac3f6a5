"""Light that changes: what automatic exposure is tested with must itself be right."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from edge.frames import Exposure
from hw.simulator.library import scene_world
from hw.simulator.light import LAMP_HZ, SUNRISE_EV, TUNNEL_EV, light_factor
from hw.simulator.motion import Motion
from hw.simulator.rig import SimulatedRig, truth
from hw.simulator.spec import SimulatorSpec
from hw.simulator.timeline import Cycle, continued, intended_exposure

STILL = Motion(0.0, 0.0, 0.0, 0.0, 0.0)
LOW, HIGH = Exposure(2_000.0), Exposure(32_000.0)


def test_steady_light_is_what_it_was() -> None:
    """Every published figure was taken in it."""
    assert {light_factor("steady", t, 0.01) for t in (0.0, 3.3, 1e5)} == {1.0}
    assert SimulatorSpec().light == "steady"


@pytest.mark.parametrize(("light", "stops"), [("sunrise", SUNRISE_EV), ("tunnel", TUNNEL_EV)])
def test_light_rises_by_its_stops_and_never_falls(light: str, stops: float) -> None:
    """A test of a four-stop change that changes by two proves half of what it says."""
    values = [light_factor(light, 0.05 * n, 0.01) for n in range(600)]  # type: ignore[arg-type]
    assert values == sorted(values)
    assert math.log2(values[-1] / values[0]) == pytest.approx(stops)


def test_an_exposure_sees_the_mean_of_a_lamp() -> None:
    """Whole periods must see no flicker, or exposing by them could not be tested."""
    fine = np.linspace(-0.5, 0.5, 4001)
    for exposure_s, t_s in ((0.004, 1.003), (0.015, 0.7001)):
        instants = [light_factor("lamp", t_s + exposure_s * x, 0.0) for x in fine]
        assert light_factor("lamp", t_s, exposure_s) == pytest.approx(np.mean(instants), rel=2e-3)
    whole = [
        light_factor("lamp", n / 977.0, 2 / LAMP_HZ) / light_factor("lamp", n / 977.0, 1 / LAMP_HZ)
        for n in range(50)
    ]
    assert whole == pytest.approx([1.0] * 50)


def test_frames_and_truth_are_lit_alike() -> None:
    """Else every figure of a recording in changing light would compare with another picture."""
    spec = SimulatorSpec(width=96, height=64, motion=STILL, light="tunnel")
    world = scene_world(spec.scene, spec.width, spec.height, spec.seed, spec.stage, spec.motion)
    dark, bright = truth(spec, world, 0), truth(spec, world, 300)
    assert np.median(bright / np.maximum(dark, 1e-6)) == pytest.approx(2.0**TUNNEL_EV, rel=1e-4)
    steady = truth(dataclasses.replace(spec, light="steady"), world, 300)
    assert np.allclose(steady, dark, rtol=1e-5)
    rig = SimulatedRig(spec, None)
    rig.reference.start()
    rig.trigger.start()
    frame = rig.reference.read(20.0)
    assert frame is not None
    assert frame.image.mean() == pytest.approx(_counts(np.minimum(dark, 1.0), rig.spec), rel=0.05), (
        "the first frame is in the tunnel"
    )


def _counts(linear: np.ndarray, spec: SimulatorSpec) -> float:
    sensor = spec.reference.sensor
    return float(sensor.black + linear.mean() * (sensor.white - sensor.black))


def test_a_changed_cycle_of_the_same_length_goes_on_where_it_was() -> None:
    """Automatic exposure changes low and high many times a second; they must keep taking turns."""
    cycles = [Cycle(0, (LOW, HIGH))]
    for seq in (3, 4, 7, 8, 11):
        nudged = (Exposure(LOW.exposure_us + seq), Exposure(HIGH.exposure_us - seq))
        cycles.append(continued(cycles[-1], seq, nudged))
    taken = [intended_exposure(cycles, seq).exposure_us < 8_000 for seq in range(20)]
    assert taken == [seq % 2 == 0 for seq in range(20)]
    longer = continued(cycles[-1], 20, (LOW, LOW, HIGH))
    assert [intended_exposure([longer], seq) for seq in (20, 21, 22)] == [LOW, LOW, HIGH]
