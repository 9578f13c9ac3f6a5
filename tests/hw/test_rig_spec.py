"""From configuration to cameras."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import edge
from edge.config.schema import Config
from hw.rig import pace_factor, simulator_spec


def config(**changes: Any) -> Config:
    """The defaults, changed at dotted keys (double underscores)."""
    data = yaml.safe_load((Path(edge.__file__).parent / "defaults.yaml").read_text())
    for key, value in changes.items():
        node = data
        *parents, last = key.split("__")
        for parent in parents:
            node = node[parent]
        node[last] = value
    return Config.model_validate_json(json.dumps(data))


def test_configuration_reaches_the_cameras() -> None:
    """Otherwise nothing runs out of the box."""
    spec = simulator_spec(config(rig__width=96, rig__height=64))
    assert (spec.width, spec.height) == (96, 64)
    assert spec.reference.frame_period_us == pytest.approx(1e6 / 30)
    assert [e.exposure_us for e in spec.secondary.exposures] == [2_000.0, 32_000.0]


def test_fault_knobs_reach_their_cameras() -> None:
    """A knob without a wire would make every robustness test pass."""
    faults = {
        "lost_frame_share": 0.1,
        "late_exposure_share": 0.2,
        "silent_after_s": 3.0,
        "secondary_clock_ratio": 10.0,
        "secondary_clock_drift_ppm": 50.0,
    }
    spec = simulator_spec(config(simulator__faults=faults))
    assert spec.reference.faults.lost_share == spec.secondary.faults.lost_share == 0.1
    assert spec.secondary.faults.late_exposure_share == 0.2
    assert spec.secondary.faults.silences[0][0] == 3.0
    assert spec.reference.faults.silences == ()
    assert (spec.secondary.clock.tick_ratio, spec.secondary.clock.drift_ppm) == (10.0, 50.0)


def test_a_scene_of_ones_own_is_found_again_from_any_folder() -> None:
    """A session stores its scene; a relative path would be lost when it is refused elsewhere."""
    assert Path(simulator_spec(config(simulator__scene="mine.exr")).scene).is_absolute()
    assert simulator_spec(config(simulator__scene="garden")).scene == "garden"


def test_pace() -> None:
    """A demo at the wrong pace would drop frames or take forever."""
    assert pace_factor("max") is None
    assert pace_factor("auto") == 1.0
    assert pace_factor(0.5) == 0.5
