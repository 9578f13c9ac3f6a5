"""Keeps the disk of a running recording: watches it, makes room, closes the gate and opens it again.

``StoreKeeper.round`` runs once a second in a thread of its own (`edge.daemon.housekeeping`), because each of
its questions may wait for a disk that does not answer.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field

from edge.config.schema import StoreConfig
from edge.session.recording import SessionWriter
from edge.store.catalogue import KEPT, list_sessions
from edge.store.eraser import Deleted, Eraser, segments_of
from edge.store.gate import DiskGate
from edge.store.home import Home
from edge.store.names import number_of
from edge.store.plan import headroom_bytes, plan
from edge.store.recover import remove_empty
from edge.store.wallclock import Reading, change, read_clock

AGAIN_NS = 30_000_000_000
"""Looking through thousands of sessions costs a slow disk much."""


def disk_floor_bytes(store: StoreConfig, total_bytes: int) -> int:
    """What must stay free: the larger of the absolute floor and the share of the disk."""
    return max(round(store.min_free_gb * 1e9), round(store.min_free_share * total_bytes))


@dataclass(frozen=True, slots=True)
class DiskState:
    """What is known of the disk. ``sizes`` in bytes by stream of the running session."""

    free_bytes: int | None = None
    floor_bytes: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    bytes_per_s: float = 0.0
    nothing_to_delete: bool = False


class StoreKeeper:
    """One running session below one root. ``round`` from one thread; ``state`` from any."""

    def __init__(
        self,
        session: SessionWriter,
        gate: DiskGate,
        store: StoreConfig,
        tell: Callable[[str], None],
        *,
        clock: Callable[[], Reading] = read_clock,
    ) -> None:
        self.state = DiskState()
        self.store = store
        self._session = session
        self._gate = gate
        self._tell = tell
        self._home = Home(session.path, session.header)
        self._eraser = Eraser(store.root, session.path)
        self._named_by_hand = number_of(session.path.name) is None
        self._planned_ns: int | None = None
        self._clock = clock
        self._reading = clock()
        self._begin_ns = self._reading.monotonic_ns
        self._written = 0
        self._utc_line()

    def round(self) -> list[Deleted]:
        """Look, decide, act. Returns what was deleted since the last round."""
        deleted = self._eraser.take()
        for one in deleted:
            self._note(one)
        self._watch_clock()
        try:
            self._home.check() if self._gate.blocked is None else self._home.restore()
            self._make_room()
        except OSError as error:
            self._gate.failed(error, error.filename or self._session.path)
        return deleted

    def _make_room(self) -> None:
        usage = shutil.disk_usage(self._session.path)
        sizes = self._sizes()
        floor = disk_floor_bytes(self.store, usage.total)
        rate = self._rate(sizes)
        ahead = headroom_bytes(floor, usage.total, rate)
        nothing = False
        if usage.free < floor + ahead and not self._eraser.busy:
            nothing = self._delete_for(floor + ahead - usage.free)
        self.state = DiskState(usage.free, floor, sizes, rate, nothing)
        if usage.free <= floor:
            said = f"{usage.free / 1e9:.1f} GB are free, and {floor / 1e9:.1f} must stay"
            self._gate.block("disk_full", said, at_floor=True)
        elif self._gate.blocked is not None and usage.free > floor + ahead // 2:
            self._open()

    def _delete_for(self, missing_bytes: int) -> bool:
        """Begin to make room. True where nothing may go, which is looked at again after ``AGAIN_NS``."""
        now_ns = self._reading.monotonic_ns
        if self._planned_ns is not None and now_ns - self._planned_ns < AGAIN_NS:
            return True
        session = self._session.path
        below_root = session.parent.resolve() == self.store.root.resolve()
        others = [e for e in list_sessions(self.store.root) if e.path != session] if below_root else []
        chosen = plan(
            others,
            segments_of(session),
            free_bytes=0,
            wanted_bytes=missing_bytes,
            policy=self.store.delete,
            running_kept=self._named_by_hand or (session / KEPT).exists(),
        )
        self._eraser.start(chosen)
        nothing = not (chosen.sessions or chosen.segments)
        self._planned_ns = now_ns if nothing else None
        return nothing

    def _open(self) -> None:
        blocked = self._gate.blocked
        self._home.probe()
        remove_empty(self._session.path)
        self._gate.open()
        sidecar = self._session.sidecar
        for loss in self._gate.take_losses():
            sidecar.drop(loss.stage, loss.cause, camera=loss.camera, seq=loss.seq, count=loss.count)
        if blocked is not None:
            self._tell("the disk can be written to again; recording goes on")
            sidecar.event("disk", cause=blocked.cause, said=blocked.said, ok=True)

    def _note(self, one: Deleted) -> None:
        if one.problem:
            self._tell(f"{one.what} {one.name} cannot be deleted: {one.problem}")
            return
        self._tell(f"deleted {one.what} {one.name} ({one.size_bytes / 1e9:.2f} GB) to make room")
        if one.what == "segment":
            self._session.sidecar.event("deleted", file=one.name, size_bytes=one.size_bytes)

    def _watch_clock(self) -> None:
        now = self._clock()
        changed = change(self._reading, now)
        self._reading = now
        if changed is not None:
            self._tell(str(changed))
            self._utc_line(changed.stepped_s)

    def _utc_line(self, stepped_s: float = 0.0) -> None:
        reading = self._reading
        self._session.sidecar.event(
            "utc",
            utc=reading.utc,
            host_ns=reading.monotonic_ns,
            synchronised=reading.synchronised,
            stepped_s=stepped_s,
        )

    def _sizes(self) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for segment in segments_of(self._session.path):
            sizes[segment.stream] = sizes.get(segment.stream, 0) + segment.size_bytes
        return sizes

    def _rate(self, sizes: dict[str, int]) -> float:
        """Bytes a second of the recording so far."""
        before = self.state.sizes
        self._written += sum(max(0, size - before.get(stream, 0)) for stream, size in sizes.items())
        seconds = (self._reading.monotonic_ns - self._begin_ns) / 1e9
        return self._written / seconds if seconds > 1.0 else 0.0
