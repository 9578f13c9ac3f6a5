"""Before the recording: what has to be there, waited for by name instead of dying for it again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from edge.errors import TwinhdrError, UnavailableError, first_line
from edge.health.health import Health
from edge.supervise.notify import Notifier
from hw.camera import CameraError, TriggerError

T = TypeVar("T")

RETRY_S = 2.0
MEASURING_S = 300.0
"""The slowest network on the slowest machine that anybody measured took a minute."""
SLACK_S = 30.0

CAMERAS = "cameras"
MAY_COME: tuple[type[TwinhdrError], ...] = (CameraError, TriggerError, UnavailableError)
"""What is plugged in, switched on or installed while the recorder waits."""


class StopAskedError(BaseException):
    """SIGINT or SIGTERM before there is anything to close; raised in the main thread, wherever it waits."""


def open_when_there(
    name: str,
    opening: Callable[[], T],
    health: Health,
    notifier: Notifier,
    *,
    may_come: tuple[type[TwinhdrError], ...] = MAY_COME,
    attempt_s: float = 0.0,
    pause: Callable[[float], None] = time.sleep,
) -> T:
    """What ``opening`` returns; a service asks until it does, a command in a terminal once.

    What is missing is named on the page as the condition ``name``. systemd is told before each attempt that
    starting takes longer, so that one that hangs is ended; ``attempt_s`` is what one may take. Raises what
    ``opening`` raises, in a service only what is not among ``may_come``.
    """
    while True:
        notifier.extend(attempt_s + SLACK_S)
        try:
            opened = opening()
        except may_come as error:
            if not notifier.present:
                raise
            todo = "Recording begins when it is there."
            health.condition(name, False, time.monotonic_ns(), f"{error}.", todo)
            notifier.status(f"waiting for {name}: {first_line(error)}")
            pause(RETRY_S)
        else:
            health.condition(name, True, time.monotonic_ns())
            return opened
