"""A group made ready: each secondary frame developed and rectified once, and never mistaken for another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.develop.linear import DevelopSettings
from edge.develop.prepare import KEPT_SECONDARY, Preparer
from edge.frames import Exposure, Frame, Group
from edge.fuse.stopwatch import Stopwatch
from edge.register.rectify import Rectifier, identity, parse_calibration
from tests.edge.streams import HIGH, LOW, frame

SETTINGS = DevelopSettings(0, 4095)
SIDE = 16


def shot(camera: str, seq: int, level: float, **changes: object) -> Frame:
    image = np.full((SIDE, SIDE), round(level * 4095), np.uint16)
    return frame(camera, seq, image=image, **changes)  # type: ignore[arg-type]


def group(reference: Frame, low: Frame | None, high: Frame | None) -> Group:
    return Group(0, reference, low, high, None if low is None else 0, None if high is None else 0)


class Counted:
    """A preparer and how often each stage ran."""

    def __init__(self, rectifier: Rectifier | None = None) -> None:
        self.stages: dict[str, int] = {}

        def count(stage: str, _ms: float) -> None:
            self.stages[stage] = self.stages.get(stage, 0) + 1

        watch = Stopwatch(lambda: 0, count)
        self.preparer = Preparer(SETTINGS, SETTINGS, rectifier or Rectifier(identity(SIDE, SIDE)), watch)


def test_a_shared_pair_is_prepared_once() -> None:
    """Developing it for each of its four reference frames would cost three times the line's budget."""
    counted = Counted()
    low, high = shot("secondary", 0, 0.1), shot("secondary", 1, 0.8)
    seen = [counted.preparer.prepare(group(shot("reference", n, 0.4), low, high)) for n in range(4)]
    assert counted.stages == {"develop": 6, "register": 2}
    assert all(p.low is seen[0].low and p.high is seen[0].high for p in seen)
    assert seen[0].reference.mean() == pytest.approx(0.4, abs=1e-3)
    assert seen[0].low is not None
    assert seen[0].low.mean() == pytest.approx(0.1, abs=1e-3)


def test_a_pair_that_loses_one_frame_to_the_next_keeps_the_other() -> None:
    """(0, 1) then (2, 1): only the new frame is work."""
    counted = Counted()
    frames = [shot("secondary", seq, 0.2) for seq in range(3)]
    counted.preparer.prepare(group(shot("reference", 0, 0.4), frames[0], frames[1]))
    counted.preparer.prepare(group(shot("reference", 1, 0.4), frames[2], frames[1]))
    assert counted.stages["register"] == 3


def test_a_restarted_camera_does_not_get_old_pictures() -> None:
    """Its numbers begin anew, its pictures do not."""
    counted = Counted()
    before = counted.preparer.prepare(group(shot("reference", 0, 0.4), shot("secondary", 0, 0.1), None))
    again = shot("secondary", 0, 0.3, t_device_ns=77)
    after = counted.preparer.prepare(group(shot("reference", 1, 0.4), again, None))
    assert before.low is not None
    assert after.low is not None
    assert after.low.mean() == pytest.approx(0.3, abs=1e-3)


def test_only_the_secondary_is_rectified() -> None:
    """The reference is what the others are mapped onto."""
    shift = parse_calibration(
        {"version": 1, "width": SIDE, "height": SIDE, "homography": [[1, 0, 4], [0, 1, 0], [0, 0, 1]]}, "test"
    )
    ramp = np.tile(np.arange(SIDE, dtype=np.uint16) * 200, (SIDE, 1))
    counted = Counted(Rectifier(shift))
    reference = replace(shot("reference", 0, 0), image=ramp, pixel_format="mono")
    low = replace(shot("secondary", 0, 0), image=ramp, pixel_format="mono")
    out = counted.preparer.prepare(group(reference, low, None))
    assert out.low is not None
    np.testing.assert_allclose(out.low[:, 4:], out.reference[:, :-4], atol=1e-6)


def test_memory_holds_a_few_frames_only() -> None:
    """Six megabytes each, all day."""
    counted = Counted()
    for seq in range(0, 40, 2):
        pair = shot("secondary", seq, 0.1), shot("secondary", seq + 1, 0.8)
        counted.preparer.prepare(group(shot("reference", seq, 0.4), *pair))
    assert len(counted.preparer._kept) == KEPT_SECONDARY


def test_light_is_relative_to_the_reference_exposure() -> None:
    """All rungs take their unit from it; gain counts like time."""
    counted = Counted()
    reference = shot("reference", 0, 0.4, exposure=Exposure(4_000.0, 6.0206))
    low, high = shot("secondary", 0, 0.1), shot("secondary", 1, 0.8)
    light = counted.preparer.prepare(group(reference, low, high)).light
    assert light == pytest.approx((LOW.light / 8_000.0, 1.0, HIGH.light / 8_000.0), rel=1e-4)
    half = counted.preparer.prepare(group(reference, low, None)).light
    assert half == pytest.approx((LOW.light / 8_000.0, 1.0, 8_000.0 / LOW.light), rel=1e-4)
    assert counted.preparer.prepare(group(reference, None, None)).light is None
    assert counted.preparer.prepare(group(reference, None, None)).low is None
