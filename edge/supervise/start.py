"""Before the recording: what has to be there, waited for by name instead of dying for it again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from edge.errors import UnavailableError
from edge.health import Health
from edge.supervise.notify import Notifier
from hw.camera import CameraError, TriggerError

T = TypeVar("T")

RETRY_S = 2.0
MEASURING_S = 300.0
"""The slowest network on the slowest machine that anybody measured took a minute."""
SLACK_S = 30.0

CAMERAS = "cameras"


class StopAskedError(BaseException):
    """SIGINT or SIGTERM before there is anything to close; raised in the main thread, wherever it waits."""


def open_when_there(
    opening: Callable[[], T],
    health: Health,
    notifier: Notifier,
    *,
    attempt_s: float,
    wait: bool,
    pause: Callable[[float], None] = time.sleep,
) -> T:
    """What ``opening`` returns; with ``wait`` it is asked until it does.

    Missing cameras, boards and drivers are waited for and named on the page; systemd is told that starting
    takes longer, after each attempt anew, so that one that hangs is ended. ``attempt_s`` is what one takes at
    most. Raises what ``opening`` raises, apart from that.
    """
    while True:
        notifier.extend(attempt_s + SLACK_S)
        try:
            opened = opening()
        except (CameraError, TriggerError, UnavailableError) as error:
            if not wait:
                raise
            text = f"{error}."
            health.condition(CAMERAS, False, time.monotonic_ns(), text, "Recording begins when it is there.")
            notifier.status(f"waiting for {CAMERAS}: {error}")
            pause(RETRY_S)
        else:
            health.condition(CAMERAS, True, time.monotonic_ns())
            return opened
