"""One simulated time for both cameras: paced against real time, and kept in step with each other.

Simulated time never skips a frame. Where rendering or the reader is slower than the pace, simulated time
falls behind and stays behind: catching up would hand the line a burst that no real camera makes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class SimulatedClock:
    """Decides when a frame may be handed out. Thread-safe; times are true ns from the start edge.

    ``pace`` is simulated seconds per real second, None for as fast as frames are rendered. A camera runs at
    most ``lead_ns`` ahead of another that films, or a fast camera would fill the line with frames whose
    partners are still to be rendered.
    """

    def __init__(
        self, pace: float | None, lead_ns: int, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        if pace is not None and not pace > 0.0:
            raise ValueError(f"pace is {pace}; give simulated seconds per second above 0, or None")
        self._pace = pace
        self._lead_ns = lead_ns
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._next_ns: dict[str, int] = {}
        self._origin_s: float | None = None

    @property
    def started(self) -> bool:
        with self._changed:
            return self._origin_s is not None

    def start(self) -> None:
        """The start edge: true time 0 is now. A second edge changes nothing."""
        with self._changed:
            if self._origin_s is None:
                self._origin_s = self._monotonic()
                self._changed.notify_all()

    def join(self, camera: str) -> None:
        """``camera`` films from the edge on: others wait for it."""
        with self._changed:
            self._next_ns.setdefault(camera, 0)

    def leave(self, camera: str) -> None:
        """``camera`` films no more; nobody waits for it."""
        with self._changed:
            self._next_ns.pop(camera, None)
            self._changed.notify_all()

    def announce(self, camera: str, next_ns: int) -> None:
        """``camera`` will hand out nothing before ``next_ns``."""
        with self._changed:
            if camera in self._next_ns:
                self._next_ns[camera] = next_ns
                self._changed.notify_all()

    def wait_for_start(self, camera: str, timeout_s: float) -> bool:
        """Wait for the edge; False when ``timeout_s`` real seconds pass without it or ``camera`` left."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._origin_s is not None or camera not in self._next_ns, timeout_s
            )
            return self._origin_s is not None and camera in self._next_ns

    def wait_until(self, camera: str, due_ns: int, timeout_s: float) -> bool:
        """Wait until ``camera`` may hand out what is due at ``due_ns``.

        False when that is more than ``timeout_s`` real seconds away, or ``camera`` has left.
        """
        deadline_s = self._monotonic() + timeout_s
        with self._changed:
            while camera in self._next_ns:
                now_s = self._monotonic()
                wait_s = self._too_early_s(due_ns, now_s)
                if wait_s <= 0.0 and not self._ahead(camera, due_ns):
                    return True
                if now_s >= deadline_s:
                    return False
                left_s = deadline_s - now_s
                self._changed.wait(min(wait_s, left_s) if wait_s > 0.0 else left_s)
            return False

    def _too_early_s(self, due_ns: int, now_s: float) -> float:
        """Real seconds until ``due_ns``; also lets simulated time fall behind where it is overdue."""
        if self._pace is None or self._origin_s is None:
            return 0.0
        wait_s = self._origin_s + due_ns * 1e-9 / self._pace - now_s
        overdue_s = -wait_s - self._lead_ns * 1e-9 / self._pace
        if overdue_s > 0.0:
            self._origin_s += overdue_s
        return wait_s

    def _ahead(self, camera: str, due_ns: int) -> bool:
        return any(
            due_ns > other_ns + self._lead_ns for other, other_ns in self._next_ns.items() if other != camera
        )
