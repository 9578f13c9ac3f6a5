"""What is deleted, in which order, and what never is: decisions without a disk."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from edge.store.catalogue import SessionEntry, State
from edge.store.plan import FILES_LEFT, Segment, headroom_bytes, may_go, oldest_first, plan
from edge.store.wallclock import Reading, change

GB = 10**9
S = 10**9


def entry(
    number: int, size: int = GB, state: State = "clean", kept: bool = False, name: str = ""
) -> SessionEntry:
    name = name or f"s{number:06d}-20260722T120000Z"
    return SessionEntry(name, Path("/store") / name, None, 1.0, size, state, kept)


def files(stream: str, count: int, size: int = 1000) -> list[Segment]:
    return [Segment(stream, f"{stream}/{n:06d}", n, size) for n in range(count)]


def test_the_oldest_go_first_and_no_more_than_needed() -> None:
    """Each session too many is a day of somebody's work."""
    chosen = plan([entry(n) for n in range(1, 6)], [], free_bytes=0, wanted_bytes=2 * GB, policy="sessions")
    assert [e.number for e in chosen.sessions] == [1, 2]
    assert chosen.enough


def test_nothing_goes_while_there_is_room() -> None:
    """Room is the only reason."""
    chosen = plan([entry(1)], files("hdr", 9), free_bytes=GB, wanted_bytes=GB, policy="segments")
    assert (chosen.sessions, chosen.segments, chosen.enough) == ((), (), True)


def test_what_must_stay_stays() -> None:
    """Kept, recorded, named by a person: not for any shortage."""
    stay = [entry(1, kept=True), entry(2, state="recording"), entry(0, name="wedding"), entry(0, name="s1-x")]
    chosen = plan([*stay, entry(3)], files("hdr", 9), free_bytes=0, wanted_bytes=99 * GB, policy="sessions")
    assert [e.number for e in chosen.sessions] == [3]
    assert chosen.segments == ()
    assert not chosen.enough


def test_never_means_never() -> None:
    """Somebody who says so deletes by hand."""
    chosen = plan([entry(1)], files("hdr", 9), free_bytes=0, wanted_bytes=GB, policy="never")
    assert (chosen.sessions, chosen.segments, chosen.enough) == ((), (), False)


def test_files_of_the_running_session_only_after_all_sessions() -> None:
    """It is the newest: its beginning goes last, oldest first over all its streams, never if it is kept."""
    running = files("hdr", 4) + files("reference", 8)
    wanted = GB + 2500
    chosen = plan([entry(1)], running, free_bytes=0, wanted_bytes=wanted, policy="segments")
    assert [s.file for s in chosen.segments] == ["hdr/000000", "reference/000000", "reference/000001"]
    assert chosen.enough
    kept = plan([entry(1)], running, free_bytes=0, wanted_bytes=wanted, policy="segments", running_kept=True)
    assert kept.segments == ()


@given(st.dictionaries(st.sampled_from(["hdr", "reference", "secondary"]), st.integers(0, 30)))
def test_open_files_are_never_chosen(counts: dict[str, int]) -> None:
    """Deleting the file that is being written loses it and every frame to come."""
    running = [segment for stream, count in counts.items() for segment in files(stream, count)]
    chosen = oldest_first(running)
    for stream, count in counts.items():
        numbers = [s.number for s in chosen if s.stream == stream]
        assert numbers == sorted(numbers)
        assert all(number < count - FILES_LEFT for number in numbers)


@given(
    st.lists(
        st.tuples(
            st.integers(0, GB), st.sampled_from(["clean", "torn", "recording", "unreadable"]), st.booleans()
        )
    ),
    st.integers(0, 5 * GB),
    st.integers(0, 5 * GB),
    st.sampled_from(["sessions", "segments", "never"]),
)
def test_a_plan_keeps_its_promises(
    rows: list[tuple[int, State, bool]],
    free: int,
    wanted: int,
    policy: Literal["sessions", "segments", "never"],
) -> None:
    """For any disk: enough where it says so, protected ones untouched, none deleted in vain."""
    sessions = [entry(n + 1, size, state, kept) for n, (size, state, kept) in enumerate(rows)]
    running = files("hdr", 7)
    chosen = plan(sessions, running, free_bytes=free, wanted_bytes=wanted, policy=policy)
    assert all(may_go(e) for e in chosen.sessions)
    gained = sum(e.size_bytes for e in chosen.sessions) + sum(s.size_bytes for s in chosen.segments)
    assert chosen.enough == (free + gained >= wanted)
    if chosen.sessions and not chosen.segments:
        assert free + gained - chosen.sessions[-1].size_bytes < wanted
    if chosen.segments:
        assert {e.name for e in sessions if may_go(e)} == {e.name for e in chosen.sessions}


def test_deleting_begins_before_the_floor() -> None:
    """At the floor recording pauses; a slow card must have had its time before."""
    assert headroom_bytes(5 * GB, 100 * GB, 0.0) == GB // 2
    assert headroom_bytes(5 * GB, 1000 * GB, 100e6) == 2 * GB
    assert headroom_bytes(0, 1000 * GB, 0.0) == 64_000_000
    assert headroom_bytes(0, 64_000_000, 1e9) == 3_200_000


def test_a_clock_that_jumps_is_noticed_and_a_slow_one_is_not() -> None:
    """A time server sets the clock by a day in mid-recording: it is told, with the offset."""
    before = Reading(0, 1_000 * S, False)
    assert change(before, Reading(S, 1_001 * S, False)) is None
    assert change(before, Reading(S, 1_001 * S + 400_000_000, False)) is None
    for step in (86_400, -86_400, 1, -1):
        found = change(before, Reading(S, (1_001 + step) * S, False))
        assert found is not None
        assert found.stepped_s == step
        assert f"jumped by {step:+.1f} s" in str(found)
    found = change(before, Reading(S, 1_001 * S, True))
    assert found is not None
    assert found.stepped_s == 0.0
    assert "it is synchronised" in str(found)
