"""A session that is not what we wrote, and a board that is not ours: an answer or one of our errors.

TWINHDR_LONG=1 tries many more; ``python -m tests.reliability --fuzz`` runs all such tests and counts.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serial
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.errors import TwinhdrError
from edge.session.recording import Session
from edge.store.catalogue import list_sessions
from hw.camera import TriggerError
from hw.trigger.board import Board
from hw.trigger.codes import IDENTITY
from hw.trigger.frame import crc16
from tests.reliability.hostile_serial import protocol_hostile

LONG = os.environ.get("TWINHDR_LONG") == "1"
LINES, FILES, REPLIES = (8_000, 2_000, 10_000) if LONG else (60, 25, 150)
pytestmark = pytest.mark.timeout(3600 if LONG else 120)
CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
CONFIG = """\
version: 1
rig: {{width: 64, height: 64}}
simulator: {{pace: max}}
fuse: {{threads: 1, ladder: [merge, reference]}}
hdr: {{segment_s: 2}}
masters: {{enabled: true, segment_s: 2}}
web: {{enabled: false}}
thermal: {{enabled: false}}
store: {{root: {root}, min_free_gb: 0, min_free_share: 0}}
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session of a third of a second, below a root of its own."""
    from edge.config.layers import load_config
    from edge.daemon.run import run_daemon

    root = tmp_path_factory.mktemp("fuzzed")
    main = root / "small.yaml"
    main.write_text(CONFIG.format(root=root))
    assert run_daemon(load_config(main), 0.35, root / "session") == 0
    return root / "session"


@st.composite
def damage(draw: st.DrawFn) -> tuple[str, float, float, bytes]:
    """A way, a place and a length as shares of the file, and bytes to put there."""
    way = draw(st.sampled_from(["cut", "flip", "insert", "drop", "zero", "repeat", "swap"]))
    place, length = draw(st.floats(0, 1)), draw(st.sampled_from([0.0, 0.01, 0.1, 0.5]))
    return way, place, length, draw(st.binary(min_size=1, max_size=40))


def damaged(data: bytes, faults: list[tuple[str, float, float, bytes]]) -> bytes:
    for way, place, share, more in faults:
        at, size = int(place * len(data)), max(1, int(share * len(data)))
        head, middle, tail = data[:at], data[at : at + size], data[at + size :]
        data = {
            "cut": head,
            "flip": head + bytes(b ^ (more[0] or 1) for b in middle) + tail,
            "insert": head + more + middle + tail,
            "drop": head + tail,
            "zero": head + bytes(len(middle)) + tail,
            "repeat": head + middle + middle + tail,
            "swap": head + middle[::-1] + tail,
        }[way]
    return data


def read_all(session: Path, *, pictures: bool) -> None:
    """Everything that the commands read of a session; raises only our errors."""
    entries = list_sessions(session.parent)
    assert [entry.name for entry in entries] in ([], [session.name])
    with contextlib.suppress(TwinhdrError):
        opened = Session.open(session)
        for record in opened.records():
            assert isinstance(record.fields, dict)
        _ = opened.clean, opened.origin_ns
        assert all(record.t_ns >= 0 or record.t_ns < 0 for record in opened.hdr_records())
        opened.check_videos()
        for camera in ("reference", "secondary"):
            found = sum(1 for _ in opened.found(camera))
            if pictures:
                shapes = {frame.image.shape for frame in opened.frames(camera)}
                assert found >= 0
                assert all(len(shape) in (2, 3) for shape in shapes)
        assert all("Traceback" not in problem for problem in opened.problems)


@contextlib.contextmanager
def changed(session: Path, name: str, faults: list[tuple[str, float, float, bytes]]) -> Iterator[None]:
    path = session / name
    whole = path.read_bytes()
    try:
        path.write_bytes(damaged(whole, faults))
        yield
    finally:
        path.write_bytes(whole)


@settings(max_examples=LINES, deadline=None, suppress_health_check=CHECKS)
@given(st.sampled_from(["frames.jsonl", "session.json"]), st.lists(damage(), min_size=1, max_size=3))
def test_a_sidecar_damaged_anywhere(
    small: Path, name: str, faults: list[tuple[str, float, float, bytes]]
) -> None:
    """Else one bad block of a card makes a night's recording unreadable."""
    with changed(small, name, faults):
        read_all(small, pictures=False)


@settings(max_examples=FILES, deadline=None, suppress_health_check=CHECKS)
@given(st.integers(0, 5), st.lists(damage(), min_size=1, max_size=3))
def test_a_video_damaged_anywhere(
    small: Path, number: int, faults: list[tuple[str, float, float, bytes]]
) -> None:
    """Cut, flipped, grown: what can be read is read, and nothing ends with a traceback."""
    videos = sorted(p.relative_to(small).as_posix() for p in small.glob("*/*.m*"))
    with changed(small, videos[number % len(videos)], faults):
        read_all(small, pictures=True)


VALUES = st.lists(st.one_of(st.integers(0, 5), st.integers(0, 2**32 - 1)), max_size=6)
REPLY = st.tuples(
    st.sampled_from(["OK", "OK", "ER", "ER", "??"]), VALUES, st.binary(max_size=20), st.booleans()
)


@pytest.fixture(autouse=True, scope="module")
def hostile_port() -> Iterator[None]:
    """pyserial knows ``hostile://`` while these tests run, and nobody waits long for an answer."""
    package = protocol_hostile.__name__.rpartition(".")[0]
    serial.protocol_handler_packages.append(package)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hw.trigger.board.ATTEMPT_S", 0.004)
        patch.setattr("hw.trigger.board.RETURN_POLL_S", 0.001)
        patch.setattr("hw.trigger.board.CONNECT_S", 0.02)
        yield
    serial.protocol_handler_packages.remove(package)


@settings(max_examples=REPLIES, deadline=None, suppress_health_check=CHECKS)
@given(
    st.lists(REPLY, min_size=1, max_size=3),
    st.sampled_from(["connect", "status", "start", "stop", "measure"]),
    st.booleans(),
)
def test_a_board_that_answers_anything(
    replies: list[tuple[str, list[int], bytes, bool]], asked: str, pairs: bool
) -> None:
    """Valid checksums around wrong words: another firmware, another device on the same port."""
    left = list(replies)

    def answer(request: bytes) -> bytes:
        if (pairs or not left) and b" HELLO " in request:
            return framed(b"%s OK %X 1 0" % (request[1:3], IDENTITY))
        word, values, noise, right = left.pop(0) if left else ("OK", [], b"", True)
        sequence = request[1:3] if right else b"7F"
        body = b" ".join([sequence, word.encode(), *(b"%X" % value for value in values)])
        good = b" ".join([request[1:3], b"OK", b"0"])
        return noise + framed(body) + (b"" if right else framed(good))

    protocol_hostile.Serial.answer = staticmethod(answer)
    board = Board("hostile://", find=str)
    calls: dict[str, Callable[[], object]] = {
        "connect": lambda: board.connect(0.0),
        "status": lambda: board.status(0.0),
        "start": lambda: board.start(1000.0),
        "stop": lambda: board.stop(0.0),
        "measure": lambda: board.measure(1000.0, rising=True, timeout_s=0.0),
    }
    with contextlib.suppress(TriggerError), contextlib.closing(board):
        calls[asked]()


def framed(body: bytes) -> bytes:
    return b"=%s*%04X\n" % (body, crc16(body))
