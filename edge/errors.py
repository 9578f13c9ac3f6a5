"""The errors a person can cause or repair, each with the exit code that sysexits.h gives its kind.

Whatever derives from ``TwinhdrError`` ends a command with its text on standard error and its exit code.
Everything else is a bug and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

EX_DATAERR = 65
EX_NOINPUT = 66
EX_UNAVAILABLE = 69
EX_CANTCREAT = 73
EX_CONFIG = 78


class TwinhdrError(Exception):
    """Base of all expected errors. The text says what is wrong, where, and what to do next."""

    exit_code: ClassVar[int] = 1


class ImageError(TwinhdrError):
    """An image file cannot be read or written, or images do not fit together."""

    exit_code = EX_DATAERR


class UnavailableError(TwinhdrError):
    """A part of the installation that the command needs is not there."""

    exit_code = EX_UNAVAILABLE


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one configuration file.

    ``line`` counts from 1; None where the file as a whole is meant. ``key`` is the dotted path or empty.
    """

    file: str
    line: int | None
    key: str
    problem: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.key}: {self.problem}" if self.key else f"{where}: {self.problem}"


class ConfigError(TwinhdrError):
    """The configuration cannot be used. Its text has one line per fault, in order of file and line."""

    exit_code = EX_CONFIG

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


def first_line(error: Exception) -> str:
    """What another library's error says: its first line, cut at 200 characters, or its type."""
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
