"""The simulated GigE Vision cameras as Aravis sees them, over real sockets in a network of their own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hw.gige.gige_net import (
    NEEDS_ARAVIS,
    NEEDS_BUFFER,
    GigeNet,
    SimulatedCamera,
    lacks_aravis,
    network,
    small_socket_buffer,
)

PROBE = str(Path(__file__).with_name("gige_probe.py"))
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


def received(net: GigeNet, seconds: float, *, resend: bool, lines: tuple[Path, ...] = ()) -> dict[str, Any]:
    command = [sys.executable, PROBE, str(seconds), str(int(resend)), *map(str, lines)]
    answer: dict[str, Any] = json.loads(net.run(command).splitlines()[-1])
    return answer


def by_block(camera: SimulatedCamera) -> dict[int, dict[str, Any]]:
    return {row["block"]: row for row in camera.truth() if row["block"] is not None}


def test_two_cameras_start_on_one_edge_and_tell_the_truth(net: GigeNet) -> None:
    """Else the cameras under every driver test are not what the tests believe them to be."""
    lines = (net.folder / "ref", net.folder / "sec")
    chunks = ("--chunks", "--drift-ppm", "40", "--clock-offset-s", "7")
    reference = net.camera("reference", *SMALL, "--line", str(lines[0]), "--first-frame-missing")
    secondary = net.camera("secondary", *SMALL, "--line", str(lines[1]), *chunks)
    seen = received(net, 1.5, resend=True, lines=lines)
    assert seen["found"] == ["REF01", "SEC01"]
    assert seen["refused"]
    assert min(seen["largest"]) > 8000
    assert seen["early"] == [False, False]

    assert reference.truth()[0]["fate"] == "never sent"
    assert reference.truth()[0]["begin_ns"] == secondary.truth()[0]["begin_ns"]
    for camera, rows, least in ((reference, seen["rows"][0], 40), (secondary, seen["rows"][1], 20)):
        truth = by_block(camera)
        good = [row for row in rows if row["status"] == "success"]
        assert len(good) >= least
        assert [row["id"] for row in rows] == list(range(1, len(rows) + 1))
        assert all(row["stamp"] == truth[row["id"]]["stamp"] for row in good)
    low, high = ([row for row in seen["rows"][1] if row.get("exposure_us") == us] for us in (2000.0, 32000.0))
    assert len(low) + len(high) == sum(row["status"] == "success" for row in seen["rows"][1])
    assert abs(len(low) - len(high)) <= 1
    assert max(row["level"] for row in low) < min(row["level"] for row in high)
    assert all(by_block(secondary)[row["id"]]["exposure_us"] == row["exposure_us"] for row in low + high)
    period_ns = secondary.truth()[5]["begin_ns"] - secondary.truth()[4]["begin_ns"]
    assert period_ns == pytest.approx(1e9 / 15 / 1.00004, abs=2)


@pytest.mark.parametrize("resend", [True, False])
def test_lost_packets_come_again_and_damaged_frames_do_not(net: GigeNet, resend: bool) -> None:
    """Else loss counters are tested against losses that a resend repairs, or the other way round."""
    reference = net.camera("reference", *SMALL, "--loss-per-mille", "3")
    secondary = net.camera("secondary", *SMALL, "--damaged-per-mille", "300")
    seen = received(net, 1.5, resend=resend)
    by_loss, by_damage = ([row["status"] == "success" for row in rows] for rows in seen["rows"])
    assert len(by_loss) >= 35
    assert sum(by_loss) >= len(by_loss) - 2 if resend else 0.4 < sum(by_loss) / len(by_loss) < 0.95
    truth = by_block(secondary)
    for row in seen["rows"][1]:
        assert (row["status"] == "success") == (truth[row["id"]]["fate"] == "sent"), row
    assert 0.3 < sum(by_damage) / len(by_damage) < 0.95
    assert {row["fate"] for row in reference.truth()} == {"sent"}
