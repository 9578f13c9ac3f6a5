"""The start edge as the host knows it, and how cameras start where there is no board.

What each way costs in skew, the time between the first exposures of both cameras:

==========  =====================================================================================
board       0 CPU cycles between the lines (the emulator counts them); optocouplers add their own,
            a few microseconds that ``twinhdr trigger measure`` shows
action      one GigE Vision action command for both: each camera's network latency, typically below
            0.1 ms on one switch and unbounded on a loaded network
software    one command for each at the same time: a round trip to the camera, 0.2 to 5 ms, measured here
none        the cameras run freely: up to one frame period
==========  =====================================================================================

Grouping goes by time stamps, so skew never mixes frames up; it ages the pair by as much.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from hw.camera import CameraError, TriggerError

log = logging.getLogger(__name__)

ACTION_SKEW_NS = 100_000
"""Typical for one switch without other load; nothing on the host can measure it."""


@dataclass(frozen=True, slots=True)
class StartEdge:
    """When the common edge was, in ns of the host's monotonic clock.

    It lies within ``t_ns`` plus or minus ``uncertainty_ns``: between sending the request and having its
    reply. ``skew_ns`` is the most by which the cameras were started apart; None where nothing bounds it.
    """

    t_ns: int
    uncertainty_ns: int
    skew_ns: int | None

    @classmethod
    def between(cls, before_ns: int, after_ns: int, skew_ns: int | None) -> StartEdge:
        """An edge somewhere in an interval."""
        return cls((before_ns + after_ns) // 2, (after_ns - before_ns + 1) // 2, skew_ns)


class SoftwareTrigger:
    """Starts the cameras by a command each, at the same time: ``fire`` has one function a camera.

    It is called in a thread of its own, returns when its camera has acknowledged, and may raise CameraError.
    ``halt`` undoes it.
    """

    def __init__(self, fire: Sequence[Callable[[], None]], halt: Sequence[Callable[[], None]] = ()) -> None:
        self._fire = tuple(fire)
        self._halt = tuple(halt)
        self.edge: StartEdge | None = None

    def start(self) -> int:
        """See Trigger. ``edge.skew_ns`` is measured: from the first command to the last acknowledgement."""
        before_ns = time.monotonic_ns()
        with ThreadPoolExecutor(max(1, len(self._fire))) as together:
            started = [together.submit(fire) for fire in self._fire]
        after_ns = time.monotonic_ns()
        for number, camera in enumerate(started, start=1):
            error = camera.exception()
            if isinstance(error, CameraError):
                raise TriggerError(
                    f"software start: camera {number} of {len(started)} refused: {error}"
                ) from error
            camera.result()
        self.edge = StartEdge.between(before_ns, after_ns, after_ns - before_ns)
        log.info(
            "cameras started by software, at most %.2f ms apart; by a trigger board 0",
            (after_ns - before_ns) / 1e6,
        )
        return self.edge.t_ns

    def stop(self) -> None:
        """Call every ``halt``."""
        for halt in self._halt:
            with contextlib.suppress(CameraError):  # a camera that is gone has stopped
                halt()


class ActionTrigger:
    """Starts both cameras by one GigE Vision action command, which ``fire`` broadcasts.

    ``fire`` returns when the cameras have acknowledged, or at once where they do not, and may raise
    CameraError.
    """

    def __init__(self, fire: Callable[[], None]) -> None:
        self._fire = fire
        self.edge: StartEdge | None = None

    def start(self) -> int:
        """See Trigger."""
        before_ns = time.monotonic_ns()
        try:
            self._fire()
        except CameraError as error:
            raise TriggerError(f"start by action command: {error}") from error
        self.edge = StartEdge.between(before_ns, time.monotonic_ns(), None)
        log.info(
            "cameras started by one action command, typically within %.1f ms; by a trigger board within 0",
            ACTION_SKEW_NS / 1e6,
        )
        return self.edge.t_ns

    def stop(self) -> None:
        """An action command holds no line."""


class NoTrigger:
    """The cameras run freely from the moment they are armed."""

    edge: StartEdge | None = None

    def start(self) -> int:
        """See Trigger. There is no edge; the time is now."""
        log.info("no trigger: the cameras run freely, up to one frame period apart")
        return time.monotonic_ns()

    def stop(self) -> None:
        """Nothing to drop."""
