"""The threads of the recorder: watched, named, and ended in order whatever one of them does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge.health.health import Health
from edge.supervise import crew as crew_module
from edge.supervise.budget import Budget
from edge.supervise.crew import Crew, Replaced, StageHungError, Turn
from edge.supervise.stages import STAGES, Spent, Stage, as_markdown

PATIENCE_S = 20.0


@pytest.fixture
def made() -> tuple[Crew, threading.Event, Health]:
    stopping, health = threading.Event(), Health()
    return Crew(stopping, health), stopping, health


def watched(health: Health) -> set[str]:
    return {beat.stage for beat in health.snapshot(0).beats}


def raising(error: BaseException) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


def test_a_stage_is_watched_while_it_runs(made: tuple[Crew, threading.Event, Health]) -> None:
    """The watchdog needs to know who should be alive, and who has ended as it should."""
    crew, stopping, health = made
    go = threading.Event()
    crew.start("fuse", lambda: go.wait(PATIENCE_S) and None, 10.0)
    assert watched(health) == {"fuse"}
    go.set()
    crew.join()
    assert watched(health) == set()
    assert crew.failure is None
    assert not stopping.is_set()


@pytest.mark.parametrize("error", [ValueError("bad frame"), SystemExit(3), MemoryError()])
def test_the_first_failure_stops_all_and_is_kept(
    made: tuple[Crew, threading.Event, Health], error: BaseException
) -> None:
    """A stage that dies alone would leave a recorder that runs and records nothing."""
    crew, stopping, health = made
    crew.start("encode", raising(error), 10.0)
    assert stopping.wait(PATIENCE_S)
    crew.start("fuse", raising(RuntimeError("later")), 10.0)
    crew.join()
    assert crew.failure is error
    assert watched(health) == set()


def test_the_others_end_their_work(made: tuple[Crew, threading.Event, Health]) -> None:
    """What they hold is written before the process goes."""
    crew, stopping, _ = made
    done: list[str] = []

    def work() -> None:
        stopping.wait(PATIENCE_S)
        done.append("written")

    crew.start("encode", work, 10.0)
    crew.start("fuse", raising(ValueError("x")), 10.0)
    crew.join()
    assert done == ["written"]


def test_stages_are_joined_by_the_beginning_of_their_name(made: tuple[Crew, threading.Event, Health]) -> None:
    """Capture ends first, then its rings close; waiting for all at once would hang."""
    crew, _, _ = made
    go = threading.Event()
    crew.start("capture reference", lambda: None, 10.0)
    crew.start("fuse", lambda: go.wait(PATIENCE_S) and None, 10.0)
    crew.join("capture")
    assert not go.is_set()
    go.set()
    crew.join()


def test_a_hung_stage_is_named_and_left_behind(
    made: tuple[Crew, threading.Event, Health], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver that never returns must not keep the files of the others open."""
    monkeypatch.setattr(crew_module, "END_S", 0.05)
    monkeypatch.setattr(crew_module, "JOIN_POLL_S", 0.01)
    crew, stopping, _ = made
    go = threading.Event()
    crew.start("encode", lambda: go.wait(PATIENCE_S) and None, 10.0)
    try:
        crew.join()
        assert isinstance(crew.failure, StageHungError)
        assert "encode" in str(crew.failure)
        assert stopping.is_set()
    finally:
        go.set()


def test_a_slow_stage_that_beats_is_waited_for(
    made: tuple[Crew, threading.Event, Health], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last seconds of video take their time on a small machine."""
    monkeypatch.setattr(crew_module, "END_S", 0.2)
    monkeypatch.setattr(crew_module, "JOIN_POLL_S", 0.01)
    crew, _, _ = made
    pause, done = threading.Event(), []

    def work() -> None:
        for _ in range(25):
            pause.wait(0.02)
            crew.beat("encode")
        done.append(True)

    crew.start("encode", work, 10.0)
    crew.join()
    assert done == [True]
    assert crew.failure is None


ROW = Stage("fuse", 5.0, Budget(restarts=2, window_s=100.0, pause_s=4.0), Spent.ENDS, "another", "a frame")
SPARE = replace(ROW, name="viewer", spent=Spent.LEFT_OFF)


class Hung:
    """Work that hangs until ``go``, and then tries to touch what is its successor's."""

    def __init__(self) -> None:
        self.go, self.begun = threading.Event(), threading.Semaphore(0)
        self.turns: list[Turn] = []
        self.touched: list[int] = []

    def __call__(self, turn: Turn) -> None:
        self.turns.append(turn)
        self.begun.release()
        self.go.wait(PATIENCE_S)
        turn.check()
        self.touched.append(turn.number)


def total(health: Health, name: str, *labels: str) -> float:
    snapshot = health.snapshot(0)
    return snapshot.totals.get(name, {}).get(labels, snapshot.gauges.get(name, {}).get(labels, 0.0))


def test_who_hangs_is_replaced_and_touches_nothing_afterwards(
    made: tuple[Crew, threading.Event, Health],
) -> None:
    """Two threads in one file are worse than one that hangs."""
    _, stopping, health = made
    replaced: list[Replaced] = []
    now_s = [100.0]
    crew, work, said = Crew(stopping, health, replaced.append, lambda: now_s[0]), Hung(), []
    crew.post(ROW, work)
    assert work.begun.acquire(timeout=PATIENCE_S)
    work.turns[0].when_over(lambda: said.append("retired"))
    for now_s[0] in (101.5, 103.0, 104.9):
        crew.look(now_s[0])
    assert replaced == []
    now_s[0] = 105.2
    crew.look(now_s[0])
    assert work.begun.acquire(timeout=PATIENCE_S)
    assert said == ["retired"], "before its successor begins"
    assert [(r.stage, r.number) for r in replaced] == [("fuse", 1)]
    assert total(health, "threads_left_behind") == 1
    assert watched(health) == {"fuse"}
    work.go.set()
    crew.join()
    assert work.touched == [1], "only the one whose turn it was"
    assert crew.failure is None
    assert total(health, "stage_restarts", "fuse") == 1
    assert _becomes(lambda: total(health, "threads_left_behind") == 0)


def _becomes(true: Callable[[], bool]) -> bool:
    end_s = time.monotonic() + PATIENCE_S
    while not true() and time.monotonic() < end_s:
        time.sleep(0.01)  # polls another thread's last act
    return true()


def test_who_waits_for_the_disk_is_not_replaced(made: tuple[Crew, threading.Event, Health]) -> None:
    """A card that is busy with itself for half a minute must not end a recording: three successors would."""
    _, stopping, health = made
    now_s, waiting = [100.0], [True]
    crew, work = Crew(stopping, health, clock=lambda: now_s[0], waits_for_disk=lambda _: waiting[0]), Hung()
    crew.post(ROW, work)
    assert work.begun.acquire(timeout=PATIENCE_S)
    for now_s[0] in [100.0 + seconds for seconds in range(60)]:
        crew.look(now_s[0])
        assert [watch.age_s for watch in crew.watches(now_s[0])] == [0.0], "the watchdog is fed"
    assert total(health, "stage_restarts", "fuse") == 0
    waiting[0] = False  # the disk has answered, and the stage hangs all the same
    for now_s[0] in [160.0 + seconds for seconds in range(8)]:
        crew.look(now_s[0])
    assert total(health, "stage_restarts", "fuse") == 1
    work.go.set()
    crew.join()


def test_at_the_end_no_disk_is_waited_for(
    made: tuple[Crew, threading.Event, Health], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that does not stop because its disk is dead would hold up the shutdown."""
    monkeypatch.setattr(crew_module, "JOIN_POLL_S", 0.01)
    _, stopping, health = made
    crew, work = Crew(stopping, health, waits_for_disk=lambda _: True), Hung()
    crew.post(replace(ROW, limit_s=0.1, budget=Budget(restarts=0)), work)
    assert work.begun.acquire(timeout=PATIENCE_S)
    stopping.set()
    crew.join()
    assert isinstance(crew.failure, StageHungError)
    work.go.set()


@pytest.mark.parametrize("row", [ROW, SPARE])
def test_a_budget_ends(made: tuple[Crew, threading.Event, Health], row: Stage) -> None:
    """At once, after a pause, and then no more: the recording ends, or goes on without a spare stage."""
    crew, stopping, health = made
    begun, closed = threading.Semaphore(0), []

    def work(_turn: Turn) -> None:
        begun.release()
        raise ValueError("bad frame")

    def ended() -> bool:
        return row.name not in watched(health)

    crew.post(row, work, lambda: closed.append(row.name))
    now_s = time.monotonic()
    for wait_s in (0.0, 4.0):
        assert begun.acquire(timeout=PATIENCE_S)
        assert _becomes(ended)
        crew.look(now_s)
        if wait_s:
            assert not begun.acquire(blocking=False), "not before its pause"
        now_s += wait_s
        crew.look(now_s)
    assert begun.acquire(timeout=PATIENCE_S)
    assert _becomes(ended)
    assert closed == []
    crew.look(now_s)
    assert closed == [row.name], "nobody waits for it any more"
    assert isinstance(crew.failure, ValueError) is (row is ROW)
    assert stopping.is_set() is (row is ROW)
    crew.join()
    assert total(health, "stage_restarts", row.name) == 2


def test_restarts_long_ago_are_forgiven() -> None:
    """A card that stalls once an hour must not end the week's recording."""
    budget = Budget(restarts=2, window_s=100.0, pause_s=4.0)
    assert budget.next_start_s([], 0.0) == 0.0
    assert budget.next_start_s([0.0], 10.0) == 14.0
    assert budget.next_start_s([0.0, 10.0], 20.0) is None
    assert budget.next_start_s([0.0, 10.0], 105.0) == 109.0
    assert budget.next_start_s([0.0, 10.0], 111.0) == 111.0


def test_a_machine_that_stood_still_blames_no_stage(made: tuple[Crew, threading.Event, Health]) -> None:
    """After a suspend, or a debugger's stop, every stage would be replaced at once."""
    crew, _, health = made
    work = Hung()
    crew.post(ROW, work)
    assert work.begun.acquire(timeout=PATIENCE_S)
    crew.look(time.monotonic() + 3600.0)
    assert total(health, "stage_restarts", "fuse") == 0
    work.go.set()
    crew.join()


def test_a_stage_that_fell_is_replaced_to_finish_what_waits(
    made: tuple[Crew, threading.Event, Health],
) -> None:
    """At the end of a recording its ring still holds frames."""
    crew, stopping, _ = made
    left = [1, 2, 3]

    def work(_turn: Turn) -> None:
        if left.pop() == 3:
            raise ValueError("bad frame")
        left.clear()

    stopping.set()
    crew.post(ROW, work)
    crew.join()
    assert left == []
    assert crew.failure is None


def test_every_row_of_the_table_is_a_promise() -> None:
    """A hung stage is replaced within ten seconds, and what ends the process says so."""
    for name, row in STAGES.items():
        assert row.name == name
        assert row.limit_s < 10.0
        assert row.budget is not None or row.spent is Spent.ENDS
    document = Path(__file__).parents[3] / "docs" / "supervisor.md"
    assert as_markdown() in document.read_text(), "run: python -m edge.supervise.stages"
