"""What systemd's watchdog lives on: frames that were really recorded, and stages that move.

No timer feeds it. A process that is alive and records nothing is as good as hung, and is restarted like one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator

from edge.supervise.crew import Watch
from edge.supervise.notify import Notifier

GRACE_S = 2.0
"""A stage over its limit has this long to be replaced before the watchdog goes hungry."""
FRESH_S = 3.0
"""Frames come in while the last one is younger than this."""
STALLED_S = 10.0
"""With frames coming in, one must be recorded at least this often."""
FEED_S = 1.0


class Progress:
    """When a reference frame last came in, and when one was last safe in a file. Any thread."""

    def __init__(self) -> None:
        self.receiving_since_s: float | None = None
        self.received_s: float | None = None
        self.recorded_s: float | None = None

    def received(self, now_s: float) -> None:
        """A good frame of the reference camera."""
        if self.received_s is None or now_s - self.received_s > FRESH_S:
            self.receiving_since_s = now_s
        self.received_s = now_s

    def recorded(self, now_s: float) -> None:
        """It was written: as a master, or fused and encoded where no masters are kept."""
        self.recorded_s = now_s


def reason_to_starve(
    watches: Iterable[Watch],
    receiving_since_s: float | None,
    received_s: float | None,
    recorded_s: float | None,
    now_s: float,
    blocked: bool = False,
) -> str:
    """Why the watchdog must not be fed at ``now_s``; empty where all is well. Pure.

    A camera that is away is no reason, and neither is a disk that takes nothing (``blocked``): nothing is
    hung, the page names it, and a restart would bring neither back.
    """
    for watch in watches:
        if watch.age_s > watch.limit_s + GRACE_S:
            return f"stage {watch.stage} has not moved for {watch.age_s:.0f} s"
    if blocked or received_s is None or receiving_since_s is None or now_s - received_s > FRESH_S:
        return ""
    since_s = now_s - (receiving_since_s if recorded_s is None else max(recorded_s, receiving_since_s))
    if since_s > STALLED_S:
        return f"frames come in and none was recorded for {since_s:.0f} s"
    return ""


class Pulse:
    """Tells systemd what is so. ``status`` gives the line for ``systemctl status``. One thread."""

    def __init__(self, notifier: Notifier, progress: Progress, status: Callable[[], str]) -> None:
        self._notifier = notifier
        self._progress = progress
        self._status = status
        self._ready = False
        self._fed_s = float("-inf")
        self.starving = ""

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """Around reading the configuration again, so that ``systemctl reload`` shows it."""
        if self._ready:
            self._notifier.reloading()
        try:
            yield
        finally:
            if self._ready:
                self._notifier.ready(self._status())

    def tick(self, watches: Iterable[Watch], now_s: float, blocked: bool = False) -> None:
        """READY after the first recorded frame, more time until then; WATCHDOG while work is done."""
        progress = self._progress
        if not self._ready and progress.recorded_s is not None:
            self._ready = True
            self._notifier.ready(self._status())
        if now_s - self._fed_s < FEED_S:
            return
        self._fed_s = now_s
        self.starving = reason_to_starve(
            watches, progress.receiving_since_s, progress.received_s, progress.recorded_s, now_s, blocked
        )
        if self.starving:
            self._notifier.status(self.starving)
        elif self._ready:
            self._notifier.alive()
            self._notifier.status(self._status())
        else:
            self._notifier.extend(STALLED_S)
            self._notifier.status("no frame recorded yet: a camera is silent, or the disk takes nothing")
