"""The daemon's threads: one per stage, each watched, and replaced where its row of the table allows it.

A thread that hangs cannot be ended. It is left behind: its turn is over, and when it comes back to itself it
finds that out before it touches anything its successor uses.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edge.errors import TwinhdrError, first_line
from edge.health.health import Health
from edge.supervise.stages import Spent, Stage

END_S = 10.0
"""How long a stage that cannot be replaced may go without a beat at the end before it counts as hung."""

JOIN_POLL_S = 0.25
LONGEST_LOOK_S = 2.0
"""Time beyond this between two looks was the machine's, or a debugger's, and no stage is blamed for it."""
QUIET_S = 60.0
"""So long after its last restart a stage counts as well again."""

log = logging.getLogger(__name__)


class StageHungError(TwinhdrError):
    """A stage stopped working without an error of its own."""


class TurnOver(Exception):  # noqa: N818 - the end of a thread that was replaced, not an error
    """The stage was given to another thread; this one ends and touches nothing any more."""


class Turn:
    """One thread's time on a stage. ``number`` counts from 0; each successor has the next."""

    def __init__(self, number: int, now_s: float, beaten: Callable[[], None]) -> None:
        self.number = number
        self.beaten_s = now_s
        self.over = False
        self.ended = False
        self.error: BaseException | None = None
        self._beaten = beaten
        self._farewells: list[Callable[[], None]] = []

    def check(self) -> None:
        """Raises TurnOver once the stage was given to another: to be asked before each lasting effect."""
        if self.over:
            raise TurnOver

    def beat(self) -> None:
        """A round of work was done. Raises TurnOver."""
        self.check()
        self._beaten()

    def when_over(self, call: Callable[[], None]) -> None:
        """Have ``call`` made when the turn is taken away, by another thread; it must not wait or raise."""
        self._farewells.append(call)

    def take_away(self) -> None:
        """The crew's: from here on this thread only ends."""
        self.over = True
        for call in self._farewells:
            call()


@dataclass(frozen=True, slots=True)
class Replaced:
    """A stage has ended or hangs, and begins anew as number ``number``."""

    stage: str
    number: int
    why: str


@dataclass(frozen=True, slots=True)
class Watch:
    """How a stage is doing: seconds since its last beat, and how many it may take."""

    stage: str
    age_s: float
    limit_s: float


@dataclass(eq=False)
class _Post:
    """A stage, who is on it, and when it was started again."""

    stage: Stage
    work: Callable[[Turn], None]
    given_up: Callable[[], None]
    turn: Turn
    thread: threading.Thread | None = None
    restarts_s: list[float] = field(default_factory=list)
    due_s: float | None = None
    off: bool = False

    @property
    def busy(self) -> bool:
        return not self.off and not self.turn.ended


class Crew:
    """Starts stages as threads, replaces what falls or hangs, and remembers the first failure for good.

    A stage that cannot be replaced sets ``stopping``: the others finish what they hold, files are closed, and
    the process ends with an error for systemd to restart. ``look`` and ``join`` belong to one thread.
    """

    def __init__(
        self,
        stopping: threading.Event,
        health: Health,
        on_replaced: Callable[[Replaced], None] = lambda _replaced: None,
        clock: Callable[[], float] = time.monotonic,
        waits_for_disk: Callable[[int | None], bool] = lambda _thread: False,
    ) -> None:
        self._stopping = stopping
        self._waits_for_disk = waits_for_disk
        self._health = health
        self._on_replaced = on_replaced
        self._posts: dict[str, _Post] = {}
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._clock = clock
        self._looked_s = clock()
        self._left_behind = 0

    @property
    def failure(self) -> BaseException | None:
        """What ended the recording before its time, if anything did."""
        return self._failure

    def start(self, name: str, work: Callable[[], None], limit_s: float) -> None:
        """Run ``work`` as a stage that nothing can replace; it must beat at least every ``limit_s``."""
        self.post(Stage(name, limit_s, None, Spent.ENDS, "none", ""), lambda _turn: work())

    def post(
        self, stage: Stage, work: Callable[[Turn], None], given_up: Callable[[], None] = lambda: None
    ) -> None:
        """Run ``work`` in a thread. ``given_up`` is called when the stage ends for good before its time."""
        post = self._posts[stage.name] = _Post(stage, work, given_up, self._turn(stage, 0))
        if stage.budget is not None:
            self._health.count("stage_restarts", stage.name, n=0)
        self._begin(post)

    def beat(self, name: str) -> None:
        """Whoever is on the stage ``name`` did a round of work."""
        self._beaten(name, self._posts[name].turn)

    def hangs(self, name: str) -> bool:
        """Whether the stage ``name`` was given up because its thread does not come back."""
        post = self._posts.get(name)
        return post is not None and post.off and post.turn.over

    def watches(self, now_s: float) -> list[Watch]:
        """How the stages are that work now."""
        working = [post for post in self._posts.values() if post.busy and post.due_s is None]
        return [Watch(p.stage.name, now_s - p.turn.beaten_s, p.stage.limit_s) for p in working]

    def look(self, now_s: float) -> None:
        """Replace what has fallen or hangs, and start again what is due."""
        held_up_s = max(0.0, now_s - self._looked_s - LONGEST_LOOK_S)
        self._looked_s = now_s
        for post in self._posts.values():
            post.turn.beaten_s += held_up_s
            if not post.busy:
                continue
            if self._held_by_disk(post):
                post.turn.beaten_s = now_s
            silent_s = now_s - post.turn.beaten_s
            if post.due_s is not None:
                if now_s >= post.due_s:
                    self._begin(post)
            elif post.turn.error is not None:
                self._again(post, post.turn.error, first_line_of(post.turn.error), now_s)
            elif silent_s > post.stage.limit_s and self._take_away(post):
                why = f"it has not moved for {silent_s:.1f} s"
                self._again(post, StageHungError(f"stage {post.stage.name} hangs: {why}"), why, now_s)
            elif post.restarts_s and now_s - post.restarts_s[-1] > QUIET_S:
                self._condition(post, True, "")

    def join(self, prefix: str = "") -> None:
        """Wait for the stages whose name begins so, as long as they make progress; ``look`` meanwhile.

        A stage that cannot be replaced and has not beaten for END_S is hung: it is named, left behind, and
        counts as a failure.
        """
        for post in self._posts.values():
            while post.stage.name.startswith(prefix) and post.busy:
                if post.due_s is None and post.thread is not None:
                    post.thread.join(JOIN_POLL_S)
                else:
                    time.sleep(JOIN_POLL_S)  # until its successor is due
                now_s = self._clock()
                self.look(now_s)
                hung = post.busy and post.stage.budget is None and now_s - post.turn.beaten_s > END_S
                if hung and self._take_away(post):
                    post.off = True
                    text = f"stage {post.stage.name} does not end; what it holds is lost"
                    self._fail(StageHungError(text))

    def _turn(self, stage: Stage, number: int) -> Turn:
        turn = Turn(number, self._clock(), lambda: self._beaten(stage.name, turn))
        return turn

    def _beaten(self, name: str, turn: Turn) -> None:
        turn.beaten_s = self._clock()
        self._health.beat(name, time.monotonic_ns())

    def _begin(self, post: _Post) -> None:
        stage, post.due_s = post.stage, None
        turn = post.turn = self._turn(stage, len(post.restarts_s))
        self._health.watch(stage.name, time.monotonic_ns(), round(stage.limit_s * 1e9))
        post.thread = threading.Thread(target=self._run, args=(post, turn), name=stage.name, daemon=True)
        post.thread.start()

    def _run(self, post: _Post, turn: Turn) -> None:
        error: BaseException | None = None
        try:
            post.work(turn)
        except TurnOver:
            pass
        except BaseException as raised:  # noqa: BLE001 - kept, reported and raised again by the daemon
            error = raised
        with self._lock:
            turn.error, turn.ended = error, error is None or post.stage.budget is None
            over = turn.over
            if over:
                self._left_behind -= 1
        name = post.stage.name
        if over:
            self._health.gauge("threads_left_behind", self._left_behind)
            log.info("stage %s: the thread that hung has ended%s", name, f": {error}" if error else "")
            return
        self._health.unwatch(name)
        if error is not None:
            log.error("stage %s ended: %s", name, error, exc_info=None if _expected(error) else error)
            if post.stage.budget is None:
                self._fail(error)

    def _held_by_disk(self, post: _Post) -> bool:
        """A successor would wait for the same disk, and soon there would be none left to start.

        At the end of the recording no disk is waited for any longer than a stage may hang.
        """
        ident = None if post.thread is None else post.thread.ident
        return not self._stopping.is_set() and self._waits_for_disk(ident)

    def _take_away(self, post: _Post) -> bool:
        """Leave the thread behind; False where it has ended meanwhile."""
        turn = post.turn
        with self._lock:
            if turn.ended or turn.error is not None:
                return False
            turn.over = True
            self._left_behind += 1
        turn.take_away()
        self._health.gauge("threads_left_behind", self._left_behind)
        return True

    def _again(self, post: _Post, error: BaseException, why: str, now_s: float) -> None:
        """Start the stage again when its budget allows it."""
        stage = post.stage
        post.due_s = None if stage.budget is None else stage.budget.next_start_s(post.restarts_s, now_s)
        self._health.unwatch(stage.name)
        if post.due_s is not None:
            post.restarts_s.append(now_s)
            self._health.count("stage_restarts", stage.name)
            self._condition(post, False, f"it was started again ({len(post.restarts_s)}): {why}.")
            self._on_replaced(Replaced(stage.name, len(post.restarts_s), why))
            if now_s >= post.due_s:
                self._begin(post)
            return
        post.off = True
        post.given_up()
        log.error("stage %s is given up: %s; %s", stage.name, why, stage.spent.value)
        if stage.spent is Spent.ENDS:
            self._fail(error)
        else:
            self._condition(post, False, f"it is off: {why}.", "Restart twinhdr to try again.")

    def _condition(self, post: _Post, ok: bool, text: str, todo: str = "") -> None:
        name, todo = f"stage {post.stage.name}", todo or f"Lost: {post.stage.lost}."
        self._health.condition(name, ok, time.monotonic_ns(), text, todo, "warning")

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if self._failure is None:
                self._failure = error
        self._stopping.set()


def first_line_of(error: BaseException) -> str:
    """What an error says, in one line."""
    return first_line(error) if isinstance(error, Exception) else type(error).__name__


def _expected(error: BaseException) -> bool:
    return isinstance(error, TwinhdrError)
