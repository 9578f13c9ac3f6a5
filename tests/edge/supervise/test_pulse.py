"""When the watchdog is fed: only what was recorded counts."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.supervise.crew import Watch
from edge.supervise.notify import Notifier
from edge.supervise.pulse import GRACE_S, STALLED_S, Progress, Pulse, reason_to_starve

NOW = 1000.0
MOVING = (Watch("fuse", 0.1, 5.0), Watch("encode", 1.0, 8.0))
HUNG = (*MOVING, Watch("viewer", 5.0 + GRACE_S + 0.1, 5.0))


@pytest.mark.parametrize(
    ("what", "watches", "since", "received", "recorded", "blocked", "fed"),
    [
        ("all is well", MOVING, 0.0, NOW - 0.03, NOW - 0.1, False, True),
        ("nothing came yet", MOVING, None, None, None, False, True),
        ("a camera is away", MOVING, 0.0, NOW - 60.0, NOW - 60.0, False, True),
        ("it came back just now", MOVING, NOW - 1.0, NOW - 0.03, NOW - 60.0, False, True),
        ("a stage hangs", HUNG, 0.0, NOW - 0.03, NOW - 0.1, False, False),
        ("a stage is being replaced", (Watch("fuse", 5.0 + GRACE_S, 5.0),), 0.0, NOW, NOW, False, True),
        ("frames come in, none is recorded", MOVING, 0.0, NOW, NOW - STALLED_S - 0.1, False, False),
        ("the first is on its way", MOVING, NOW - STALLED_S, NOW, None, False, True),
        ("none was ever recorded", MOVING, NOW - STALLED_S - 0.1, NOW, None, False, False),
        ("the disk takes nothing", MOVING, 0.0, NOW, NOW - 3600.0, True, True),
        ("it takes nothing and a stage hangs", HUNG, 0.0, NOW, NOW - 3600.0, True, False),
    ],
)
def test_only_work_feeds_the_watchdog(
    what: str,
    watches: tuple[Watch, ...],
    since: float | None,
    received: float | None,
    recorded: float | None,
    blocked: bool,
    fed: bool,
) -> None:
    """Fed by a timer it would keep alive what records nothing; too strict it would kill what waits."""
    assert (reason_to_starve(watches, since, received, recorded, NOW, blocked) == "") is fed, what


def test_a_camera_that_comes_back_has_time_to_be_recorded() -> None:
    """Its first frame after an hour would count as an hour without a recording."""
    progress = Progress()
    progress.received(0.0)
    progress.received(1.0)
    progress.recorded(1.0)
    assert progress.receiving_since_s == 0.0
    progress.received(3600.0)
    assert progress.receiving_since_s == 3600.0


class Systemd:
    """Hears what a Notifier says."""

    def __init__(self, folder: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify"))
        self._socket.setblocking(False)
        self.notifier = Notifier(str(folder / "notify"))

    def heard(self) -> list[str]:
        lines: list[str] = []
        while True:
            try:
                lines += self._socket.recv(4096).decode().split("\n")
            except BlockingIOError:
                return lines

    def close(self) -> None:
        self.notifier.close()
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    opened = Systemd(tmp_path)
    yield opened
    opened.close()


def test_ready_means_recorded(systemd: Systemd) -> None:
    """READY with the first frame that is safe in a file, once; before it more time, and no watchdog."""
    progress = Progress()
    pulse = Pulse(systemd.notifier, progress, lambda: "session")
    pulse.tick(MOVING, 100.0)
    assert systemd.heard() == [
        f"EXTEND_TIMEOUT_USEC={STALLED_S * 1e6:.0f}",
        "STATUS=no frame recorded yet: a camera is silent, or the disk takes nothing",
    ]
    progress.received(100.2)
    progress.recorded(100.3)
    pulse.tick(MOVING, 100.5)
    assert systemd.heard() == ["READY=1", "STATUS=session"]
    pulse.tick(MOVING, 101.0)
    pulse.tick(MOVING, 101.2)
    assert systemd.heard() == ["WATCHDOG=1"], "once a second"
    pulse.tick(HUNG, 102.1)
    assert systemd.heard() == ["STATUS=stage viewer has not moved for 7 s"]
    assert "viewer" in pulse.starving


def test_start_that_records_nothing_gets_no_more_time(systemd: Systemd) -> None:
    """Frames that come in and are not written: systemd shall end the attempt, not be asked to wait."""
    progress = Progress()
    pulse = Pulse(systemd.notifier, progress, lambda: "session")
    progress.received(0.0)
    for second in range(1, 30):
        progress.received(float(second))
        pulse.tick(MOVING, float(second))
    heard = systemd.heard()
    assert heard.count(f"EXTEND_TIMEOUT_USEC={STALLED_S * 1e6:.0f}") == STALLED_S
    assert "READY=1" not in heard
