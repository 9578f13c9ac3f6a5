"""``twinhdr run``: from the files of the configuration to a recording that can be told to read them again."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from edge.settings.reload import Reload
from edge.settings.state import LAST_GOOD, Start, start, state_folder

log = logging.getLogger(__name__)


def record(
    path: Path | None, duration_s: float | None, session: Path | None, log_at: Callable[[str], None]
) -> int:
    """Record as the files say, or as the device last recorded well where they cannot be used any more.

    ``log_at`` sets up the log at a level. Raises TwinhdrError.
    """
    state = state_folder(os.environ)
    begun = start(path, state)
    log_at(begun.loaded.config.log.level)
    _tell_faults(begun, state)
    from edge.run import run_daemon  # heavy, and a wrong configuration is told without it

    reload = Reload(begun, path, state)
    with reload.on_hangup():
        return run_daemon(begun.loaded.config, duration_s, session, reload)


def _tell_faults(begun: Start, state: Path | None) -> None:
    for fault in begun.faults:
        log.error("the configuration cannot be used: %s", fault)
    if begun.faults and state is not None:
        log.error("recording with the last good configuration instead: %s", state / LAST_GOOD)
