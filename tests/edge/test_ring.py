"""The only queue: what goes in comes out once and in order, or is counted as dropped."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.ring import Closed, Ring

PATIENCE_S = 20.0


def ring(capacity: int) -> tuple[Ring[int], list[int]]:
    dropped: list[int] = []
    return Ring("test", capacity, dropped.append), dropped


def drain(source: Ring[int]) -> list[int]:
    out = []
    try:
        while (item := source.get(0)) is not None:
            out.append(item)
    except Closed:
        pass
    return out


def in_thread(work: object) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread


def test_a_full_ring_drops_the_oldest_and_names_it() -> None:
    """The newest picture is worth more; the loss must be counted."""
    source, dropped = ring(3)
    for item in range(5):
        source.put(item)
    assert dropped == [0, 1]
    assert drain(source) == [2, 3, 4]


def test_an_empty_ring_answers_in_time() -> None:
    """A stage must beat while nothing comes."""
    source, _ = ring(1)
    begin = time.monotonic()
    assert source.get(0.02) is None
    assert 0.02 <= time.monotonic() - begin < 5.0
    assert source.get(0) is None


def test_a_closed_ring_gives_what_it_has_and_then_ends() -> None:
    """The last frames of a recording are in there."""
    source, dropped = ring(4)
    source.put(1)
    source.put(2)
    source.close()
    source.put(3)
    assert source.put_waiting(4) is False
    assert dropped == [3, 4]
    assert [source.get(), source.get()] == [1, 2]
    for _ in range(2):
        with pytest.raises(Closed):
            source.get()
    source.close()


def test_close_wakes_a_reader_and_a_writer_that_wait() -> None:
    """Else stopping hangs until the process is killed, with files open."""
    source, dropped = ring(1)
    ends: list[object] = []

    def read() -> None:
        try:
            source.get(None)
        except Closed:
            ends.append("closed")

    reader = in_thread(read)
    source.close()
    reader.join(PATIENCE_S)
    assert ends == ["closed"]

    full, dropped = ring(1)
    full.put(1)
    writer = in_thread(lambda: ends.append(full.put_waiting(2)))
    full.close()
    writer.join(PATIENCE_S)
    assert ends == ["closed", False]
    assert dropped == [2]
    assert drain(full) == [1]


def test_a_patient_source_loses_nothing() -> None:
    """A simulation waits for a slow line; every frame arrives once and in order."""
    source, dropped = ring(2)
    out: list[int] = []

    def read() -> None:
        try:
            while True:
                item = source.get(PATIENCE_S)
                assert item is not None
                out.append(item)
        except Closed:
            return

    reader = in_thread(read)
    assert all(source.put_waiting(item) for item in range(2_000))
    source.close()
    reader.join(PATIENCE_S)
    assert out == list(range(2_000))
    assert dropped == []


def test_nothing_is_lost_or_doubled_between_threads() -> None:
    """Received plus dropped is what was sent, for several producers; each one's order holds."""
    source, dropped = ring(8)
    got: list[int] = []

    def read() -> None:
        try:
            while True:
                item = source.get(PATIENCE_S)
                assert item is not None
                got.append(item)
        except Closed:
            return

    def write(first: int) -> None:
        for item in range(first, first + 3_000):
            source.put(item)

    reader = in_thread(read)
    writers = [in_thread(lambda first=first: write(first)) for first in (0, 10_000)]
    for writer in writers:
        writer.join(PATIENCE_S)
    source.close()
    reader.join(PATIENCE_S)
    assert sorted(got + dropped) == [*range(3_000), *range(10_000, 13_000)]
    for first in (0, 10_000):
        mine = [item for item in got if first <= item < first + 10_000]
        assert mine == sorted(mine)


@settings(deadline=None)
@given(st.integers(1, 5), st.lists(st.sampled_from(["put", "get", "close"]), max_size=60))
def test_it_is_a_bounded_queue(capacity: int, steps: list[str]) -> None:
    """Against the plain list it stands for."""
    source, dropped = ring(capacity)
    model: list[int] = []
    lost: list[int] = []
    closed = False
    for number, step in enumerate(steps):
        if step == "close":
            source.close()
            closed = True
        elif step == "put":
            source.put(number)
            if closed:
                lost.append(number)
            else:
                model.append(number)
                lost += [model.pop(0)] if len(model) > capacity else []
        elif model:
            assert source.get(0) == model.pop(0)
        elif not closed:
            assert source.get(0) is None
        assert len(source) == len(model)
        assert dropped == lost


def test_a_ring_without_room_is_refused() -> None:
    """It would drop every frame."""
    with pytest.raises(ValueError, match="capacity"):
        Ring("none", 0, lambda _: None)


def test_a_drop_report_may_look_at_the_ring() -> None:
    """The report runs outside the lock; under it, a report that asks for the depth would hang the line."""
    depths: list[int] = []
    source: Ring[int] = Ring("deep", 1, lambda _: depths.append(len(source)))
    for item in range(3):
        source.put(item)
    done = in_thread(lambda: source.put(3))
    done.join(PATIENCE_S)
    assert not done.is_alive()
    assert depths == [1, 1, 1]


def test_what_is_given_back_comes_first_again() -> None:
    """A frame that a replaced thread had just taken would be lost, or come out of order."""
    source, dropped = ring(2)
    source.put(1)
    source.put(2)
    first = source.get(0)
    assert first == 1
    source.give_back(first)
    source.close()
    assert drain(source) == [1, 2]
    assert dropped == []


def test_who_waits_for_room_can_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A producer behind a slow consumer would be taken for hung, and replaced."""
    monkeypatch.setattr("edge.ring.WAITING_S", 0.01)
    source, _ = ring(1)
    source.put(1)
    said = threading.Event()
    writer = in_thread(lambda: source.put_waiting(2, said.set))
    assert said.wait(PATIENCE_S)
    assert source.get(PATIENCE_S) == 1
    writer.join(PATIENCE_S)
    assert source.get(0) == 2
