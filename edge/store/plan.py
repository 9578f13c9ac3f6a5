"""What may be deleted so that the disk stays above its floor: pure decisions, figures in, names out.

Whole sessions go first, the oldest of those that this program named itself, that nobody keeps and nobody is
using. Only when none is left, and only where the configuration says so, the oldest finished files of the
running session go. A kept session, a folder that a person named, and a file that is open are never touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from edge.store.catalogue import SessionEntry

Policy = Literal["sessions", "segments", "never"]

AHEAD_S: Final = 20.0
"""Deleting begins this long before the floor is reached, because on a slow card it takes its time."""
LEAST_AHEAD_BYTES: Final = 64_000_000
SHARE_AHEAD: Final = 0.1
"""of the floor; and never more than ``MOST_AHEAD`` of the disk."""
MOST_AHEAD: Final = 0.05
FILES_LEFT: Final = 2
"""Newest files of each stream that stay: the open one, and the one that may just have been closed."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of the running session: its stream, the path below the session, its number and size."""

    stream: str
    file: str
    number: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What to delete, oldest first. ``enough``: with it the disk is above its floor."""

    sessions: tuple[SessionEntry, ...] = ()
    segments: tuple[Segment, ...] = ()
    enough: bool = True


def headroom_bytes(floor_bytes: int, total_bytes: int, bytes_per_s: float) -> int:
    """How far above the floor deleting begins, and ends."""
    wanted = max(SHARE_AHEAD * floor_bytes, AHEAD_S * bytes_per_s, LEAST_AHEAD_BYTES)
    return round(min(wanted, MOST_AHEAD * total_bytes))


def plan(
    sessions: Sequence[SessionEntry],
    running: Iterable[Segment],
    *,
    free_bytes: int,
    wanted_bytes: int,
    policy: Policy,
    running_kept: bool = False,
) -> Plan:
    """What brings ``free_bytes`` up to ``wanted_bytes``. ``sessions`` in order, oldest first."""
    missing = wanted_bytes - free_bytes
    if missing <= 0 or policy == "never":
        return Plan(enough=missing <= 0)
    chosen: list[SessionEntry] = []
    for entry in sessions:
        if missing > 0 and may_go(entry):
            chosen.append(entry)
            missing -= entry.size_bytes
    segments: list[Segment] = []
    if policy == "segments" and not running_kept:
        for segment in oldest_first(running):
            if missing > 0:
                segments.append(segment)
                missing -= segment.size_bytes
    return Plan(tuple(chosen), tuple(segments), missing <= 0)


def may_go(entry: SessionEntry) -> bool:
    """Whether nobody would miss it: it has a name of ours, is not kept, and nobody records it."""
    return entry.number is not None and not entry.kept and entry.state != "recording"


def oldest_first(running: Iterable[Segment]) -> list[Segment]:
    """The finished files of all streams by age.

    All streams span the same time, so files at equal shares of their streams are equally old: the clock,
    which may have jumped, is not asked.
    """
    streams: dict[str, list[Segment]] = {}
    for segment in running:
        streams.setdefault(segment.stream, []).append(segment)
    placed: list[tuple[float, str, Segment]] = []
    for stream, files in streams.items():
        files.sort(key=lambda segment: segment.number)
        placed += [(place / len(files), stream, file) for place, file in enumerate(files[:-FILES_LEFT])]
    return [segment for _, _, segment in sorted(placed, key=lambda p: p[:2])]
