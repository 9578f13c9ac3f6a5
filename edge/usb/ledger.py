"""What the device remembers of sticks, in a folder of root's: the last file, and a probation under way."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from edge.errors import ConfigError
from edge.settings.files import FileError, delete_file, read_layer, write_file

FOLDER = Path("/var/lib/twinhdr-usb")
LAST, TRIED, REPORT = "last.json", "probation.json", "last-report.txt"

Outcome = Literal["applied", "refused", "reverted"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Handled:
    """The configuration that a stick brought last and what became of it."""

    sha256: str
    outcome: Outcome
    why: str


@dataclass(frozen=True, slots=True)
class Tried:
    """A configuration on probation; ``before`` is what comes back, None for no file.

    ``known``: names of the faults that the recorder had before.
    """

    sha256: str
    before: str | None
    known: tuple[str, ...] = ()


def digest(text: str) -> str:
    """What tells one configuration from another."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


class Ledger:
    """Small files that are written whole. Damaged ones count as missing. Methods raise FileError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def last(self) -> Handled | None:
        return self._read(LAST, Handled)

    def tried(self) -> Tried | None:
        return self._read(TRIED, Tried)

    def begin(self, tried: Tried) -> None:
        """Before anything is changed: after a power cut it is known what comes back."""
        self._write(TRIED, tried)

    def end(self, handled: Handled) -> None:
        """The configuration of a stick is dealt with."""
        self._write(LAST, handled)
        delete_file(self._folder / TRIED, keep=False)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """One stick at a time: another waits. Raises FileError."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FileError(f"{self._folder}: cannot be used: {error.strerror}; use sudo") from None
        with open(descriptor, "rb+"):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield

    def keep_report(self, text: str) -> None:
        """For when the stick was pulled before it could be written there."""
        write_file(self._folder / REPORT, text, keep=False)

    def _write(self, name: str, value: Handled | Tried) -> None:
        write_file(self._folder / name, json.dumps(asdict(value)) + "\n", keep=False)

    def _read(self, name: str, kind: type[T]) -> T | None:
        try:
            told: Any = json.loads(read_layer(self._folder / name) or "null")
            names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
            return kind(**told) if isinstance(told, dict) and set(told) == names else None
        except (OSError, ConfigError, ValueError, TypeError, RecursionError):
            return None
