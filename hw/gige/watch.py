"""When a camera counts as silent. Pure; the caller brings the time."""

from __future__ import annotations

import enum
from dataclasses import dataclass

SILENT_NS = 600_000_000
SILENT_PERIODS = 3
GIVEN_UP_NS = 1_200_000_000
"""A camera that answers but sends nothing is opened anew after this."""
EDGE_NS = 2_000_000_000
"""So long after the common edge the first frame has to be here, the longest exposure included."""


class Verdict(enum.Enum):
    """What the age of the last frame means."""

    FINE = "frames come"
    ARMED = "it waits for the start edge"
    NO_EDGE = "the edge was given and no frame came"
    SILENT = "no frame for too long"


@dataclass(frozen=True, slots=True)
class Watched:
    """``since_ns``: when it was last told to film, or given the edge. ``last_ns`` of the last frame."""

    since_ns: int
    last_ns: int | None
    armed: bool
    edge_given: bool

    @property
    def frames(self) -> bool:
        return self.last_ns is not None


def silent_for_ns(watched: Watched, now_ns: int) -> int:
    """Age of the last frame, or of the start where none came yet."""
    last_ns = watched.since_ns if watched.last_ns is None else watched.last_ns
    return now_ns - max(last_ns, watched.since_ns)


def judge(watched: Watched, now_ns: int, period_ns: int) -> Verdict:
    """Whether frames come as they should at ``now_ns``."""
    age_ns = silent_for_ns(watched, now_ns)
    if not watched.frames and watched.armed:
        if not watched.edge_given:
            return Verdict.ARMED
        return Verdict.NO_EDGE if age_ns > EDGE_NS else Verdict.FINE
    return Verdict.SILENT if age_ns > max(SILENT_NS, SILENT_PERIODS * period_ns) else Verdict.FINE
