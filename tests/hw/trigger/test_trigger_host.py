"""The host's side of the trigger board, against the real firmware on an emulated board."""

from __future__ import annotations

import os
import pty
import random
import select
import socket
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hw.camera import CameraError, Trigger, TriggerError
from hw.trigger.board import Board, ResetCause
from hw.trigger.board_trigger import BoardTrigger, StartPlan
from hw.trigger.codes import FIRMWARE_VERSION, IDENTITY, TICK_NS, Fault, Mode
from hw.trigger.discovery import find_port
from hw.trigger.errors import (
    BoardLostError,
    BoardRefusedError,
    BoardSilentError,
    NoBoardError,
    PortError,
    ProtocolMismatchError,
)
from hw.trigger.plan import pace_plan, pulse_ticks
from hw.trigger.port import Port
from hw.trigger.start import ActionTrigger, NoTrigger, SoftwareTrigger
from tests.hw.trigger.trigger_board import NEEDS_EMULATOR, Build, LiveBoard


@pytest.fixture
def host(board: LiveBoard) -> Iterator[Board]:
    """A host that talks to the board."""
    talking = Board(board.port)
    yield talking
    talking.close()


class Wire:
    """A serial line between host and board that damages what passes. ``port`` is the host's end."""

    def __init__(self, far: str, damage: Callable[[bytes, bool], bytes]) -> None:
        self._damage = damage
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        self._slave = slave
        self.port = os.ttyname(slave)
        self._far = os.open(far, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._far)
        self._ending, self._end = os.pipe()
        self._thread = threading.Thread(target=self._carry, name="wire")
        self._thread.start()

    def _carry(self) -> None:
        # a loaded machine reads a reply in many small pieces: damage per piece would let none through
        pending = {self._master: b"", self._far: b""}
        while True:
            ready, _, _ = select.select([self._master, self._far, self._ending], [], [])
            if self._ending in ready:
                return
            for end in ready:
                to_board = end == self._master
                *frames, pending[end] = (pending[end] + os.read(end, 4096)).split(b"\n")
                for frame in frames:
                    data = self._damage(frame + b"\n", to_board)
                    os.write(self._far if to_board else self._master, data)

    def close(self) -> None:
        os.close(self._end)
        self._thread.join()
        for end in (self._master, self._slave, self._far, self._ending):
            os.close(end)


@pytest.fixture
def wire(board: LiveBoard) -> Iterator[Callable[[Callable[[bytes, bool], bytes]], str]]:
    """Makes a damaging line to the board; gives its port."""
    made: list[Wire] = []

    def make(damage: Callable[[bytes, bool], bytes]) -> str:
        made.append(Wire(board.port, damage))
        return made[-1].port

    yield make
    for line in made:
        line.close()


# --- one board, one host ----------------------------------------------------------------------------------


@NEEDS_EMULATOR
def test_a_board_introduces_itself(host: Board) -> None:
    """Nobody would know which firmware is on the board, or that it had a brown-out."""
    info = host.connect()
    assert (info.identity, info.firmware_version) == (IDENTITY, FIRMWARE_VERSION)
    assert not info.is_older_than_host
    assert ResetCause.BROWN_OUT not in info.reset_cause
    status = host.status()
    assert (status.mode, status.fault, status.starts) == (Mode.IDLE, Fault.NONE, 0)


@NEEDS_EMULATOR
def test_the_edge_lies_where_the_host_says(board: LiveBoard, host: Board) -> None:
    """Session time begins at the edge; a wrong one shifts the video against everything else recorded."""
    for _ in range(5):
        edge = host.start(pulse_us=200)
        rises = board.wait_for_edges(4)[:2]
        assert rises[0].cycle == rises[1].cycle
        assert abs(rises[0].host_ns - edge.t_ns) <= edge.uncertainty_ns
        assert edge.uncertainty_ns < 500_000_000
        assert edge.skew_ns == 0


@NEEDS_EMULATOR
def test_paced_lines_outlive_the_silence_limit_and_end_at_stop(board: LiveBoard, host: Board) -> None:
    """Recordings in paced mode would end after a second."""
    trigger: Trigger = BoardTrigger(host, pace_plan(100, 50, pulse_us=1_000, silence_ms=200))
    trigger.start()
    board.wait_for_edges(300, timeout_s=20)  # 1 s: five times the limit
    trigger.stop()
    trigger.stop()
    assert sum(edge.level for edge in board.edges) * 2 - len(board.edges) == 0, "both lines are low"
    by_line = [[e.cycle for e in board.edges if e.line == line and e.level] for line in (0, 1)]
    assert by_line[0][::2][: len(by_line[1]) - 1] == pytest.approx(by_line[1][:-1], abs=7)


@NEEDS_EMULATOR
def test_a_host_that_dies_leaves_low_lines(board: LiveBoard, host: Board) -> None:
    """A camera in gated mode, or a lamp on the same line, would stay on until somebody comes."""
    host.pace(pace_plan(100, 50, pulse_us=9_000, silence_ms=200))
    board.wait_for_edges(20)
    deadline = time.monotonic() + 10
    while (status := _quiet_status(board)) is None and time.monotonic() < deadline:
        pass
    assert status == 0


def _quiet_status(board: LiveBoard) -> int | None:
    """The number of lines that are up, once no edge has come for half a second."""
    try:
        board.wait_for_edges(1, timeout_s=0.5)
    except AssertionError:
        return sum(1 if edge.level else -1 for edge in board.edges)
    return None


@NEEDS_EMULATOR
def test_measure_tells_latency_and_skew(board: LiveBoard, host: Board) -> None:
    """Two cameras that start 50 us apart would be believed to start together."""
    board.order("strobe 0 1600", "strobe 1 2400")
    skew = host.measure(pulse_us=200, rising=False)
    assert skew.skew_ns == pytest.approx(50_000, abs=4 * TICK_NS)
    assert skew.reference_ns == pytest.approx(100_000, abs=4 * TICK_NS)
    board.order("strobe 1 off")
    assert host.measure(pulse_us=200, rising=False, timeout_s=0.2).skew_ns is None


@NEEDS_EMULATOR
def test_a_refusal_says_what_to_do(host: Board) -> None:
    """The user would read a number."""
    host.start(pulse_us=0)
    with pytest.raises(BoardRefusedError, match="twinhdr trigger stop"):
        host.start(pulse_us=200)
    host.stop()
    host.start(pulse_us=200)


@NEEDS_EMULATOR
def test_simulated_cameras_see_one_edge_at_one_time(trigger_build: Build, tmp_path: Path) -> None:
    """Tests of board and cameras together would show a skew that is not there."""
    inputs = []
    for line in (0, 1):
        inputs.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        inputs[-1].bind(str(tmp_path / f"camera{line}"))
        inputs[-1].settimeout(10)
    live = LiveBoard(trigger_build, tmp_path, forward={line: tmp_path / f"camera{line}" for line in (0, 1)})
    talking = Board(live.port)
    edge = talking.start(200)
    told = [each.recv(64).decode().split() for each in inputs]
    talking.close()
    live.unplug()
    for each in inputs:
        each.close()
    assert told[0] == told[1]
    assert told[0][0] == "Line0"
    assert abs(int(told[0][1]) - edge.t_ns) <= edge.uncertainty_ns


# --- firmware of another age ------------------------------------------------------------------------------


@NEEDS_EMULATOR
def test_another_protocol_is_named_and_moves_nothing(trigger_build: Build, tmp_path: Path) -> None:
    """Old firmware would take a new request for something else."""
    old = LiveBoard(trigger_build, tmp_path, mutant="PROTOCOL_IDENTITY=0x12345678UL")
    talking = Board(old.port)
    with pytest.raises(ProtocolMismatchError, match=r"12345678.*twinhdr trigger flash") as caught:
        talking.start(200)
    assert caught.value.board_identity == 0x12345678
    old.unplug()
    assert old.edges == []


@NEEDS_EMULATOR
def test_older_firmware_of_the_same_protocol_works(trigger_build: Build, tmp_path: Path) -> None:
    """An upgrade of the recorder would stop every device whose board nobody can reach."""
    old = LiveBoard(trigger_build, tmp_path, mutant="FIRMWARE_VERSION=0")
    talking = Board(old.port)
    assert talking.connect().is_older_than_host
    talking.start(200)
    talking.close()
    old.wait_for_edges(4)
    old.unplug()


# --- bad lines --------------------------------------------------------------------------------------------


@NEEDS_EMULATOR
def test_a_lost_reply_gives_no_second_edge(
    board: LiveBoard,
    wire: Callable[[Callable[[bytes, bool], bytes]], str],
) -> None:
    """The cameras would be started again, from the first frame, in mid-film."""
    lost = [0]

    def damage(data: bytes, to_board: bool) -> bytes:
        if not to_board and b"OK 1*" in data and lost[0] < 3:
            lost[0] += 1
            return b""
        return data

    talking = Board(wire(damage))
    talking.connect()
    talking.start(200)
    assert talking.status().starts == 1
    talking.close()
    assert [edge.level for edge in board.wait_for_edges(4)] == [1, 1, 0, 0]
    assert len(board.edges) == 4


@NEEDS_EMULATOR
def test_a_bad_line_is_slow_and_never_wrong(
    board: LiveBoard,
    wire: Callable[[Callable[[bytes, bool], bytes]], str],
) -> None:
    """Every damaged frame would cost a recording, or give an edge that nobody asked for."""
    rng = random.Random(9)

    def damage(data: bytes, to_board: bool) -> bytes:
        kind = rng.random()
        if kind < 0.1 and data:
            return data[: rng.randrange(len(data))]
        if kind < 0.2:
            flipped = bytearray(data)
            flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            return bytes(flipped)
        if kind < 0.3:
            return rng.randbytes(rng.randrange(1, 40)) + data
        return data

    talking = Board(wire(damage))
    for count in range(1, 9):
        talking.start(60)
        assert talking.status().starts == count
    talking.close()
    assert sum(edge.level for edge in board.edges) == 16


@NEEDS_EMULATOR
def test_a_hung_board_is_told_within_the_deadline(board: LiveBoard, host: Board) -> None:
    """The recorder would hang with it."""
    host.connect()
    board.freeze(1.5)
    began = time.monotonic()
    with pytest.raises(BoardSilentError, match="no valid reply to PING"):
        host.status(deadline_s=0.5)
    assert time.monotonic() - began < 1.2
    assert host.status(deadline_s=5).mode is Mode.IDLE, "and it is heard again when it wakes"


@NEEDS_EMULATOR
def test_a_reset_board_is_paired_again(board: LiveBoard, host: Board) -> None:
    """A power dip would need a restart of the recorder."""
    host.start(pulse_us=0)
    board.order("reset")
    status = host.status()
    assert (status.mode, status.starts) == (Mode.IDLE, 0)
    assert host.pairings == 2


@NEEDS_EMULATOR
def test_paced_lines_come_back_when_the_board_is_replugged(board: LiveBoard, host: Board) -> None:
    """A plug that slips out for a moment would end the recording for good."""
    trigger = BoardTrigger(host, pace_plan(100, 50, pulse_us=1_000, silence_ms=200))
    trigger.start()
    board.wait_for_edges(20)
    board.unplug()
    while _quiet_status(board) is None:
        pass
    board.plug_in()
    board.wait_for_edges(20)
    trigger.stop()
    assert trigger.restarts == 1


@NEEDS_EMULATOR
def test_a_start_on_a_board_that_vanished_is_not_repeated(board: LiveBoard, host: Board) -> None:
    """Whether the cameras run would be unknown, and a second edge would make it worse."""
    host.connect()
    board.unplug()
    with pytest.raises((BoardLostError, PortError)):
        host.start(200)
    board.plug_in()
    assert host.status(deadline_s=5).starts == 0


@NEEDS_EMULATOR
def test_stop_without_a_board_is_no_error(board: LiveBoard, host: Board) -> None:
    """The recording would end with an error after all its files were closed."""
    trigger = BoardTrigger(host, StartPlan(200))
    trigger.connect()
    trigger.start()
    board.unplug()
    trigger.stop()
    board.plug_in()


# --- ports ------------------------------------------------------------------------------------------------


@NEEDS_EMULATOR
def test_leaving_the_port_does_not_drop_dtr(board: LiveBoard) -> None:
    """Every program would reset the board when it opens the port, even beside a recording."""
    fd = os.open(board.port, os.O_RDWR | os.O_NOCTTY)
    attributes = termios.tcgetattr(fd)
    attributes[2] |= termios.HUPCL
    termios.tcsetattr(fd, termios.TCSANOW, attributes)
    port = Port(board.port)
    assert not termios.tcgetattr(fd)[2] & termios.HUPCL
    port.close()
    port.close()
    os.close(fd)


@NEEDS_EMULATOR
def test_two_programs_do_not_share_a_board(host: Board, board: LiveBoard) -> None:
    """Replies of one would go to the other."""
    host.connect()
    with pytest.raises(PortError, match="Another program uses it"):
        Board(board.port).connect(deadline_s=0)


def test_a_port_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The user would look for a fault in the cameras."""
    with pytest.raises(PortError, match=r"ttyX.*Plug the board in"):
        Board(str(tmp_path / "ttyX")).connect(deadline_s=0)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], "Check the cable"),
        (["usb-Some_Printer_1-if00"], "Check the cable"),
        (["usb-Arduino__www.arduino.cc__0043_1-if00", "usb-1a86_USB_Serial-if00-port0"], "2 serial devices"),
    ],
)
def test_what_is_not_clearly_the_board_is_left_alone(tmp_path: Path, names: list[str], expected: str) -> None:
    """Opening the port of another machine may reset it."""
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(NoBoardError, match=expected):
        find_port("auto", udev_link=tmp_path / "none", by_id=tmp_path)


def test_the_only_likely_device_is_the_board(tmp_path: Path) -> None:
    """Everybody would have to look up a device path."""
    only = tmp_path / "usb-1a86_USB_Serial-if00-port0"
    only.touch()
    assert find_port("auto", udev_link=tmp_path / "none", by_id=tmp_path) == str(only)
    assert find_port("/dev/ttyS7", by_id=tmp_path) == "/dev/ttyS7"
    link = tmp_path / "twinhdr-trigger"
    link.touch()
    assert find_port("auto", udev_link=link, by_id=tmp_path) == str(link)


# --- plans, and starts without a board --------------------------------------------------------------------


def test_rates_in_proportion_stay_in_proportion() -> None:
    """30 and 15 fps, each rounded to a tick, would part by 12 frames a year; by 1 ms in 46 minutes."""
    plan = pace_plan(30, 15, 1_000, 1_000)
    assert (plan.reference.period_ticks, plan.secondary.period_ticks) == (66_667, 133_334)
    assert pace_plan(15, 30, 1_000, 1_000).reference.period_ticks == 133_334
    assert pace_plan(60, 48, 1_000, 1_000).secondary.period_ticks == 41_667
    assert plan.reference.fps == pytest.approx(30, rel=1e-5)


@pytest.mark.parametrize(
    ("rates", "pulse_us", "silence_ms"),
    [
        ((0, 15), 1e3, 1000),
        ((30, 15), 0, 1000),
        ((30, 15), 10, 1000),
        ((200, 15), 4_980, 1000),
        ((30, 0.05), 1e3, 1000),
        ((30, 15), 1e3, 50),
    ],
)
def test_an_impossible_pace_is_refused_here(
    rates: tuple[float, float], pulse_us: float, silence_ms: int
) -> None:
    """The board would say 'argument 3'."""
    with pytest.raises(TriggerError):
        pace_plan(*rates, pulse_us=pulse_us, silence_ms=silence_ms)
    assert pulse_ticks(1_000) == 2_000


def test_a_start_by_software_says_what_it_costs() -> None:
    """Pairs would be older than the page says."""
    fired: list[tuple[int, int]] = []

    def fire(camera: int) -> Callable[[], None]:
        return lambda: fired.append((camera, time.monotonic_ns()))

    trigger = SoftwareTrigger([fire(0), fire(1)])
    t_ns = trigger.start()
    assert trigger.edge is not None
    assert trigger.edge.skew_ns is not None
    assert abs(fired[1][1] - fired[0][1]) <= trigger.edge.skew_ns
    assert all(abs(at - t_ns) <= trigger.edge.uncertainty_ns for _, at in fired)
    trigger.stop()


def test_a_camera_that_refuses_the_start_is_named() -> None:
    """One camera would film, the other would not, and nothing would say so."""

    def refuse() -> None:
        raise CameraError("secondary camera: not armed")

    with pytest.raises(TriggerError, match=r"camera 2 of 2.*not armed"):
        SoftwareTrigger([lambda: None, refuse]).start()
    with pytest.raises(TriggerError, match="action command: secondary"):
        ActionTrigger(refuse).start()


def test_starts_without_an_edge_say_so() -> None:
    """A skew of 0 would be believed where nothing was measured."""
    action = ActionTrigger(lambda: None)
    action.start()
    assert action.edge is not None
    assert action.edge.skew_ns is None
    free = NoTrigger()
    assert abs(free.start() - time.monotonic_ns()) < 1_000_000_000
    assert free.edge is None
