"""The fusion line: stamped frames in, HDR frames out. The daemon and ``refuse`` run this same code.

pair -> develop -> register -> fuse, in the calling thread. Every reference frame comes out exactly once and
in order; what it was made of follows from the pairing, how well from the ladder.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from queue import SimpleQueue

from edge.develop.prepare import Prepared, Preparer
from edge.engines import EngineError
from edge.exposure.anchor import Anchor
from edge.frames import Group, HdrFrame, Rung
from edge.fuse import ladder
from edge.fuse.fuser import Fuser
from edge.fuse.late_engines import Late
from edge.fuse.stopwatch import Stopwatch
from edge.pair import Pairer, Stamped

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fused:
    """One HDR frame and the images it was made from."""

    prepared: Prepared
    hdr: HdrFrame


@dataclass(frozen=True, slots=True)
class LadderPlan:
    """What the ladder may do: rungs best first, what each costs when measured alone, and the deadline.

    ``budget_ns`` None: there is no deadline, the best rung is always used.
    """

    allowed: Sequence[Rung]
    probed_ns: Mapping[Rung, float]
    budget_ns: float | None


class FusionLine:
    """One thread. ``on_drop(cause, frame seq)`` and ``on_rung(rung, cause, t_ns)`` report what happens.

    A network that fails while it runs costs its rung for the rest of the recording, never a frame, and is
    told to ``on_failure(rung, text)``. Without that callback, or without a rung below, its EngineError is
    raised. ``anchor`` keeps the video's brightness steady while the reference exposure changes.
    """

    def __init__(
        self,
        pairer: Pairer,
        preparer: Preparer,
        fuser: Fuser,
        plan: LadderPlan,
        now_ns: Callable[[], int],
        watch: Stopwatch,
        on_drop: Callable[[str, int], None],
        on_rung: Callable[[Rung, str, int], None],
        on_failure: Callable[[Rung, str], None] | None = None,
        anchor: Anchor | None = None,
    ) -> None:
        self._pairer = pairer
        self._preparer = preparer
        self._fuser = fuser
        self._plan = plan
        self._now_ns = now_ns
        self._watch = watch
        self._on_drop = on_drop
        self._on_rung = on_rung
        self._on_failure = on_failure
        self._anchor = anchor
        budget = plan.budget_ns if plan.budget_ns is not None else float("inf")
        self._state = ladder.start(plan.allowed, plan.probed_ns, budget, now_ns())
        self._shown: Rung | None = None
        self._alone = False
        self._hurry = False
        self._offers: SimpleQueue[Late] = SimpleQueue()
        self._ceiling: tuple[Rung, str] = (Rung.MODEL, "")
        self.at: Rung | None = None
        """The rung of the frame in hand, for whoever has to know where the line hangs."""

    @property
    def plan(self) -> LadderPlan:
        """What the ladder may still do: without the rungs that failed."""
        return self._plan

    def limit(self, best: Rung, cause: str) -> None:
        """No rung better than ``best`` from the next frame on, because of ``cause``. Any thread."""
        self._ceiling = (best, cause)

    @property
    def waiting(self) -> int:
        """Reference frames that wait for a nearer pair."""
        return len(self._pairer)

    def offer(self, late: Late) -> None:
        """An engine that became ready meanwhile; the next frame may have it. Any thread."""
        self._offers.put(late)

    def hurry(self) -> None:
        """The end is near: fuse what is left on the cheapest rung that still uses the pair."""
        self._hurry = True

    def add(self, item: Stamped, arrival_ns: int, backlog: int = 0) -> Iterator[Fused]:
        """Take one frame; yield the HDR frames that are now decided.

        ``arrival_ns`` is the host time of the newest arrival, ``backlog`` the number of frames that wait in
        front of this stage.
        """
        with self._watch.stage("pair"):
            lost = self._pairer.add(item, arrival_ns)
            groups = self._pairer.groups(arrival_ns)
        for cause, frame in lost:
            self._on_drop(cause, frame.seq)
        yield from self._fuse_all(groups, backlog)

    def flush(self) -> Iterator[Fused]:
        """The end of the stream: fuse every frame that still waits."""
        yield from self._fuse_all(self._pairer.flush(), 0)

    def _fuse_all(self, groups: Iterable[Group], backlog: int) -> Iterator[Fused]:
        for group in groups:
            yield self._fuse(group, backlog)

    def _fuse(self, group: Group, backlog: int) -> Fused:
        self._take_offers()
        begin_ns = self._now_ns()
        prepared = self._preparer.prepare(group)
        rung, cause = self._choose(group, backlog, begin_ns)
        with self._watch.stage("fuse"):
            hdr, cause = self._on_rungs(prepared, rung, cause)
        self._state = ladder.measured(self._state, hdr.rung, float(self._now_ns() - begin_ns))
        if hdr.rung is not self._shown:
            self._shown = hdr.rung
            self._on_rung(hdr.rung, cause, group.t_ns)
        return Fused(prepared, self._anchored(hdr, group))

    def _anchored(self, hdr: HdrFrame, group: Group) -> HdrFrame:
        """``hdr`` with the scale it is shown at; without an anchor each frame in its own unit."""
        if self._anchor is None:
            return hdr
        exposure = group.reference.exposure
        self._anchor = self._anchor.step(exposure, group.t_ns)
        scale = self._anchor.scale(exposure)
        return hdr if scale == 1.0 else replace(hdr, scale=scale)

    def _take_offers(self) -> None:
        """Between two frames: what was offered is installed, and the ladder told of it."""
        while not self._offers.empty():
            late, plan = self._offers.get(), self._plan
            self._fuser.install(late.rung, late.engine)
            self._plan = replace(
                plan,
                allowed=tuple(sorted({*plan.allowed, late.rung})),
                probed_ns={**plan.probed_ns, late.rung: late.cost_ns},
            )
            budget_ns = plan.budget_ns if plan.budget_ns is not None else float("inf")
            cause, now_ns = f"{late.engine.name} has an engine now", self._now_ns()
            self._state = ladder.renewed(self._state, late.rung, late.cost_ns, budget_ns, cause, now_ns)

    def _on_rungs(self, prepared: Prepared, rung: Rung, cause: str) -> tuple[HdrFrame, str]:
        """Fuse on ``rung`` or, where its network fails, on the next below."""
        while True:
            try:
                self.at = rung
                hdr = self._fuser.fuse(prepared, rung)
                self.at = None
                return hdr, cause
            except EngineError as error:
                rest = tuple(other for other in self._plan.allowed if other is not rung)
                if self._on_failure is None or not any(other > rung for other in rest):
                    raise
                log.warning("%s fails and is given up", rung.name.lower(), exc_info=error)
                self._on_failure(rung, str(error))
                cause = f"{rung.name.lower()} failed"
                self._plan = replace(self._plan, allowed=rest)
                self._state = ladder.failed(self._state, rung, rest, cause, self._now_ns())
                rung = next(other for other in rest if other > rung)

    def _choose(self, group: Group, backlog: int, now_ns: int) -> tuple[Rung, str]:
        if not self._fuser.possible(group, self._state.rung):
            self._alone = True
            return Rung.REFERENCE, "no low/high pair near enough in time"
        was_alone, self._alone = self._alone, False
        if self._hurry:
            cheap = [r for r in self._plan.allowed if r >= Rung.MERGE]
            return (cheap[0] if cheap else self._plan.allowed[-1]), "stopping"
        best, limited_by = self._ceiling
        allowed = ladder.below(self._plan.allowed, best)
        self._state = ladder.limited(self._state, allowed, limited_by, now_ns)
        if self._plan.budget_ns is not None:
            self._state = ladder.step(self._state, allowed, self._plan.budget_ns, backlog, now_ns)
        else:
            self._state = ladder.unhurried(self._state, allowed, now_ns)
        return self._state.rung, "there is a pair again" if was_alone else self._state.cause
