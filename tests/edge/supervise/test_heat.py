"""What heat and power allow: a table of bands, on the trees of real boards."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from edge.config.layers import load
from edge.config.thermal import ThermalConfig, thermal_faults
from edge.frames import Rung
from edge.health.health import Health
from edge.health.report import Reporter
from edge.session.sidecar import SidecarWriter
from edge.supervise.crew import Crew
from edge.supervise.heat import Allowance, Band, HeatState, Readings, allowance, step, wanted
from edge.supervise.stages import STAGES
from edge.supervise.thermometer import Thermometer, readings_of
from tests.hw.device.boards import grow

S = 1_000_000_000
CPU = "sys/class/thermal/thermal_zone0/temp"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ThermalConfig:
    """As shipped: 16, 10, 5 and 2 below the trip point; 80, 85, 90, 95 without one; 4 degrees, 30 s."""
    main = tmp_path_factory.mktemp("config") / "config.yaml"
    main.write_text("version: 1\n")
    return load(main).config.thermal


@pytest.mark.parametrize(
    ("board", "celsius", "band"),
    [
        ("agx_orin", 45, Band.NORMAL),  # throttles at 99
        ("agx_orin", 82.9, Band.NORMAL),
        ("agx_orin", 83, Band.NO_LARGE_NETWORK),
        ("agx_orin", 89, Band.NO_NETWORK),
        ("agx_orin", 94, Band.NO_PREVIEW),
        ("agx_orin", 97, Band.NO_FUSED_VIDEO),
        ("orin_nano_super", 90, Band.NO_NETWORK),
        ("orin_nx", 90, Band.NO_NETWORK),
        ("agx_thor", 90, Band.NORMAL),  # throttles at 109
        ("agx_thor", 99, Band.NO_NETWORK),
        ("pc", 79.9, Band.NORMAL),  # does not say
        ("pc", 95, Band.NO_FUSED_VIDEO),
    ],
)
def test_the_bands_of_each_board(
    tmp_path: Path, config: ThermalConfig, board: str, celsius: float, band: Band
) -> None:
    """One number for all boards would cook an Orin or slow a Thor down for nothing."""
    root = grow(tmp_path, board, {CPU: f"{celsius * 1000:.0f}\n"})
    assert wanted(readings_of(root), config)[0] is band


@pytest.mark.parametrize(
    ("word", "band"),
    [
        ("0", Band.NORMAL),
        ("50000", Band.NORMAL),  # since boot, not now
        ("1", Band.NO_NETWORK),  # under-voltage
        ("2", Band.NO_LARGE_NETWORK),  # frequency capped
        ("4", Band.NO_NETWORK),  # throttled
        ("8", Band.NO_LARGE_NETWORK),  # soft temperature limit
    ],
)
def test_power_and_throttling_count(tmp_path: Path, config: ThermalConfig, word: str, band: Band) -> None:
    """A weak power supply makes the machine fail long before it is hot."""
    root = grow(tmp_path, "raspberry_pi_4", {"sys/devices/platform/soc/soc:firmware/get_throttled": word})
    assert wanted(readings_of(root), config)[0] is band


def test_a_throttling_jetson_says_so(tmp_path: Path, config: ThermalConfig) -> None:
    """A zone without a temperature can still throttle."""
    root = grow(tmp_path, "agx_orin", {"sys/class/thermal/cooling_device1/cur_state": "1\n"})
    assert wanted(readings_of(root), config) == (Band.NO_LARGE_NETWORK, "the machine says gpu-throttle-alert")


def test_a_trip_point_that_means_nothing_is_not_believed(config: ThermalConfig) -> None:
    """Laptops have a passive trip point at 20 degrees: they would never fuse a frame."""
    readings = Readings({"INT3400 Thermal": 45.0}, {"INT3400 Thermal": 20.0})
    assert wanted(readings, config)[0] is Band.NORMAL


def ran(config: ThermalConfig, course: list[tuple[float, float]]) -> list[tuple[float, Band]]:
    """The changes of band (time in s, band) along (time in s, degrees) of a zone that throttles at 99."""
    state, changes = HeatState(), []
    for t_s, celsius in course:
        before, state = state, step(state, Readings({"cpu": celsius}, {"cpu": 99.0}), config, round(t_s * S))
        if state.band is not before.band:
            changes.append((t_s, state.band))
    return changes


def test_worse_at_once_better_in_steps_after_a_while(config: ThermalConfig) -> None:
    """A band that swings flickers between two networks; one that waits on the way down throttles."""
    course = [(0.0, 60.0), (2.0, 95.0)] + [(2.0 + t, 60.0) for t in range(2, 120, 2)]
    assert ran(config, course) == [
        (2.0, Band.NO_PREVIEW),
        (34.0, Band.NO_NETWORK),
        (64.0, Band.NO_LARGE_NETWORK),
        (94.0, Band.NORMAL),
    ]


def test_a_temperature_around_a_limit_changes_the_band_once(config: ThermalConfig) -> None:
    """Half a degree of noise at 83, for ten minutes."""
    course = [(float(t), 83.0 + (0.4 if t % 4 else -0.4)) for t in range(0, 600, 2)]
    assert ran(config, course) == [(2.0, Band.NO_LARGE_NETWORK)]


def test_calm_must_last(config: ThermalConfig) -> None:
    """A gust of wind of 20 s does not bring the network back."""
    course = [(0.0, 84.0)] + [(float(t), 70.0 if t % 30 < 20 else 84.0) for t in range(2, 300, 2)]
    assert ran(config, course) == [(0.0, Band.NO_LARGE_NETWORK)]


def test_silence_is_not_cool(config: ThermalConfig) -> None:
    """A sensor that stops answering when it is hottest must not switch everything back on."""
    hot = step(HeatState(), Readings({"cpu": 95.0}, {"cpu": 99.0}), config, 0)
    assert step(hot, Readings(), config, 3600 * S) == hot


@pytest.mark.parametrize(
    ("band", "masters", "left"),
    [
        (Band.NORMAL, True, (Rung.MODEL, True, True)),
        (Band.NO_LARGE_NETWORK, True, (Rung.SMALL_MODEL, True, True)),
        (Band.NO_NETWORK, True, (Rung.MERGE, True, True)),
        (Band.NO_PREVIEW, True, (Rung.MERGE, False, True)),
        (Band.NO_FUSED_VIDEO, True, (Rung.REFERENCE, False, False)),
        (Band.NO_FUSED_VIDEO, False, (Rung.REFERENCE, False, True)),  # it is all there is
    ],
)
def test_what_each_band_leaves(band: Band, masters: bool, left: tuple[Rung, bool, bool]) -> None:
    """What is recorded first goes last."""
    given = allowance(HeatState(band, "hot"), masters)
    assert (given.best, given.preview, given.fused) == left


def test_lists_out_of_order_are_faults(config: ThermalConfig) -> None:
    """The preview would go before the network."""
    assert thermal_faults(config) == []
    wrong = config.model_copy(update={"margins_celsius": (2, 5, 10, 16), "limits_celsius": (95, 90, 85, 80)})
    assert [keys for keys, _ in thermal_faults(wrong)] == [
        ("thermal.margins_celsius",),
        ("thermal.limits_celsius",),
    ]


def test_the_stage_reads_the_machine_and_tells(tmp_path: Path, config: ThermalConfig) -> None:
    """From the files of the zones to page, session and stages; it ends with the recording."""
    root = grow(tmp_path / "root", "agx_orin", {CPU: "95000\n"})
    health, sidecar = Health(), SidecarWriter(tmp_path / "frames.jsonl", sync_s=None)
    given: list[Allowance] = []
    told, stopping = threading.Event(), threading.Event()

    def allow(allowance: Allowance) -> None:
        given.append(allowance)
        told.set()

    thermometer = Thermometer(config, True, Reporter(health, sidecar), allow, stopping, root)
    crew = Crew(stopping, health)
    crew.post(STAGES["heat"], thermometer.run)
    assert told.wait(20.0)
    stopping.set()
    crew.join()
    sidecar.close()
    assert given == [Allowance(Rung.MERGE, False, True, "cpu-thermal is at 95 degrees")]
    snapshot = health.snapshot(0)
    assert snapshot.gauges["zone_celsius"][("cpu-thermal",)] == 95.0
    assert snapshot.gauges["heat_band"][()] == 3
    (condition,) = [c for c in snapshot.conditions if c.name == "heat"]
    assert not condition.ok
    assert "cpu-thermal is at 95 degrees: no network and no preview." in condition.text
    assert '"heat"' in (tmp_path / "frames.jsonl").read_text()
