"""Doctor's look at what starts the cameras: the board's firmware, or what starting without one costs."""

from __future__ import annotations

from collections.abc import Iterator

from edge.config.layers import Config
from edge.doctor.findings import Finding
from hw.camera import TriggerError
from hw.trigger.board import Board, BoardInfo, ResetCause
from hw.trigger.codes import FIRMWARE_VERSION
from hw.trigger.errors import PortError, ProtocolMismatchError

CONNECT_S = 3.0
"""A boot loader takes two; doctor should not take longer."""
NAME = "trigger board"
FLASH = "twinhdr trigger flash"

COSTS = {
    "software": "cameras start by one command each, typically 0.2 to 5 ms apart",
    "action": "cameras start by one network command, typically within 0.1 ms",
    "none": "cameras start on their own, up to a frame period apart",
}


def check_trigger(config: Config) -> Iterator[Finding]:
    """The trigger that is configured. Opens the board's port, moves no line."""
    kind = config.trigger.kind
    if kind in COSTS and config.rig.source not in ("simulator", "replay"):
        yield Finding("start", "info", COSTS[kind], "a trigger board makes it 0; docs/trigger.md")
    if kind == "board":
        yield board_finding(config.trigger.port)


def board_finding(port: str) -> Finding:
    """Pair with the board at ``port`` and judge it."""
    board = Board(port)
    try:
        return firmware_finding(board.connect(CONNECT_S))
    except ProtocolMismatchError as error:
        age = "older" if error.board_version < FIRMWARE_VERSION else "newer"
        text = f"firmware {error.board_version} speaks another protocol; it is {age} than this twinhdr"
        # newer firmware is an older host: flashing is then the way back
        return Finding(NAME, "fail", text, FLASH if age == "older" else f"upgrade twinhdr, or: {FLASH}")
    except PortError as error:
        if error.in_use:
            return Finding(NAME, "ok", "in use, by the recorder if that runs")
        return Finding(NAME, "fail", str(error))
    except TriggerError as error:
        return Finding(NAME, "fail", str(error))
    finally:
        board.close()


def firmware_finding(info: BoardInfo) -> Finding:
    """What a paired board says of itself."""
    text = f"firmware {info.firmware_version} at {info.port}"
    if info.is_older_than_host:
        return Finding(NAME, "warn", f"{text}, older than the {FIRMWARE_VERSION} of this twinhdr", FLASH)
    if ResetCause.BROWN_OUT in info.reset_cause and ResetCause.POWER_ON not in info.reset_cause:
        return Finding(
            NAME, "warn", f"{text}, last reset by a brown-out", "it lacks power: another port or cable"
        )
    if ResetCause.WATCHDOG in info.reset_cause:
        return Finding(NAME, "warn", f"{text}, last reset by its watchdog", f"please report it; then {FLASH}")
    return Finding(NAME, "ok", text)
