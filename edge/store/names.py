"""What a session is called: a number that only rises, and the time as this machine believed it to be.

``s000042-20260722T184212Z``. The order of the names is the order of the recordings, whatever the clock did: a
board without a clock battery begins in 1970, and a time server may set it back in mid-recording. The number
stands in the file ``.next-session`` of the root and is never given twice, not even after a deletion.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
from pathlib import Path

COUNTER = ".next-session"
DELETING = ".deleting-"
"""Folders that begin so are on their way out; whoever finds one finishes it."""

_OURS = re.compile(r"(?:s(\d{6,12})-)?\d{8}T\d{6}Z(?:-\d+)?")
_MOST = 10**9  # at a session a minute, 1900 years: more is a damaged file


def number_of(name: str) -> int | None:
    """The number in a name that this module gave. Recordings of first versions have 0, all others None."""
    match = _OURS.fullmatch(name)
    return None if match is None else int(match[1] or 0)


def session_name(number: int, now: datetime.datetime) -> str:
    """The name of session ``number`` begun at ``now`` (UTC)."""
    return f"s{number:06d}-{now.strftime('%Y%m%dT%H%M%SZ')}"


def new_session_folder(root: Path, now: datetime.datetime) -> Path:
    """A new empty folder below ``root``; its name sorts after all given there before. Raises OSError."""
    root.mkdir(parents=True, exist_ok=True)
    number = _next_number(root)
    while True:
        path = root / session_name(number, now)
        try:
            path.mkdir()
        except FileExistsError:
            number += 1  # another recorder was faster
            continue
        _remember(root, number + 1)
        return path


def _next_number(root: Path) -> int:
    with os.scandir(root) as entries:
        names = [entry.name.removeprefix(DELETING).partition("~")[0] for entry in entries]
    taken = max((number_of(name) or 0 for name in names), default=0)
    return max(taken + 1, _remembered(root))


def _remembered(root: Path) -> int:
    with contextlib.suppress(OSError, ValueError), (root / COUNTER).open("rb") as file:
        number = int(file.read(32))
        return number if number < _MOST else 1
    return 1


def _remember(root: Path, number: int) -> None:
    """A name given twice would be a lesser evil than no recording: the folders still know their numbers."""
    temporary = root / (COUNTER + ".tmp")
    with contextlib.suppress(OSError):
        temporary.write_text(f"{number}\n", encoding="ascii")
        temporary.replace(root / COUNTER)
