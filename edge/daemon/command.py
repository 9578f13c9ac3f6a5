"""``twinhdr run``: from the files of the configuration to a recording that can be told to read them again."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from edge.errors import TwinhdrError
from edge.native import share_heaps
from edge.settings.reload import Reload
from edge.settings.state import LAST_GOOD, Start, start, state_folder
from edge.supervise.stages import STAGES

HEAPS = 2

log = logging.getLogger(__name__)


def record(
    path: Path | None, duration_s: float | None, session: Path | None, log_at: Callable[[str], None]
) -> int:
    """Record as the files say, or as the device last recorded well where they cannot be used any more.

    ``log_at`` sets up the log at a level. Raises TwinhdrError.
    """
    share_heaps(HEAPS)
    state = state_folder(os.environ)
    begun = start(path, state)
    log_at(begun.loaded.config.log.level)
    _tell_faults(begun, state)
    from edge.daemon.run import run_daemon  # heavy, and a wrong configuration is told without it

    reload = Reload(begun, path, state)
    try:
        with reload.on_hangup():
            code = run_daemon(begun.loaded.config, duration_s, session, reload)
    except TwinhdrError as error:
        _leave_hung_threads(error.exit_code, f"twinhdr: {error}")
        raise
    _leave_hung_threads(code)
    return code


def _leave_hung_threads(code: int, said: str = "") -> None:
    """End the process here where a thread hangs in a library; where none does, nothing.

    The interpreter's farewell takes down what that thread still uses, and ends in SIGABRT: systemd would see
    a crash after a recording that was closed in good order.
    """
    hung = [thread.name for thread in threading.enumerate() if thread.daemon and thread.name in STAGES]
    if not hung:
        return
    log.warning("ending with what hangs: stage %s", ", ".join(hung))
    if said:
        print(said, file=sys.stderr)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _tell_faults(begun: Start, state: Path | None) -> None:
    for fault in begun.faults:
        log.error("the configuration cannot be used: %s", fault)
    if begun.faults and state is not None:
        log.error("recording with the last good configuration instead: %s", state / LAST_GOOD)
