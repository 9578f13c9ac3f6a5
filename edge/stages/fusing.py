"""The fusion stage: a line that can be replaced by another one, a rung below, without losing its frames."""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from edge.frames import CameraName, HdrFrame, Rung
from edge.fuse.assembly import Reports, build_line
from edge.fuse.late_engines import Late
from edge.fuse.line import Fused, FusionLine, LadderPlan
from edge.fuse.stopwatch import Stopwatch
from edge.pair import Stamped
from edge.stages.parts import Parts
from edge.stages.rings import Rings, each
from edge.supervise.crew import Turn
from edge.supervise.heat import Allowance
from edge.supervise.stages import Stage

KEPT_SECONDARY = 8
"""Four pairs: what a new line needs to pair the frames that the one before has not finished."""
SLOWEST_SHARE = 8.0
"""A round of fusing hangs when it takes so many times what the slowest rung in use was measured at."""


class Unfused:
    """Frames that a line has taken and not yet given back."""

    def __init__(self) -> None:
        self._reference: deque[Stamped] = deque()
        self._secondary: deque[Stamped] = deque(maxlen=KEPT_SECONDARY)

    def taken(self, item: Stamped) -> None:
        """A line was given ``item``."""
        (self._reference if item.frame.camera == "reference" else self._secondary).append(item)

    def fused(self, hdr: HdrFrame) -> None:
        """A line gave back ``hdr``; lines keep the order."""
        while self._reference and self._reference[0].t_ns <= hdr.t_ns:
            self._reference.popleft()

    def give_up(self) -> Stamped | None:
        """The frame that was in hand, taken out."""
        return self._reference.popleft() if self._reference else None

    def items(self) -> list[Stamped]:
        """In order of arrival."""
        return list(heapq.merge(self._secondary, self._reference, key=lambda item: item.frame.t_host_ns))


def lesson(plan: LadderPlan, hung_at: Rung | None) -> LadderPlan:
    """The plan after a line hung on ``hung_at`` (None: elsewhere).

    A network that does not return takes all networks with it: they share a device and its driver.
    """
    if hung_at is None:
        return plan
    best = Rung.MERGE if hung_at < Rung.MERGE else Rung.REFERENCE
    allowed = tuple(rung for rung in plan.allowed if rung >= best)
    return replace(plan, allowed=allowed or (Rung.REFERENCE,))


class Fusing:
    """``deliver`` gets each fused frame, in the thread that fused it."""

    def __init__(
        self, parts: Parts, rings: Rings, watch: Stopwatch, deliver: Callable[[Fused, Turn], None]
    ) -> None:
        self._parts = parts
        self._rings = rings
        self._watch = watch
        self._deliver = deliver
        self._plan = parts.fusion.plan
        self._line: FusionLine | None = None
        self._late: list[Late] = []
        self._unfused = Unfused()
        self._hung = self._networks_hung = False
        self._allowance = Allowance()
        self._hurrying = threading.Event()

    def patient(self, row: Stage) -> Stage:
        """Its row of the table, with time for the slowest rung in use, which may take seconds."""
        budget_ns = self._plan.budget_ns
        costs = [self._plan.probed_ns.get(rung, 0.0) for rung in self._plan.allowed]
        used = [cost for cost in costs if budget_ns is None or cost <= budget_ns]
        return row.patient(SLOWEST_SHARE * max(used, default=0.0) / 1e9)

    def offer(self, late: Late) -> None:
        """An engine that became ready meanwhile. Any thread."""
        self._late.append(late)
        if self._line is not None and not self._networks_hung:
            self._line.offer(late)

    def hurry(self) -> None:
        """The end is near: what waits goes on the merge. Safe in a signal handler."""
        self._hurrying.set()

    def allow(self, allowance: Allowance) -> None:
        """What heat and power leave. Any thread."""
        self._allowance = allowance

    def run(self, turn: Turn) -> None:
        """Fuse until the ring ends."""
        if turn.number:
            self._learn()
        line = self._line = self._build(turn)
        for late in [] if self._networks_hung else list(self._late):
            line.offer(late)
        turn.when_over(partial(self._lost, line))
        for item in self._unfused.items():
            self._feed(line, turn, item)
        each(self._rings.frames, turn, partial(self._take, line, turn))
        self._flush(line, turn)

    def _take(self, line: FusionLine, turn: Turn, item: Stamped) -> None:
        if not self._allowance.fused:
            self._flush(line, turn)
            if item.frame.camera == "reference":
                self._parts.reporter.stage_drop("fuse", "heat", item.frame.seq, "reference")
            return
        self._unfused.taken(item)
        self._feed(line, turn, item)

    def _feed(self, line: FusionLine, turn: Turn, item: Stamped) -> None:
        if self._hurrying.is_set():
            line.hurry()
        line.limit(self._allowance.best, self._allowance.cause)
        for fused in line.add(item, item.frame.t_host_ns, len(self._rings.frames)):
            self._hand_on(turn, fused)

    def _flush(self, line: FusionLine, turn: Turn) -> None:
        for fused in line.flush():
            self._hand_on(turn, fused)

    def _hand_on(self, turn: Turn, fused: Fused) -> None:
        turn.beat()
        self._unfused.fused(fused.hdr)
        self._parts.reporter.fused(fused.hdr)
        self._deliver(fused, turn)

    def _lost(self, line: FusionLine) -> None:
        """The thread hangs: called by the one that found out, before the next begins."""
        hung_at = line.at
        self._hung = True
        self._networks_hung |= hung_at is not None and hung_at < Rung.MERGE
        self._plan = lesson(line.plan, hung_at)

    def _learn(self) -> None:
        """Before a new line begins: whose frame was it that the one before failed on?"""
        hung, self._hung = self._hung, False
        if hung or self._line is None:
            return  # nothing is wrong with the frame
        self._plan = self._line.plan
        failed = self._unfused.give_up()
        if failed is not None:
            self._parts.reporter.stage_drop("fuse", "failed", failed.frame.seq, "reference")

    def _build(self, turn: Turn) -> FusionLine:
        parts, report = self._parts, self._parts.reporter

        def dropped(cause: str, seq: int) -> None:
            turn.check()
            camera: CameraName = "secondary"
            report.stage_drop("pair", cause, seq, camera)

        def rung_changed(rung: Rung, cause: str, t_ns: int) -> None:
            turn.check()
            report.rung_changed(rung, cause, t_ns)

        def rung_failed(rung: Rung, text: str) -> None:
            turn.check()
            report.rung_failed(rung, text)

        return build_line(
            parts.config,
            parts.opened.as_source(),
            {rung: e for rung, e in parts.fusion.engines.items() if rung in self._plan.allowed},
            self._plan,
            wait_ns=round(parts.config.pair.wait_ms * 1e6),
            watch=self._watch,
            reports=Reports(dropped, rung_changed, rung_failed),
        )
