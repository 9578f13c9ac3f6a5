"""The preview: the newest picture for whoever looks, and never in the way of the recording."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge.config.schema import PreviewConfig
from edge.frames import Rung
from edge.fuse.fuser import Fuser
from edge.fuse.line import Fused
from edge.fuse.stopwatch import Stopwatch
from edge.health.health import Health
from edge.viewfinder.preview import PICTURES, PreviewHub
from edge.viewfinder.viewer import METER_PERIOD_NS, Viewer
from tests.edge.fuse.test_fuse import prepared
from tests.edge.streams import LOW, REFERENCE, frame

S = 1_000_000_000
MS = 1_000_000


class Made:
    """A viewer with all it talks to."""

    def __init__(self, fps: float = 10.0, width: int = 64) -> None:
        self.hub, self.health = PreviewHub(), Health()
        self.stages: list[str] = []
        watch = Stopwatch(lambda: 0, lambda stage, _ms: self.stages.append(stage))
        config = PreviewConfig(fps=fps, width=width, quality=90)
        self.viewer = Viewer(config, self.hub, self.health, watch)

    def streams(self) -> set[str]:
        return set(self.hub.latest(self.hub.streams))

    def gauge(self, name: str, label: str) -> float | None:
        return self.health.snapshot(0).gauges.get(name, {}).get((label,))


def fused(level: float = 0.5, rung: Rung = Rung.MERGE, **changes: object) -> Fused:
    made = prepared(level, **changes)  # type: ignore[arg-type]
    return Fused(made, Fuser({}).fuse(made, rung))


def shown(made: Made, stream: str) -> np.ndarray:
    data = np.frombuffer(made.hub.latest([stream])[stream].jpeg, np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def test_the_first_picture_is_there_before_anybody_asks() -> None:
    """The page opens with a picture instead of a grey box."""
    made = Made()
    assert made.viewer.due(0)
    made.viewer.show(fused(), 0)
    assert made.streams() == {"fused", "reference"}
    assert shown(made, "fused").shape == (32, 32, 3)


def test_nobody_looking_costs_one_measurement_a_second() -> None:
    """A recorder on a roof has no spectators; ten pictures a second would be a tenth of a core."""
    made = Made()
    made.viewer.show(fused(), 0)
    made.stages.clear()
    shows = 0
    for n in range(1, 301):
        if made.viewer.due(n * 33 * MS):
            made.viewer.show(fused(), n * 33 * MS)
            shows += 1
    assert shows in (9, 10)
    assert made.stages == []
    assert made.hub.number == 1


def test_who_looks_gets_pictures_at_the_configured_rate() -> None:
    """Not at the camera's: the encoder needs the core."""
    made = Made(fps=5.0)
    shows = 0
    for n in range(150):
        now_ns = n * 33 * MS
        made.hub.ask(["fused"], now_ns)
        if made.viewer.due(now_ns):
            made.viewer.show(fused(), now_ns)
            shows += 1
    assert shows == pytest.approx(25, abs=4)
    assert made.stages.count("preview") == shows


def test_only_the_streams_that_are_looked_at_are_encoded() -> None:
    """Four pictures cost four times as much as one."""
    made = Made()
    made.viewer.show(fused(), 0)
    made.hub.ask(["low"], S)
    number = made.hub.number
    made.viewer.show(fused(), S)
    fresh = set(made.hub.latest(made.hub.streams, number))
    assert fresh == {"fused", "low"}, "the tone curve comes from the fused picture"


def test_all_streams_compare_under_one_curve() -> None:
    """Low, reference and high show the same wall; in one unit and curve they look alike."""
    made = Made()
    made.hub.ask(PICTURES, 0)
    made.viewer.show(fused(0.2), 0)
    assert made.streams() == {"fused", "reference", "low", "high"}
    levels = [shown(made, stream).mean() for stream in ("fused", "reference", "low", "high")]
    assert max(levels) - min(levels) < 2.0


def test_without_a_pair_its_streams_are_left_out() -> None:
    """Nothing to show is no error, and no black picture."""
    made = Made()
    made.hub.ask(PICTURES, 0)
    made.viewer.show(fused(low=None), 0)
    assert made.streams() == {"fused", "reference"}


def test_the_preview_is_never_wider_than_asked() -> None:
    """A phone on the mast's radio link loads it ten times a second."""
    made = Made(width=64)
    wide = prepared(0.5)
    wide = replace(wide, reference=np.full((90, 160, 3), 0.5, np.float32))
    hdr = Fuser({}).fuse(wide, Rung.REFERENCE)
    made.viewer.show(Fused(wide, hdr), 0)
    assert shown(made, "fused").shape == (36, 64, 3)


def test_clipping_is_measured_against_what_the_rung_can_show() -> None:
    """A merge reaches the low exposure's ceiling; the reference alone clips at its own."""
    made = Made()
    made.viewer.show(fused(1.5), 0)
    assert made.gauge("clipped_share", "reference") == 1.0
    assert made.gauge("clipped_share", "fused") == 0.0
    made.viewer.show(fused(1.5, Rung.REFERENCE), METER_PERIOD_NS)
    assert made.gauge("clipped_share", "fused") == 1.0
    made.viewer.show(fused(1.5, low=None), 2 * METER_PERIOD_NS)
    assert made.gauge("clipped_share", "fused") == 1.0


def test_crushed_shadows_are_measured_against_the_high_exposure() -> None:
    """What drowns in the reference is a picture in the high frame."""
    made = Made()
    made.viewer.show(fused(0.001), 0)
    assert made.gauge("crushed_share", "reference") == 1.0
    assert made.gauge("crushed_share", "fused") == 0.0


def test_figures_of_a_camera_that_fell_silent_go() -> None:
    """An exposure that stays on the page looks like a camera that works."""
    made = Made()
    made.viewer.show(fused(), 0)
    assert made.gauge("exposure_us", "low") == LOW.exposure_us
    assert made.gauge("ev", "high") == pytest.approx(2.0)
    made.viewer.show(fused(low=None), METER_PERIOD_NS)
    assert made.gauge("exposure_us", "low") is None
    assert made.gauge("ev", "low") is None
    assert made.gauge("exposure_us", "reference") == REFERENCE.exposure_us
    assert frame("reference", 0).exposure == REFERENCE


def test_the_aids_come_with_the_picture_that_somebody_looks_at() -> None:
    """Zebra and focus figure belong to the picture on the screen; nobody looking costs neither."""
    made = Made()
    made.viewer.show(fused(), 0)
    assert made.gauge("sharpness", "reference") is None
    assert "reference-clipped" not in made.streams()
    made.hub.ask(["reference", "reference-clipped"], 0)
    made.viewer.show(fused(1.0), S)
    assert made.gauge("sharpness", "reference") is not None
    assert made.gauge("sharpness", "low") is None
    assert shown(made, "reference-clipped").mean() > 240, "all of it is clipped"
    made.viewer.show(fused(0.3), 2 * S)
    assert shown(made, "reference-clipped").mean() < 10
    made.viewer.show(fused(0.3), 10 * S)
    assert made.gauge("sharpness", "reference") is None, "a figure of a picture that nobody asks for is old"


def test_the_histograms_are_of_the_exposures() -> None:
    """Of the tone-mapped picture it would hide that the sensor clips."""
    made = Made()
    made.viewer.show(fused(0.5), 0)
    found = made.health.snapshot(0).histograms["exposure_histogram"]
    assert set(found) == {("reference",), ("fused",), ("low",), ("high",)}
    assert all(sum(shares) == pytest.approx(1) for shares in found.values())
