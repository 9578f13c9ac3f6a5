"""Two GigE Vision cameras into a recording: nothing lost, every exposure right, both on one time.

The short form films ten seconds; TWINHDR_LONG=1 films the minute that the figures are published for.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from tests.edge.capture.gige_recorder import (
    LONG,
    SENSOR,
    Recorder,
    Truth,
    captured,
    pairing_errors_ms,
    wrong_exposures,
)
from tests.hw.gige.gige_net import (
    NEEDS_ARAVIS,
    NEEDS_BUFFER,
    GigeNet,
    lacks_aravis,
    metric,
    network,
    small_socket_buffer,
)

SECONDS = 60.0 if LONG else 10.0
SETTLE_S = 3.0
"""What the clock fit is given before its residual counts; also in the published figure."""
CLOCKS = (
    (*SENSOR, "--clock-offset-s", "3", "--drift-ppm", "12"),
    (*SENSOR, "--clock-offset-s", "90", "--drift-ppm", "-21"),
)
SEQUENCER = ("--no-hdr", "--sequencer", "--chunks")

pytestmark = [
    pytest.mark.alone,
    pytest.mark.timeout(600 if LONG else 120),
    pytest.mark.skipif(lacks_aravis(), reason=NEEDS_ARAVIS),
    pytest.mark.skipif(small_socket_buffer(), reason=NEEDS_BUFFER),
]


@pytest.fixture
def net() -> Iterator[GigeNet]:
    with network() as entered:
        yield entered


@pytest.mark.parametrize("ability", ["polling", "sequencer", "per_frame"] if LONG else ["polling"])
def test_nothing_is_lost_and_every_exposure_is_right(net: GigeNet, ability: str) -> None:
    """Else a recording of real cameras has holes, or is fused with exposures it was not taken with."""
    able = {
        "polling": ("--first-frame-missing",),
        "sequencer": SEQUENCER,
        "per_frame": ("--no-hdr", "--exposure-lag", "1"),
    }[ability]
    seconds = SECONDS if ability == "polling" else SECONDS / 3
    reference = net.camera("reference", *CLOCKS[0])
    secondary = net.camera("secondary", *CLOCKS[1], *able)
    recorder = Recorder(net, ability, seconds=seconds)
    try:
        recorder.filming("reference", "secondary")
        metrics = recorder.last_metrics(seconds + 30)
    finally:
        recorder.abandon()

    print(recorder.text())
    frames = {name: recorder.lines(name) for name in ("reference", "secondary")}
    truths = (Truth(reference), Truth(secondary))
    assert [truth.held_up for truth in truths] == [0, 0], "this machine is too busy to be a camera"
    assert recorder.drops(stage="capture") == {}
    for (name, lines), fps in zip(frames.items(), (30, 15), strict=True):
        assert captured(metrics, name) == 0
        assert recorder.unaccounted(name) == set()
        assert lines[-1]["seq"] - lines[0]["seq"] >= (seconds - 1.0) * fps
    assert wrong_exposures(frames["reference"], truths[0]) == []
    assert wrong_exposures(frames["secondary"], truths[1]) == []
    neighbours = [(a, b) for a, b in itertools.pairwise(frames["secondary"]) if b["seq"] == a["seq"] + 1]
    if ability != "per_frame":
        assert all(a["exposure_us"] != b["exposure_us"] for a, b in neighbours)

    settled = [line for line in frames["secondary"] if line["t_ns"] > SETTLE_S * 1e9]
    errors = pairing_errors_ms(frames["reference"], settled, truths)
    print(
        f"{ability}: {len(frames['reference'])} + {len(frames['secondary'])} frames, {recorder.late()} late"
    )
    print(f"pairing errors {min(errors):.3f} to {max(errors):.3f} ms over {len(errors)} frames")
    assert np.percentile(np.abs(errors), 99) < 1.0
    assert metric(metrics, "twinhdr_clock_residual_seconds") < 1e-3
    assert len(recorder.lines("hdr")) >= len(frames["reference"]) - recorder.late()


def test_damaged_frames_are_counted_by_cause(net: GigeNet) -> None:
    """Else a bad cable looks like a good recording, or costs more than the frames it damages."""
    reference = net.camera("reference", *CLOCKS[0], "--damaged-per-mille", "20", "--seed", "3")
    secondary = net.camera("secondary", *CLOCKS[1], *SEQUENCER, "--damaged-per-mille", "30", "--seed", "4")
    recorder = Recorder(net, "damaged", seconds=SECONDS)
    try:
        recorder.filming("reference", "secondary")
        metrics = recorder.last_metrics(SECONDS + 30)
    finally:
        recorder.abandon()

    print(recorder.text())
    drops = recorder.drops(stage="capture")
    assert set(drops) <= {"reference incomplete", "secondary incomplete"}
    for name, camera in (("reference", reference), ("secondary", secondary)):
        truth = Truth(camera)
        assert truth.held_up == 0, "this machine is too busy to be a camera"
        lines = recorder.lines(name)
        rows = [truth.of(line) for line in lines]
        first, last = rows[0]["number"], rows[-1]["number"]
        damaged = sum(row["fate"] == "damaged" for row in truth.rows if first <= row["number"] <= last)
        assert damaged > 0
        assert damaged <= drops[f"{name} incomplete"] <= damaged + 3  # and those at both ends
        assert captured(metrics, name) > 0
        assert recorder.unaccounted(name) == set()
        assert wrong_exposures(lines, truth) == []
        print(f"{name}: {damaged} of {last - first + 1} frames damaged, {recorder.late()} late")

    hdr = recorder.lines("hdr")
    span = hdr[-1]["seq"] - hdr[0]["seq"] + 1
    assert span >= (SECONDS - 1.0) * 30
    assert len(hdr) >= span - drops["reference incomplete"] - recorder.late()
    period_ms = (hdr[-1]["t_ns"] - hdr[0]["t_ns"]) / 1e6 / (span - 1)
    assert period_ms == pytest.approx(1000 / 30, rel=1e-3)
