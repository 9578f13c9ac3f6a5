"""``twinhdr trigger`` as a person runs it, doctor's finding, and the way from configuration to trigger."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.cli import app
from edge.config.layers import ConfigError, load_config
from edge.config.schema import Config
from edge.doctor.trigger import board_finding, check_trigger, firmware_finding
from hw.camera import TriggerError
from hw.trigger.board import Board, BoardInfo, ResetCause
from hw.trigger.board_trigger import BoardTrigger, StartPlan
from hw.trigger.choice import board_plan, open_trigger
from hw.trigger.codes import FIRMWARE_VERSION, IDENTITY
from hw.trigger.discovery import UDEV_LINK
from hw.trigger.plan import PacePlan
from hw.trigger.start import ActionTrigger, NoTrigger, SoftwareTrigger
from tests.hw.trigger.trigger_board import NEEDS_EMULATOR, Build, LiveBoard

DOCUMENT = (Path(__file__).parents[3] / "docs" / "trigger.md").read_text()


def call(*words: str) -> str:
    """What the command prints; it must succeed."""
    ended = CliRunner().invoke(app, ["trigger", *words])
    assert ended.exit_code == 0, ended.output
    return ended.output


@pytest.fixture
def configured(tmp_path: Path) -> Callable[[str], Config]:
    """A configuration for two GigE cameras, with this section ``trigger``."""

    def make(trigger: str) -> Config:
        path = tmp_path / "config.yaml"
        path.write_text(f"rig: {{source: gige}}\ntrigger: {{{trigger}}}\n")
        return load_config(path)

    return make


# --- the command ------------------------------------------------------------------------------------------


@NEEDS_EMULATOR
def test_a_board_can_be_tried_by_hand(board: LiveBoard) -> None:
    """Somebody with a voltmeter would have to record a video to see a line move."""
    said = call("info", "--port", board.port)
    assert f"protocol {IDENTITY:08X}" in said
    assert "mode      idle, fault none" in said
    assert "rose together" in call("start", "--port", board.port, "--pulse-us", "0")
    assert [edge.level for edge in board.wait_for_edges(2)] == [1, 1]
    assert "low" in call("stop", "--port", board.port)
    assert [edge.level for edge in board.wait_for_edges(2)] == [0, 0]


@NEEDS_EMULATOR
def test_pace_says_the_rates_that_come_out(board: LiveBoard) -> None:
    """A rate is rounded to a tick of the board; a surveyor wants to know."""
    said = call("pace", "--port", board.port, "--seconds", "0.3")
    assert "reference 29.999850 fps, secondary 14.999925 fps" in said
    assert "begun again 0 times" in said
    assert sum(1 if edge.level else -1 for edge in board.edges) == 0


@NEEDS_EMULATOR
def test_measure_shows_what_the_strobes_did(board: LiveBoard) -> None:
    """Whether two cameras really start together would have to be believed."""
    board.order("strobe 0 1600", "strobe 1 3200")
    said = call("measure", "--port", board.port)
    found = re.search(r"skew +([+-][\d.]+) us", said)
    assert found is not None
    assert float(found[1]) == pytest.approx(100, abs=1.5)
    board.order("strobe 1 off")
    ended = CliRunner().invoke(app, ["trigger", "measure", "--port", board.port, "--timeout", "0.1"])
    assert ended.exit_code == 1
    assert "secondary no strobe seen" in ended.output


def test_a_port_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    """A traceback tells a person nothing."""
    ended = CliRunner().invoke(app, ["trigger", "flash", "--port", str(tmp_path / "x")])
    assert ended.exit_code == 69
    assert "Traceback" not in ended.output


@NEEDS_EMULATOR
def test_a_board_in_use_is_not_flashed(board: LiveBoard) -> None:
    """The lines would drop in mid-recording; avrdude opens any port."""
    recorder = Board(board.port)
    recorder.start(pulse_us=0)
    ended = CliRunner().invoke(app, ["trigger", "flash", "--port", board.port])
    recorder.close()
    assert "Another program uses it" in ended.output
    assert all(edge.level for edge in board.edges)


# --- doctor -----------------------------------------------------------------------------------------------


def test_firmware_older_than_the_host_is_found() -> None:
    """A repaired fault would stay on the board."""
    old = BoardInfo("/dev/x", IDENTITY, FIRMWARE_VERSION - 1, ResetCause.EXTERNAL)
    finding = firmware_finding(old)
    assert (finding.state, finding.advice) == ("warn", "twinhdr trigger flash")
    assert firmware_finding(BoardInfo("/dev/x", IDENTITY, FIRMWARE_VERSION, ResetCause(1))).state == "ok"


@pytest.mark.parametrize("cause", [ResetCause.BROWN_OUT, ResetCause.WATCHDOG])
def test_a_reset_that_should_not_be_is_found(cause: ResetCause) -> None:
    """A board with a weak cable would be blamed on the cameras."""
    assert firmware_finding(BoardInfo("/dev/x", IDENTITY, FIRMWARE_VERSION, cause)).state == "warn"


@NEEDS_EMULATOR
def test_doctor_looks_at_the_board_itself(
    board: LiveBoard, trigger_build: Build, tmp_path: Path, configured: Callable[[str], Config]
) -> None:
    """Doctor would call a device healthy that cannot start its cameras."""
    (finding,) = check_trigger(configured(f"kind: board, port: {board.port}"))
    assert finding.state == "ok"
    recorder = Board(board.port)
    recorder.connect()
    assert "in use" in board_finding(board.port).found
    recorder.close()
    assert board.edges == []
    folder = tmp_path / "old"
    folder.mkdir()
    old = LiveBoard(trigger_build, folder, mutant="PROTOCOL_IDENTITY=0x12345678UL")
    finding = board_finding(old.port)
    old.unplug()
    assert (finding.state, "another protocol" in finding.found) == ("fail", True)


def test_a_start_without_a_board_says_what_it_costs(configured: Callable[[str], Config]) -> None:
    """Nobody would know what a board is for."""
    for kind in ("software", "action", "none"):
        (finding,) = check_trigger(configured(f"kind: {kind}"))
        assert finding.state == "info"


# --- from configuration to trigger ------------------------------------------------------------------------


@NEEDS_EMULATOR
def test_a_configured_board_is_found_and_its_lines_are_low(
    board: LiveBoard, configured: Callable[[str], Config]
) -> None:
    """Lines that a killed recorder left up would hide the next edge."""
    before = Board(board.port)
    before.start(pulse_us=0)
    before.close()
    trigger = open_trigger(configured(f"kind: board, port: {board.port}"))
    assert isinstance(trigger, BoardTrigger)
    assert [edge.level for edge in board.wait_for_edges(4)] == [1, 1, 0, 0]
    trigger.start()
    board.wait_for_edges(4)
    trigger.stop()


def test_every_kind_has_its_trigger(configured: Callable[[str], Config]) -> None:
    """A kind that the configuration takes would do nothing."""

    def nothing() -> None:
        pass

    assert isinstance(open_trigger(configured("kind: none")), NoTrigger)
    assert isinstance(open_trigger(configured("kind: software"), fire=[nothing]), SoftwareTrigger)
    assert isinstance(open_trigger(configured("kind: action"), action=nothing), ActionTrigger)
    with pytest.raises(TriggerError, match=r"trigger\.kind action"):
        open_trigger(configured("kind: action"))


def test_the_plan_follows_the_frame_rates(configured: Callable[[str], Config]) -> None:
    """Paced cameras would film at a rate that nobody set."""
    assert board_plan(configured("kind: board, pulse_us: 500")) == StartPlan(500)
    plan = board_plan(configured("kind: board, mode: paced, silence_ms: 400"))
    assert isinstance(plan, PacePlan)
    assert plan.arguments == (66_667, 2_000, 133_334, 2_000, 400)


@pytest.mark.parametrize(
    ("trigger", "key"),
    [
        ("kind: board, pulse_us: 20", "trigger.pulse_us"),
        ("kind: board, mode: paced, pulse_us: 0", "trigger.pulse_us"),
        ("kind: board, mode: paced, pulse_us: 30000}\nrig: {reference: {fps: 60}", "trigger.pulse_us"),
        ("kind: board}\nrig: {source: simulator", "trigger.kind"),
    ],
)
def test_what_the_board_cannot_do_is_a_located_fault(tmp_path: Path, trigger: str, key: str) -> None:
    """The recorder would stop at the first edge, in the field."""
    path = tmp_path / "config.yaml"
    source = "" if "rig:" in trigger else "rig: {source: gige}\n"
    path.write_text(f"{source}trigger: {{{trigger.replace('{reference', '{source: gige, reference')}}}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert {fault.key for fault in caught.value.faults} == {key}


# --- the device's name ------------------------------------------------------------------------------------


def test_the_udev_rule_and_discovery_agree() -> None:
    """The board would have a name that nobody looks for; a jump to no label ends a rules file."""
    rule = (Path(__file__).parents[3] / "systemd/70-twinhdr.rules").read_text()
    assert f'SYMLINK+="{UDEV_LINK.name}"' in rule
    assert set(re.findall(r'GOTO="(\w+)"', rule)) == set(re.findall(r'LABEL="(\w+)"', rule))


# --- the guide --------------------------------------------------------------------------------------------


def test_the_guide_names_every_pin_and_command() -> None:
    """The wires would go to the pins of an older firmware."""
    header = (Path(__file__).parents[3] / "hw/trigger/firmware/board.h").read_text()
    for pin in re.findall(r"\* +(D\d+) +P\w\d", header):
        assert f"| {pin} " in DOCUMENT, pin
    for command in ("info", "start", "pace", "measure", "stop", "flash"):
        assert f"twinhdr trigger {command}" in DOCUMENT
