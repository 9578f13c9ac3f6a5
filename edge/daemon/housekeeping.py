"""Once a second: what was written, what room is left, memory, temperature.

The main loop publishes (``tick``); a thread asks the disk, which may not answer for long. What the thread
found last is what is published, and that it waits is published too.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

from edge.config.schema import StoreConfig
from edge.health.health import Health
from edge.native import give_back_memory
from edge.session.recording import SessionWriter
from edge.store.eraser import Deleted
from edge.store.gate import SLOW_NS, TEXTS, Blocked, DiskGate
from edge.store.keeper import DiskState, StoreKeeper, disk_floor_bytes
from edge.store.recover import recover_all

__all__ = ["Housekeeper", "disk_floor_bytes"]

THERMAL = Path("/sys/class/thermal/thermal_zone0/temp")
STATM = Path("/proc/self/statm")
ROUND_S = 1.0
GIVE_BACK_NS = 60_000_000_000
CLOSE_S = 5.0

log = logging.getLogger(__name__)


class Housekeeper:
    """Publishes the figures of the machine and of one session. ``tick``, from one thread, waits for no disk.

    ``start`` begins the thread that keeps the disk, and one that recovers what earlier crashes left.
    """

    def __init__(self, health: Health, session: SessionWriter, store: StoreConfig) -> None:
        self._health = health
        self._session = session
        self._gate = session.gate or DiskGate()
        self._root = store.root
        self._keeper = StoreKeeper(session, self._gate, store, self._tell)
        self._published: dict[str, int] = {}
        self._counted: dict[tuple[str, ...], int] = {}
        self._blocked: Blocked | None = None
        self._stop = threading.Event()
        self._round_ns: int | None = None
        self._threads: list[threading.Thread] = []

    def configure(self, store: StoreConfig) -> None:
        """From the next round on. Any thread. The root stays as it is."""
        self._keeper.store = store

    def start(self) -> None:
        """Begin to keep the disk."""
        for work, name in ((self._keep, "storekeeper"), (self._recover, "recovery")):
            thread = threading.Thread(target=work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """End. A disk that hangs is left alone, and what is being recovered goes on next time."""
        self._stop.set()
        for thread in self._threads:
            thread.join(CLOSE_S)
        self._threads.clear()

    def round(self) -> None:
        """What the thread does once a second."""
        for one in self._keeper.round():
            self._count_deleted(one)

    def tick(self, running_s: float, now_ns: int) -> bool:
        """Publish. True: there is no reason of the disk's to end."""
        health, state = self._health, self._keeper.state
        health.gauge("rss_bytes", _resident_bytes())
        health.gauge("cpu_celsius", _celsius())
        self._publish_disk(state)
        self._publish_faults(state, now_ns)
        return True

    def _publish_disk(self, state: DiskState) -> None:
        health = self._health
        for stream, size in state.sizes.items():
            health.count("recorded_bytes", stream, n=max(0, size - self._published.get(stream, 0)))
        self._published |= state.sizes
        health.gauge("disk_free_bytes", state.free_bytes)
        left_s = None
        if state.free_bytes is not None and state.bytes_per_s:
            left_s = max(0, state.free_bytes - state.floor_bytes) / state.bytes_per_s
        health.gauge("disk_left_s", left_s)

    def _publish_faults(self, state: DiskState, now_ns: int) -> None:
        health, blocked = self._health, self._gate.blocked
        for (stage, cause), total in self._gate.totals.items():
            health.count("drops", stage, cause, n=self._grown(("drops", stage, cause), total))
        for cause, total in self._gate.faults.items():
            health.count("disk_faults", cause, n=self._grown(("faults", cause), total))
        waiting_ns = max(self._gate.waiting_ns(), now_ns - (self._round_ns or now_ns))
        health.gauge("disk_waiting_s", waiting_ns / 1e9)
        text, todo = "", ""
        if blocked is not None:
            text, todo = TEXTS[blocked.cause]
            text = f"{text} ({blocked.said}); it goes on by itself."
        elif waiting_ns > SLOW_NS:
            text = f"the disk has not answered for {waiting_ns / 1e9:.0f} s; frames wait, then are lost."
            todo = "Use a faster disk, or check this one."
        health.condition("disk", not text, now_ns, text, todo)
        health.condition(
            "disk space",
            not state.nothing_to_delete,
            now_ns,
            "the floor of store.min_free_gb and store.min_free_share is near, and nothing may be deleted.",
            "Delete, release or move sessions, or see store.delete.",
            "warning",
        )
        if blocked is not None and self._blocked is None:
            self._session.sidecar.event("disk", cause=blocked.cause, said=blocked.said, ok=False)
        self._blocked = blocked

    def _count_deleted(self, one: Deleted) -> None:
        if not one.problem:
            self._health.count("deleted", one.what)
            self._health.count("deleted_bytes", one.what, n=one.size_bytes)

    def _grown(self, key: tuple[str, ...], total: int) -> int:
        before, self._counted[key] = self._counted.get(key, 0), total
        return total - before

    def _keep(self) -> None:
        given_back_ns = time.monotonic_ns()
        while True:
            now_ns = self._round_ns = time.monotonic_ns()
            self.round()
            self._round_ns = None
            if now_ns - given_back_ns >= GIVE_BACK_NS:
                given_back_ns = now_ns
                give_back_memory()
            if self._stop.wait(ROUND_S):
                return

    def _recover(self) -> None:
        if self._session.path.parent.resolve() == self._root.resolve():
            recover_all(self._root, self._tell, self._stop)

    def _tell(self, text: str) -> None:
        log.warning("%s", text)
        self._health.event(time.monotonic_ns(), text)


def _resident_bytes() -> float | None:
    try:
        return float(int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, IndexError):
        return None


def _celsius() -> float | None:
    try:
        return int(THERMAL.read_text()) / 1000.0
    except (OSError, ValueError):
        return None
