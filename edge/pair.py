"""Timestamps to groups: which low and high frame go with which reference frame.

The secondary camera alternates; a *pair* is a low and the high frame next to it. Where one of them is taken
twice in a row, the first of the two goes with the partner that came before it. For each reference frame the
pair whose middle is nearest in mid-exposure time is chosen, so that a run of reference frames (about four at
30 + 15 frames per second) shares one pair and what depends on the pair alone is computed once.

Nothing here reads a clock: the caller passes the time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from edge.frames import Exposure, Frame, Group

MIN_EV_STEP = 0.3
"""A secondary frame closer than this to the reference exposure is neither low nor high."""
MAX_PAIRS = 64
FEWEST_PAIRS = 4
KEPT_NS = 2_000_000_000
"""Pairs are kept so long behind the newest: a reference frame arrives half its exposure after its middle."""
MAX_PENDING = 64
MAX_EARLY = 8


@dataclass(frozen=True, slots=True)
class Stamped:
    """A frame and the middle of its exposure in session time (ns, reference camera's clock)."""

    frame: Frame
    t_ns: int


@dataclass(frozen=True, slots=True)
class Pair:
    """A low and a high frame that are neighbours in time."""

    low: Stamped
    high: Stamped

    @property
    def t_ns(self) -> int:
        """The middle between both exposures' middles."""
        return (self.low.t_ns + self.high.t_ns) // 2


def is_low(exposure: Exposure, reference: Exposure) -> bool | None:
    """True for a low, False for a high exposure, None where it is too near the reference to tell."""
    ev = exposure.ev_from(reference)
    if abs(ev) < MIN_EV_STEP:
        return None
    return ev < 0


def nearest_pair(t_ns: int, pairs: Iterable[Pair]) -> Pair | None:
    """The pair whose middle is nearest to ``t_ns``; of two equally near the earlier one."""
    return min(pairs, key=lambda p: (abs(p.t_ns - t_ns), p.t_ns), default=None)


def make_group(reference: Stamped, pair: Pair | None, max_age_ns: int) -> Group:
    """The group of one reference frame. A frame older (or newer) than ``max_age_ns`` is left out."""
    if pair is None:
        return Group(reference.t_ns, reference.frame, None, None, None, None)
    low_age = reference.t_ns - pair.low.t_ns
    high_age = reference.t_ns - pair.high.t_ns
    low = pair.low.frame if abs(low_age) <= max_age_ns else None
    high = pair.high.frame if abs(high_age) <= max_age_ns else None
    return Group(
        reference.t_ns,
        reference.frame,
        low,
        high,
        low_age if low is not None else None,
        high_age if high is not None else None,
    )


def is_decided(t_ns: int, pairs: Sequence[Pair]) -> bool:
    """Whether no pair still to come can be nearer to ``t_ns`` than those at hand.

    True once a pair's middle has passed ``t_ns``, or while ``t_ns`` is so near the last one that the next
    must be farther away: two frames at least. How long a frame is follows from the pairs and their sequence
    numbers, and from the distance between pairs; a lost frame makes that longer, never shorter.
    """
    if not pairs:
        return False
    last_ns = pairs[-1].t_ns
    if last_ns >= t_ns:
        return True
    frame_ns = min(_frame_ns(pair) for pair in pairs)
    apart_ns = min((later.t_ns - pair.t_ns for pair, later in pairwise(pairs)), default=2 * frame_ns)
    return 2 * (t_ns - last_ns) <= min(apart_ns, 2 * frame_ns)


def _frame_ns(pair: Pair) -> int:
    """Period of the secondary camera, from the begins of two exposures."""
    begins = [item.t_ns - round(item.frame.exposure.exposure_us * 500) for item in (pair.low, pair.high)]
    return abs(begins[1] - begins[0]) // max(1, abs(pair.high.frame.seq - pair.low.frame.seq))


class Pairer:
    """Frames in, groups out, every reference frame exactly once and in order.

    A reference frame waits for its nearest pair at most ``wait_ns`` of the time passed to ``add`` and
    ``groups`` (host time of arrival); then it goes with the best there is. ``wait_ns=None``, for recordings:
    it waits until the pair is decided or ``flush`` is called.
    """

    def __init__(self, max_age_ns: int, wait_ns: int | None) -> None:
        self._max_age_ns = max_age_ns
        self._wait_ns = wait_ns
        self._pending: deque[tuple[Stamped, int]] = deque()
        self._pairs: deque[Pair] = deque()
        self._single: Stamped | None = None
        self._early: deque[Stamped] = deque()
        self._reference_exposure: Exposure | None = None

    def __len__(self) -> int:
        """Reference frames that wait for their pair."""
        return len(self._pending)

    def add(self, item: Stamped, now_ns: int) -> list[tuple[str, Frame]]:
        """Take one frame. Returns the secondary frames that cannot serve, each with the cause."""
        if item.frame.camera == "reference":
            self._reference_exposure = item.frame.exposure
            self._pending.append((item, now_ns))
            # A short low exposure arrives before the reference frame it started with.
            early, self._early = self._early, deque()
            return [lost for one in early for lost in self._match(one, item.frame.exposure)]
        if self._reference_exposure is not None:
            return self._match(item, self._reference_exposure)
        self._early.append(item)
        return [("before_reference", self._early.popleft().frame)] if len(self._early) > MAX_EARLY else []

    def _match(self, item: Stamped, reference: Exposure) -> list[tuple[str, Frame]]:
        low = is_low(item.frame.exposure, reference)
        if low is None:
            return [("exposure_near_reference", item.frame)]
        single, self._single = self._single, item
        if single is None:
            return []
        # No reference frame can use a pair longer than this; its inner neighbours were lost.
        too_long = abs(item.t_ns - single.t_ns) > 2 * self._max_age_ns
        same = is_low(single.frame.exposure, reference) is low
        if same and item.frame.seq == single.frame.seq + 1 and self._pairs:
            # Taken twice in a row, as planned or because the setting came late: both go with one partner.
            partner = self._pairs[-1].high if low else self._pairs[-1].low
            if abs(single.t_ns - partner.t_ns) <= 2 * self._max_age_ns:
                self._keep(Pair(single, partner) if low else Pair(partner, single))
                return []
        if too_long or same or is_low(single.frame.exposure, reference) is None:
            return [("no_partner", single.frame)]
        self._single = None
        self._keep(Pair(item, single) if low else Pair(single, item))
        return []

    def _keep(self, pair: Pair) -> None:
        self._pairs.append(pair)
        oldest_ns = self._pairs[-1].t_ns - KEPT_NS
        while len(self._pairs) > MAX_PAIRS or (
            len(self._pairs) > FEWEST_PAIRS and self._pairs[1].t_ns < oldest_ns
        ):
            self._pairs.popleft()

    def groups(self, now_ns: int) -> list[Group]:
        """The groups that are decided, or have waited long enough, at ``now_ns``."""
        out: list[Group] = []
        while self._pending:
            reference, since_ns = self._pending[0]
            late = self._wait_ns is not None and now_ns - since_ns >= self._wait_ns
            decided = is_decided(reference.t_ns, self._pairs)
            if not (decided or late or len(self._pending) > MAX_PENDING):
                break
            self._pending.popleft()
            out.append(self._group(reference, decided))
        return out

    def flush(self) -> list[Group]:
        """End of the stream: every waiting reference frame with the best pair there is."""
        out = [self._group(ref, is_decided(ref.t_ns, self._pairs)) for ref, _ in self._pending]
        self._pending.clear()
        return out

    def _group(self, reference: Stamped, decided: bool) -> Group:
        pairs = list(self._pairs) if decided else [*self._pairs, *self._unfinished()]
        return make_group(reference, nearest_pair(reference.t_ns, pairs), self._max_age_ns)

    def _unfinished(self) -> list[Pair]:
        """The newest frame whose partner is still to come, with the last frame of the other kind.

        It serves reference frames that cannot wait, and the last ones of a recording.
        """
        if self._single is None or not self._pairs or self._reference_exposure is None:
            return []
        last, low = self._pairs[-1], is_low(self._single.frame.exposure, self._reference_exposure)
        if low is None:
            return []
        return [Pair(self._single, last.high) if low else Pair(last.low, self._single)]
