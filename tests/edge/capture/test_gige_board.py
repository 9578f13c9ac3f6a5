"""Board, wires, cameras, frames, fused video: real firmware starts two GigE cameras for the recorder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import av
import psutil
import pytest

from tests.edge.capture.gige_recorder import HEIGHT, SENSOR, WIDTH, Recorder, Truth, wrong_exposures
from tests.hw.gige.gige_net import (
    NEEDS_ARAVIS,
    NEEDS_BUFFER,
    GigeNet,
    lacks_aravis,
    network,
    small_socket_buffer,
)
from tests.hw.trigger.trigger_board import NEEDS_EMULATOR, Build, LiveBoard

SECONDS = 6.0
CONFIG = """\
trigger: {{kind: board, port: {port}}}
fuse: {{ladder: [merge, reference], alignment: off}}
"""

pytestmark = [
    pytest.mark.alone,
    pytest.mark.timeout(120),
    NEEDS_EMULATOR,
    pytest.mark.skipif(lacks_aravis(), reason=NEEDS_ARAVIS),
    pytest.mark.skipif(small_socket_buffer(), reason=NEEDS_BUFFER),
]


@pytest.fixture
def net() -> Iterator[GigeNet]:
    with network() as entered:
        yield entered


@pytest.fixture
def wired(net: GigeNet, tmp_path: Path) -> Iterator[LiveBoard]:
    """A board whose lines lead to the sockets ``line0`` and ``line1``, and whose port anybody may open."""
    board = LiveBoard(Build(tmp_path), net.folder, forward={n: net.folder / f"line{n}" for n in (0, 1)})
    os.chmod(os.path.realpath(board.port), 0o666)
    if os.geteuid() == 0:
        for child in psutil.Process().children():
            if child.name() == "trigger_sim":
                child.nice(-18)  # a board has a processor of its own
    yield board
    board.unplug()


def test_one_pulse_becomes_fused_video(net: GigeNet, wired: LiveBoard) -> None:
    """Else the parts work, and the camera that is made of them does not."""
    apart = ("--clock-offset-s", "90", "--drift-ppm", "-21", "--rectified")
    reference = net.camera("reference", *SENSOR, "--rectified", "--line", str(net.folder / "line0"))
    secondary = net.camera("secondary", *SENSOR, *apart, "--line", str(net.folder / "line1"))
    recorder = Recorder(net, "recording", seconds=SECONDS, more=CONFIG.format(port=wired.port))
    try:
        recorder.filming("reference", "secondary")
        assert recorder.wait(SECONDS + 30) == 0, recorder.text()
    finally:
        recorder.abandon()
    print(recorder.text())

    rises = [edge for edge in wired.edges if edge.level]
    assert sorted(edge.line for edge in rises) == [0, 1]
    assert rises[0].cycle == rises[1].cycle
    truths = (Truth(reference), Truth(secondary))
    assert [truth.rows[0]["begin_ns"] for truth in truths] == [edge.host_ns for edge in rises]
    for name, truth in zip(("reference", "secondary"), truths, strict=True):
        assert truth.held_up == 0, "this machine is too busy to be a camera"
        assert recorder.drops(stage="capture") == {}
        assert recorder.unaccounted(name) == set()
        assert wrong_exposures(recorder.lines(name), truth) == []

    hdr = recorder.lines("hdr")
    rungs = {row["rung"] for row in hdr}
    assert "merge" in rungs
    assert rungs <= {"merge", "reference"}
    assert len(hdr) >= len(recorder.lines("reference")) - recorder.late()
    frames = 0
    for path in sorted((recorder.session / "hdr").glob("*.mp4")):
        with av.open(str(path)) as video:
            for picture in video.decode(video=0):
                assert (picture.width, picture.height) == (WIDTH, HEIGHT)
                frames += 1
    assert frames == len(hdr)
    print(f"{frames} fused frames of {len(recorder.lines('reference'))}, {recorder.late()} late")
