"""The GigE client against simulated cameras over real sockets, in a network of their own."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.config.layers import load_config
from tests.hw.gige.gige_net import (
    NEEDS_ARAVIS,
    NEEDS_BUFFER,
    REFERENCE,
    GigeNet,
    lacks_aravis,
    network,
    small_socket_buffer,
)

CLIENT = str(Path(__file__).with_name("gige_client.py"))
SMALL = ("--width", "320", "--height", "240", "--loop-s", "0.5")

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(lacks_aravis(), reason=NEEDS_ARAVIS),
    pytest.mark.skipif(small_socket_buffer(), reason=NEEDS_BUFFER),
]


@pytest.fixture
def net() -> Iterator[GigeNet]:
    with network() as entered:
        yield entered


def client(net: GigeNet, *arguments: str) -> Any:
    return json.loads(net.run([sys.executable, CLIENT, *arguments]).splitlines()[-1])


def test_every_pixel_format_shows_the_same_picture(net: GigeNet) -> None:
    """A format that is read wrong is a camera that does not work for whoever needs that format."""
    net.camera("reference", *SMALL)
    names = ["BayerRG8", "BayerRG10", "BayerRG12", "BayerRG10Packed", "BayerRG12Packed", "BayerRG10p"]
    seen = client(net, "formats", *names, "BayerRG12p", "Mono8")
    depths = {name: int("".join(filter(str.isdigit, name))) for name in seen}
    shares = {name: row["mean"] / ((1 << depths[name]) - 1) for name, row in seen.items()}
    for name, row in seen.items():
        assert (row["status"], row["shape"]) == ("ok", [240, 320]), name
        assert row["dtype"] == ("uint8" if depths[name] == 8 else "uint16"), name
        assert shares[name] == pytest.approx(shares["BayerRG12"], rel=0.03), name
    assert seen["Mono8"]["format"] == "mono"
    assert seen["BayerRG8"]["format"] == "bayer_rggb"


@pytest.mark.parametrize("way", ["line", "burst", "action"])
def test_one_edge_starts_both_and_they_go_on_by_themselves(net: GigeNet, way: str) -> None:
    """A burst that ends, or a frame that waits for an edge of its own, would stop the film after a moment."""
    lines = (str(net.folder / "ref"), str(net.folder / "sec"))
    more = ("--burst-only",) if way == "burst" else ()
    net.camera("reference", *SMALL, *more, "--line", lines[0], "--first-frame-missing")
    net.camera("secondary", *SMALL, *more, "--line", lines[1], "--chunks", "--no-hdr", "--sequencer")
    seen = client(net, "edge", *(("Action1", "2") if way == "action" else ("Line0", "2", *lines)))
    assert seen["early"] == [False, False]
    reference, secondary = seen["frames"]
    assert len(reference) >= 20  # 60 on a quiet machine; what counts is that they go on
    assert len(secondary) >= 10
    for rows in (reference, secondary):
        assert {row["status"] for row in rows} == {"ok"}
        assert [row["seq"] for row in rows] == list(range(len(rows)))
    assert {row["exposure_us"] for row in reference} == {8000.0}
    exposures = [row["exposure_us"] for row in secondary]
    assert all({a, b} == {2000.0, 32000.0} for a, b in itertools.pairwise(exposures))


def test_an_edge_that_does_not_arrive_costs_two_seconds_not_the_recording(net: GigeNet) -> None:
    """A wire that came loose from the trigger input."""
    net.camera("reference", *SMALL, "--line", str(net.folder / "ref"))
    net.camera("secondary", *SMALL, "--line", str(net.folder / "sec"))
    seen = client(net, "edge", "Line0", "3.5", str(net.folder / "ref"))
    reference, secondary = seen["frames"]
    assert len(reference) >= 60
    assert 4 <= len(secondary) <= 24
    assert {row["epoch"] for row in secondary} == {0}


@pytest.mark.parametrize("ratio", [0.694, 10.0])
def test_a_wrong_clock_moves_the_middle_of_the_exposure_by_its_own_units(net: GigeNet, ratio: float) -> None:
    """Half of 32 ms in a clock that counts x0.694 is 5 ms off: a third of a frame in every pair."""
    camera = net.camera("reference", *SMALL, "--tick-ratio", str(ratio), "--clock-offset-s", "5")
    seen = client(net, "formats", "BayerRG12")["BayerRG12"]
    middles = [row["stamp"] + 8e6 / 2 * ratio for row in camera.truth() if row["stamp"] is not None]
    assert min(abs(middle - seen["t_device_ns"]) for middle in middles) < 1e5 * ratio


def test_what_is_there_is_listed_with_what_to_write(net: GigeNet) -> None:
    """The first thing anybody does with two new cameras; its lines must be accepted as they stand."""
    alone = client(net, "cameras")
    assert alone["code"] == 1
    assert "No GigE Vision or USB3 Vision camera answers" in alone["told"]
    net.camera("reference", *SMALL)
    net.camera("secondary", *SMALL)
    both = client(net, "cameras")
    assert both["code"] == 0
    assert "REF01" in both["told"]
    assert "127.0.0.3" in both["told"]
    path = net.folder / "told.yaml"
    path.write_text("version: 1\n" + both["told"].split("For the configuration:\n")[1])
    config = load_config(path)
    assert (config.gige.reference.serial, config.gige.secondary.serial) == ("REF01", "SEC01")
    net.cameras[1].kill()
    states = client(net, "doctor", str(path))
    assert states["reference camera"][0] == "ok"
    assert states["secondary camera"][0] == "fail"
    assert "SEC01" in states["secondary camera"][1]


def test_a_camera_that_is_held_is_named_with_who_holds_it(net: GigeNet) -> None:
    """The vendor's viewer left open is the commonest fault of all; its user must not search for hours."""
    net.camera("reference", *SMALL)
    other = net.hold(REFERENCE, 8.0)
    assert other.stdout is not None
    assert other.stdout.readline() == "HELD\n"
    seen = client(net, "held", "1")
    other.kill()
    other.wait()
    assert seen["code"] == 69
    assert "serial REF01" in seen["error"]
    assert "held by another application" in seen["error"]
    assert "close that application" in seen["error"]


def test_closing_a_dead_camera_ends_within_seconds(net: GigeNet) -> None:
    """Each call to a camera that is gone blocks for seconds; a recorder that hangs on exit is killed."""
    camera = net.camera("reference", *SMALL)
    assert camera.process is not None
    seen = client(net, "dead", str(_camera_pid(camera.process.pid)))
    assert seen["frames"] > 10
    assert seen["seen_s"] < 1.5
    assert seen["losses"] == 1
    assert "does not answer" in seen["text"]
    assert seen["stopped_s"] < 3.5
    assert seen["left"] == []


def _camera_pid(pid: int) -> int:
    """The process that is the camera; ip and setpriv replace themselves by it, a user namespace does not."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = children.read_text().split() if children.exists() else []
    return int(found[0]) if found and os.geteuid() != 0 else pid
