"""jetson-utils cannot be had without a Jetson: its interface is stood in for, with its quirks."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edge.frames import Exposure
from hw.camera import CameraError, CameraLostError
from hw.jetson import JetsonSource, find_jetson_utils
from hw.simulator.library import scene_world
from hw.video.stamps import FrameCounter, StampClock
from hw.video.uri import VideoUri
from tests.hw.jetson_standin import Module, Sensor
from tests.hw.video.films import film

PERIOD_NS = 33_366_700
BOOT_NS = 1_000_000_000_000
"""Of the monotonic clock when the process began; jetson-utils counts from there on the wall clock."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = scene_world("workshop", 192, 128, seed=3)
    return film(tmp_path_factory.mktemp("film") / "film.mp4", world, [Exposure(8_000.0)], 30, 20)


class Bench:
    """A source on a sensor, and both clocks."""

    def __init__(self, path: Path, uri: VideoUri) -> None:
        self.sensor = Sensor(path, 29.97)
        self.now_ns = BOOT_NS
        self.module = Module({str(uri): self.sensor})
        self.source = JetsonSource(uri, 192, 128, 29.97, utils=self.module, now_ns=lambda: self.now_ns)
        self.source.start()

    def film(self, n: int) -> np.ndarray:
        """Frame ``n`` arrives on its time."""
        return self.sensor.film(n * PERIOD_NS + 1_000)


@pytest.fixture(params=["csi", "v4l2"])
def bench(path: Path, request: pytest.FixtureRequest) -> Bench:
    return Bench(path, VideoUri(request.param, "0" if request.param == "csi" else "/dev/video0"))


def test_pictures_are_whole_and_our_own(bench: Bench) -> None:
    """A view of the ring shows a later frame by and by; fetched too early, it is half the one before."""
    taken, truth = [], []
    for n in range(6):  # more than the ring has places
        truth.append(bench.film(n))
        bench.now_ns = BOOT_NS + n * PERIOD_NS + 2_000_000
        picture = bench.source.read(1.0)
        assert picture is not None
        taken.append(picture.image)
    for image, expected in zip(taken, truth, strict=True):
        np.testing.assert_array_equal(image, expected)
    assert taken[0].flags.owndata


def test_stamps_are_when_it_arrived_not_when_it_was_fetched(bench: Bench) -> None:
    """A busy interpreter would move frames in time by as much as it is late."""
    delays_ms = (2, 3, 9, 2, 20, 2)
    stamps = []
    for n, delay_ms in enumerate(delays_ms):
        bench.film(n)
        bench.now_ns = BOOT_NS + n * PERIOD_NS + delay_ms * 1_000_000
        picture = bench.source.read(1.0)
        assert picture is not None
        stamps.append(picture.t_arrival_ns)
    np.testing.assert_allclose(np.diff(stamps), PERIOD_NS)


def test_frames_that_were_not_fetched_show_in_the_count(bench: Bench) -> None:
    """jetson-utils gives the newest and says nothing of those between."""
    seqs = []
    n = 0
    for skipped in (0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0):
        for _ in range(skipped + 1):
            bench.film(n)
            n += 1
        bench.now_ns = BOOT_NS + n * PERIOD_NS
        picture = bench.source.read(1.0)
        assert picture is not None
        seqs.append(picture.seq)
    assert seqs == [0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12]


def test_the_rate_is_the_whole_one(bench: Bench) -> None:
    """GetFrameRate cuts 29.97 to 29, which no configuration would fit."""
    assert bench.source.fps == pytest.approx(29.97)
    assert bench.source.size == (192, 128)


def test_nothing_in_time_is_no_fault_and_a_fault_is_no_timeout(bench: Bench) -> None:
    """A pause would end the recording, or a lost camera would be waited for."""
    assert bench.source.read(0.001) is None
    bench.sensor.unplug()
    with pytest.raises(CameraLostError, match="failed to capture image"):
        bench.source.read(0.1)
    bench.source.close()
    bench.source.close()
    assert bench.source.read(0.1) is None
    assert not bench.sensor.streaming


def test_a_camera_that_is_not_there_is_named(path: Path) -> None:
    """The text of jetson-utils names neither the camera nor what to do."""
    with pytest.raises(CameraError, match=r"csi://1: jetson-utils cannot open it .*nvargus-daemon"):
        JetsonSource(VideoUri("csi", "1"), 192, 128, 30.0, utils=Module({}))


def test_the_project_of_that_name_on_pypi_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's package would be asked for cameras."""
    monkeypatch.setitem(sys.modules, "jetson_utils", SimpleNamespace(__name__="jetson_utils"))
    monkeypatch.setitem(sys.modules, "jetson.utils", None)
    assert find_jetson_utils() is None
    with pytest.raises(CameraError, match="jetson-utils is not here"):
        JetsonSource(VideoUri("csi", "0"), 192, 128, 30.0)
    real = Module({})
    monkeypatch.setitem(sys.modules, "jetson_utils", real)
    assert find_jetson_utils() is real


def test_a_wall_clock_that_is_set_moves_no_frame() -> None:
    """The first network time after a start would move frames by years."""
    clock = StampClock()
    stamps = [clock.arrival_ns(n * PERIOD_NS + 5, BOOT_NS + n * PERIOD_NS + 2_000_000) for n in range(5)]
    year_ns = 365 * 24 * 3600 * 10**9
    stamps += [
        clock.arrival_ns(n * PERIOD_NS + 5 + year_ns, BOOT_NS + n * PERIOD_NS + 2_000_000)
        for n in range(5, 9)
    ]
    np.testing.assert_allclose(np.diff(stamps), PERIOD_NS)
    assert clock.arrival_ns(0, BOOT_NS) == BOOT_NS, "a lost stamp is now"


def test_a_slow_camera_loses_nothing() -> None:
    """A webcam that makes 15 frames a second of 30 in the dark would count as one that loses half of them."""
    counter = FrameCounter(PERIOD_NS)
    numbers = [counter.number(n * 2 * PERIOD_NS) for n in range(40)]
    assert numbers[-1] - numbers[-20] == 19, "once its own period is known"
