"""Automatic exposure: the decisions, each alone. The closed loop with a sensor is in test_exposure_loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config.exposure import SecondaryExposureConfig
from edge.config.layers import load_config
from edge.errors import ConfigError
from edge.exposure import secondary
from edge.exposure.anchor import Anchor
from edge.exposure.control import ExposureControl, Eye, Told
from edge.exposure.follow import Following, Pace, follow, start
from edge.exposure.meter import FLOOR_EV, Metered, meter_frame
from edge.exposure.split import Limits, beats, split
from edge.frames import Exposure
from edge.pair import Stamped
from hw.camera import CameraError, CameraInfo
from tests.edge.exposure.exposing import config_for
from tests.edge.streams import frame

FRAME_NS = 33_333_333
PACE = Pace(0.7, deadband_ev=0.2, settled_ev=0.05, ev_per_s=0.6, ev_per_step=0.02, patience_s=2.0)
LAMPS = Limits(50, 33_000, 0.0, 18.0, half_period_us=10_000)


def info(pixel_format: str = "bayer_rggb", bit_depth: int = 12) -> CameraInfo:
    white = (1 << bit_depth) - 1
    return CameraInfo("reference", "m", "s", 64, 48, pixel_format, bit_depth, 64, white, 33_333.0)  # type: ignore[arg-type]


def run(wishes: list[float], pace: Pace = PACE, value: float = 0.0) -> list[float]:
    state, values = start(value, 0), []
    for number, wish in enumerate(wishes, 1):
        state = follow(state, wish, number * FRAME_NS, pace)
        values.append(state.value)
    return values


def turns_s(values: list[float]) -> list[float]:
    """Seconds at which the direction changed."""
    moves = [(i, math.copysign(1, b - a)) for i, (a, b) in enumerate(pairwise(values)) if a != b]
    return [i * FRAME_NS * 1e-9 for (_, a), (i, b) in pairwise(moves) if a != b]


@pytest.mark.parametrize("pixel_format", ["bayer_rggb", "bayer_gbrg", "mono", "rgb"])
def test_a_frame_is_metered_in_stops_below_its_saturation(pixel_format: str) -> None:
    """Else every pixel format would be exposed differently, and a brighter black level would darken all."""
    shape = (48, 64, 3) if pixel_format == "rgb" else (48, 64)
    white = 4095 - 64
    grey = np.full(shape, 64 + white / 8, np.uint16)
    grey[:12] = 4095
    grey[12:24] = 64
    seen = meter_frame(frame("reference", 0, image=grey, pixel_format=pixel_format), info(pixel_format), 0.3)
    assert seen.clipped == pytest.approx(0.25)
    assert seen.dark == pytest.approx(0.25)
    assert seen.level_ev == pytest.approx(0.25 * 0.0 + 0.25 * FLOOR_EV + 0.5 * -3.0, abs=0.01)
    assert seen.bright_ev == pytest.approx(-3.0, abs=0.01)
    assert seen.shadow_ev == FLOOR_EV
    assert (
        meter_frame(
            frame("reference", 0, image=grey, pixel_format=pixel_format), info(pixel_format), 0.2
        ).bright_ev
        == 0.0
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-6, 6), min_size=1, max_size=300), st.floats(0.0, 3.0))
def test_no_wish_makes_a_step_that_can_be_seen_or_turns_faster_than_its_patience(
    wishes: list[float], smoothing_s: float
) -> None:
    """Else a flickering lamp, or a fly on the lens, would make the whole video pump."""
    values = run(wishes, replace(PACE, smoothing_s=smoothing_s))
    steps = np.abs(np.diff([0.0, *values]))
    assert steps.max() <= 0.02 + 1e-12
    assert all(b - a >= PACE.patience_s - 1e-6 for a, b in pairwise(turns_s(values)))


def test_what_stays_within_the_dead_band_moves_nothing() -> None:
    """Else the encoder spends its bits on an exposure that breathes."""
    assert set(run([0.19 * (-1) ** n for n in range(300)])) == {0.0}
    assert set(run([0.15 + 0.3 * math.sin(n) for n in range(300)])) == {0.0}


def test_a_change_of_light_is_followed_at_full_speed_without_overshoot() -> None:
    """Slower, people walk out of a tunnel into white; overshoot is a second adaptation to look at."""
    values = run([3.0] * 300)
    reached = next(i for i, v in enumerate(values) if v > 2.8)
    assert reached * FRAME_NS * 1e-9 < 3.0 / 0.6 + 1.5
    assert max(values) <= 3.0
    assert values == sorted(values)
    assert values[-1] == pytest.approx(3.0, abs=PACE.deadband_ev)


def test_time_that_stands_still_or_runs_backwards_changes_nothing() -> None:
    """A camera that restarts must not kick the exposure."""
    state = Following(1.0, 1.0, 10**9)
    assert follow(state, 5.0, 10**9, PACE) == state
    assert follow(state, 5.0, 0, PACE) == state


@settings(max_examples=200, deadline=None)
@given(st.floats(1.0, 1e6), st.sampled_from([None, 10_000.0, 25_000 / 3]), st.floats(0, 6))
def test_a_split_collects_the_light_that_was_asked_for(
    light: float, half_us: float | None, least_gain_db: float
) -> None:
    """Else the two cameras would be fused with a brightness that neither has."""
    limits = replace(LAMPS, half_period_us=half_us, least_gain_db=least_gain_db)
    made = split(light, limits)
    wanted = min(max(light, limits.least_light), limits.most_light)
    assert made.light == pytest.approx(wanted, rel=1e-6)
    assert limits.shortest_us <= made.exposure_us <= limits.longest_us
    assert limits.least_gain_db <= made.gain_db <= limits.most_gain_db + 1e-9
    if half_us is not None and light / Exposure(1, least_gain_db).light >= half_us:
        assert made.exposure_us / half_us == pytest.approx(round(made.exposure_us / half_us))
        assert not beats(made, limits)


def test_exposure_time_comes_before_gain() -> None:
    """Gain is noise: it comes where a longer exposure would blur, or beat with a lamp."""
    assert split(4_000, LAMPS) == Exposure(4_000, 0.0)
    assert split(10_000, LAMPS) == Exposure(10_000, 0.0)
    made = split(19_000, LAMPS)
    assert (made.exposure_us, round(made.gain_db, 2)) == (10_000, 5.58)
    assert split(1e6, LAMPS).exposure_us == 30_000
    assert split(19_000, replace(LAMPS, half_period_us=None)) == Exposure(19_000, 0.0)


def test_an_exposure_near_two_half_periods_does_not_jump_between_them() -> None:
    """Each jump changes blur and noise of the whole picture."""
    before = split(19_500, LAMPS)
    times = []
    for n in range(40):
        before = split(20_000 * (1.04 if n % 2 else 0.97), LAMPS, before)
        times.append(before.exposure_us)
    assert set(times) == {10_000}
    assert split(23_000, LAMPS, before).exposure_us == 20_000


def seen(**figures: float) -> Metered:
    return replace(Metered(level_ev=-2.7, clipped=0.0, dark=0.0, bright_ev=-1.0, shadow_ev=-4.0), **figures)


def settle(
    plan: secondary.SecondaryPlan,
    kind: str,
    config: SecondaryExposureConfig,
    reference_seen: Metered,
    shown: Callable[[float], Metered],
) -> float:
    """Where low or high comes to rest; ``shown(ev)`` is what its frames look like at that distance."""
    reference = Exposure(8_000)
    decide = secondary.decide_low if kind == "low" else secondary.decide_high
    for n in range(1, 400):
        ev = getattr(plan, kind).value
        used = Exposure(8_000 * 2.0**ev)
        plan = decide(plan, shown(ev), used, reference, reference_seen, n * 133_000_000, config)
    return float(getattr(plan, kind).value)


@pytest.mark.parametrize(("top_ev", "expected"), [(3.0, -3.5), (1.5, -2.0), (7.0, -4.0), (-2.0, -1.0)])
def test_low_goes_as_far_as_the_highlights_need(tmp_path: Path, top_ev: float, expected: float) -> None:
    """Nearer, they clip; farther, they are noise. ``top_ev``: brightest spots over the reference's white."""
    config = config_for(tmp_path, "exposure: {secondary: {mode: auto}}\n").exposure.secondary

    def shown(ev: float) -> Metered:
        return seen(bright_ev=min(0.0, top_ev + ev), clipped=0.01 if top_ev + ev >= 0 else 0.0)

    found = settle(secondary.first(-2, 2, 0), "low", config, seen(bright_ev=min(0.0, top_ev)), shown)
    assert found == pytest.approx(expected, abs=0.3)


@pytest.mark.parametrize(("shadow_ev", "expected"), [(-6.5, 2.0), (-5.6, 1.1), (-9.5, 3.0), (-3.0, 1.0)])
def test_high_goes_as_far_as_the_shadows_need(tmp_path: Path, shadow_ev: float, expected: float) -> None:
    """``shadow_ev``: the darkest fiftieth in the reference."""
    config = config_for(tmp_path, "exposure: {secondary: {mode: auto}}\n").exposure.secondary
    found = settle(
        secondary.first(-2, 2, 0), "high", config, seen(shadow_ev=shadow_ev),
        lambda ev: seen(shadow_ev=max(FLOOR_EV, shadow_ev + ev), clipped=0.4),
    )  # fmt: skip
    assert found == pytest.approx(expected, abs=0.3)


def test_a_high_frame_that_is_all_white_comes_nearer(tmp_path: Path) -> None:
    """What is white everywhere cannot be laid on the reference, and says nothing."""
    config = config_for(tmp_path, "exposure: {secondary: {mode: auto}}\n").exposure.secondary
    found = settle(
        secondary.first(-2, 2, 0), "high", config, seen(shadow_ev=-8),
        lambda ev: seen(shadow_ev=-8 + ev, clipped=0.9 if ev > 1.2 else 0.5),
    )  # fmt: skip
    assert found < 2.0


def test_what_alone_is_needed_is_taken_twice_as_often(tmp_path: Path) -> None:
    """A fresher low frame is worth more than a high one that nothing is taken from."""
    config = config_for(tmp_path, "exposure: {secondary: {mode: auto}}\n").exposure.secondary
    even = config.model_copy(update={"order": "even"})
    orders = {}
    scenes = {
        "bright": seen(clipped=0.05),
        "dark": seen(dark=0.05),
        "both": seen(clipped=0.05, dark=0.05),
        "none": seen(),
    }
    for name, reference_seen in scenes.items():
        plan, still = secondary.first(-2, 2, 0), secondary.first(-2, 2, 0)
        for n in range(150):
            plan = secondary.decide_order(plan, reference_seen, n * FRAME_NS, config)
            still = secondary.decide_order(still, reference_seen, n * FRAME_NS, even)
            assert n * FRAME_NS > 3e9 or plan.order == secondary.EVEN, "not for a moment's sake"
        orders[name] = plan.order
        assert still.order == secondary.EVEN
    assert orders == {
        "bright": secondary.MORE_LOW,
        "dark": secondary.MORE_HIGH,
        "both": secondary.EVEN,
        "none": secondary.EVEN,
    }


def test_a_camera_that_takes_no_exposure_twice_in_a_row_gets_them_in_turn(tmp_path: Path) -> None:
    """Where exposures are told apart by their level, three of two kinds are refused; low must go on."""
    config = config_for(tmp_path, "exposure: {secondary: {mode: auto}}\n").exposure
    asked: list[int] = []

    def set_exposures(exposures: Sequence[Exposure]) -> None:
        asked.append(len(exposures))
        if len(exposures) > 2:
            raise CameraError("these are the same to it")
        taken[:] = exposures

    taken = [Exposure(2_000), Exposure(32_000)]
    slow = replace(info(), name="secondary", frame_period_us=66_667.0)
    eyes = (
        Eye(info(), (Exposure(8_000),), 0.0, lambda _: None),
        Eye(slow, tuple(taken), 0.0, set_exposures),
    )
    nobody = Told(lambda _: None, lambda *_: None, lambda *_: None, lambda *_: None)
    control = ExposureControl(config, *eyes, nobody)
    bright = np.full((48, 64), 64 + 4031 // 8, np.uint16)
    bright[:6] = 4095
    for n in range(300):
        t_ns = n * FRAME_NS
        control.take(Stamped(frame("reference", n, image=bright), t_ns), t_ns)
        if n % 2 == 0:
            shown = frame("secondary", n // 2, taken[1 if n % 4 else 0], image=bright)
            control.take(Stamped(shown, t_ns), t_ns)
    assert asked.count(3) == 1
    assert asked[-1] == 2
    assert taken[0].light < Exposure(8_000).light * 2.0**-3.5


def test_limits_change_while_filming_and_modes_do_not(tmp_path: Path) -> None:
    """A limit corrected in the field would need a restart; a changed mode leaves no trace in the session."""
    config = config_for(tmp_path, "exposure: {reference: {mode: auto}}\n").exposure
    asked: list[Exposure] = []
    eyes = (
        Eye(info(), (Exposure(8_000),), 0.0, lambda exposures: asked.append(exposures[0])),
        Eye(replace(info(), name="secondary"), (Exposure(2_000), Exposure(32_000)), 0.0, lambda _: None),
    )
    nobody = Told(lambda _: None, lambda *_: None, lambda *_: None, lambda *_: None)
    control = ExposureControl(config, *eyes, nobody)
    dark = np.full((48, 64), 66, np.uint16)

    def film(first: int, count: int) -> None:
        for n in range(first, first + count):
            now = asked[-1] if asked else Exposure(8_000)
            control.take(Stamped(frame("reference", n, now, image=dark), n * FRAME_NS), n * FRAME_NS)

    film(0, 30)
    assert 8_000 < asked[-1].exposure_us < 20_000
    changed = "exposure: {reference: {mode: fixed, longest_us: 10000, most_gain_db: 0}}\n"
    control.configure(config_for(tmp_path, changed).exposure)
    before = len(asked)
    film(30, 300)
    assert len(asked) > before, "it went over to fixed"
    assert asked[-1].exposure_us == pytest.approx(10_000)


class TestAnchor:
    """The unit of the video's brightness."""

    def test_a_constant_exposure_is_its_own_anchor(self) -> None:
        """Fixed exposures must come out to the byte as before there was an anchor."""
        anchor = Anchor(0.6, 0.02)
        for n in range(50):
            anchor = anchor.step(Exposure(8_000), n * FRAME_NS)
            assert anchor.scale(Exposure(8_000)) == 1.0

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.floats(50, 33_000), min_size=2, max_size=120))
    def test_no_setting_of_the_camera_steps_the_video(self, times_us: list[float]) -> None:
        """A setting that lands late, or is rounded, is one step in the frames and none in the video."""
        anchor, lights = Anchor(0.6, 0.02), []
        for n, time_us in enumerate(times_us):
            anchor = anchor.step(Exposure(time_us), n * FRAME_NS)
            # What a grey card of one brightness is shown at is inverse to this.
            lights.append(math.log2(time_us) + math.log2(anchor.scale(Exposure(time_us))))
        assert np.abs(np.diff(lights)).max() <= 0.02 + 1e-9

    def test_it_comes_to_rest_on_the_reference(self) -> None:
        """1.0 is what saturates the reference: elsewhere clipped skies would be grey, or headroom lost."""
        anchor = Anchor(0.6, 0.02).step(Exposure(8_000), 0)
        for n in range(1, 300):
            anchor = anchor.step(Exposure(2_000), n * FRAME_NS)
        assert anchor.scale(Exposure(2_000)) == 1.0


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("exposure: {reference: {longest_us: 40}}", "at least shortest_us (50)"),
        ("exposure: {secondary: {low_farthest_ev: -0.5}}", "at most low_nearest_ev (-1)"),
        ("exposure: {secondary: {high_farthest_ev: 0.5}}", "at least high_nearest_ev (1)"),
        ("exposure: {mains_hz: 16}", "50, 60"),
        ("exposure: {reference: {mode: on}}", "one of fixed, auto"),
    ],
)
def test_a_range_that_ends_before_it_begins_is_named(tmp_path: Path, more: str, told: str) -> None:
    """Else the recorder would start and silently hold one of the two ends."""
    path = tmp_path / "config.yaml"
    path.write_text(f"version: 1\n{more}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert told in str(caught.value)
