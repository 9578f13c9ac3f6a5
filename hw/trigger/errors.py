"""What goes wrong between host and trigger board, by name. Each text says what to do next."""

from __future__ import annotations

from hw.camera import TriggerError
from hw.trigger.codes import ErrorCode


class NoBoardError(TriggerError):
    """There is no serial device to talk to, or more than one."""


class PortError(TriggerError):
    """The serial device cannot be opened. ``in_use``: because another program has it."""

    def __init__(self, text: str, *, in_use: bool = False) -> None:
        super().__init__(text)
        self.in_use = in_use


class BoardSilentError(TriggerError):
    """No valid reply within the deadline."""


class BoardLostError(TriggerError):
    """The serial device went away, or the board was reset, while a request was under way."""


class ProtocolMismatchError(TriggerError):
    """Board and host were built from different protocol files.

    ``board_identity`` and ``board_version`` are what the board says of itself.
    """

    def __init__(self, text: str, board_identity: int, board_version: int) -> None:
        super().__init__(text)
        self.board_identity = board_identity
        self.board_version = board_version


class BoardRefusedError(TriggerError):
    """The board understood and refused. ``code`` says why, ``detail`` is as in protocol.yaml."""

    def __init__(self, text: str, code: ErrorCode | None, detail: tuple[int, ...]) -> None:
        super().__init__(text)
        self.code = code
        self.detail = detail
