"""The folder of a new recording, made when the disk is there: a device that boots first waits for it."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from pathlib import Path

from edge.health.health import Health
from edge.session.recording import SessionHeader, SessionWriteError, SessionWriter
from edge.store.gate import TEXTS, DiskGate, cause_of
from edge.store.names import new_session_folder

RETRY_S = 1.0


def new_session(
    root: Path,
    folder: Path | None,
    header_of: Callable[[str], SessionHeader],
    health: Health,
    *,
    wait: bool,
    pause: Callable[[float], None] = time.sleep,
) -> SessionWriter:
    """A session in ``folder``, or in a new one below ``root``; ``header_of`` gets its name.

    With ``wait`` a disk that is missing, full or read-only is named on the page and waited for. Raises
    SessionError.
    """
    while True:
        try:
            path = folder or _new_folder(root)
            session = SessionWriter.create(path, header_of(path.name), gate=DiskGate())
        except SessionWriteError as error:
            if not wait or not isinstance(error.__cause__, OSError):
                raise
            text, todo = TEXTS[cause_of(error.__cause__)]
            said = f"{text} ({error.__cause__.strerror}: {root}); it begins by itself."
            health.condition("disk", False, time.monotonic_ns(), said, todo)
            pause(RETRY_S)
        else:
            health.condition("disk", True, time.monotonic_ns())
            return session


def _new_folder(root: Path) -> Path:
    try:
        return new_session_folder(root, datetime.datetime.now(datetime.timezone.utc))
    except OSError as error:
        raise SessionWriteError(
            f"{root}: no session can be made here: {error.strerror}; set store.root to a folder of yours"
        ) from error
