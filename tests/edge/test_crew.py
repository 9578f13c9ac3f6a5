"""The threads of the recorder: watched, named, and ended in order whatever one of them does."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from edge import crew as crew_module
from edge.crew import Crew, StageHungError
from edge.health import Health

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
