"""The trigger board unplugged: its real firmware, emulated, starts or paces two GigE cameras."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import psutil  # type: ignore[import-untyped]

from tests.hw.gige.gige_net import GigeNet, network
from tests.hw.trigger.trigger_board import HEADER, MISSING, Build, LiveBoard
from tests.reliability import gige
from tests.reliability.bench import Bench
from tests.reliability.gige import gige_trial
from tests.reliability.losses import STREAMS
from tests.reliability.table import Row, fault

AWAY_S = 3.0
BACK_S = 5.0


def missing() -> str:
    if MISSING or not HEADER.exists():
        return f"needs {', '.join(MISSING) or HEADER} (apt install gcc-avr avr-libc libsimavr-dev libelf-dev)"
    return gige.missing()


@contextlib.contextmanager
def wired(bench: Bench) -> Iterator[tuple[GigeNet, LiveBoard]]:
    """A board whose lines lead to both cameras, and whose port anybody may open."""
    with network() as net:
        board = LiveBoard(
            Build(bench.folder), net.folder, forward={n: net.folder / f"line{n}" for n in (0, 1)}
        )
        settle(board)
        try:
            yield net, board
        finally:
            board.unplug()


def settle(board: LiveBoard) -> None:
    os.chmod(os.path.realpath(board.port), 0o666)
    if os.geteuid() == 0:
        for child in psutil.Process().children():
            if child.name() == "trigger_sim":
                child.nice(-18)  # a board has a processor of its own


@fault(
    "board_gone",
    "trigger board gone",
    f"unplugged for {AWAY_S:.0f} s after it has started both cameras, each filming at its own pace since",
    missing=missing,
)
def board_gone(bench: Bench) -> Row:
    with wired(bench) as (net, board):
        more = f"trigger: {{kind: board, port: {board.port}}}\n"
        with gige_trial(bench, net=net, lines=True, more=more) as one:
            one.trial.begin()
            board.unplug()
            one.trial.lasts(AWAY_S)
            one.trial.told = "nothing: it is not needed before the next start"
            board.plug_in()
            settle(board)
            return one.trial.finish(suffers={}, tells=())


@fault(
    "board_gone_paced",
    "trigger board gone while it paces the cameras",
    f"unplugged for {AWAY_S:.0f} s while every exposure waits for its pulse (trigger.mode: paced)",
    missing=missing,
)
def board_gone_paced(bench: Bench) -> Row:
    with wired(bench) as (net, board):
        more = f"trigger: {{kind: board, port: {board.port}, mode: paced}}\n"
        with gige_trial(bench, net=net, lines=True, more=more) as one:
            trial = one.trial
            trial.begin()
            board.unplug()
            trial.says("trigger", within_s=3.0)
            trial.lasts(AWAY_S)
            board.plug_in()
            settle(board)
            trial.since()
            trial.back(within_s=BACK_S)
            trial.quiet()
            suffers = {stream: round((AWAY_S + BACK_S + 4.0) * 30) for stream in STREAMS}
            cameras = ("trigger", "reference camera", "secondary camera")
            return trial.finish(suffers=suffers, tells=cameras, unexplained=STREAMS)
