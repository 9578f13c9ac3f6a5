"""A trial: a recorder that films, a fault, and what was measured before, during and after it."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.reliability.losses import FUSED, STREAMS, Losses, count, losses, sessions
from tests.reliability.recorder import Recorder
from tests.reliability.table import Row
from tests.reliability.watch import Watch

KINDS = {"reference masters": "reference", "secondary masters": "secondary", "fused video": "hdr"}
MOST_BUSY = 30
BUSY = ("masters too_slow", "fuse too_slow", "encode too_slow")


class Trial:
    """One recorder with someone at its page."""

    def __init__(self, recorder: Recorder, room: float) -> None:
        self.recorder = recorder
        self.room = room
        self.told = ""
        self.recovery_s: float | None = None
        self.busy: dict[str, int] = {}
        """Frames this machine was too slow for, by stream, where the fault is not to blame."""
        self._since_s = time.monotonic()
        self.watch = Watch(recorder.fetch)

    @property
    def session(self) -> Path | None:
        found = sessions(self.recorder.root)
        return found[-1] if found else None

    def filming(self, *kinds: str, more: int = 10, timeout_s: float = 60.0) -> float:
        """Seconds until each kind of line (all three without any) has ``more`` new ones."""
        kinds = kinds or tuple(KINDS.values())
        goal = {kind: count(self.session, kind) + more for kind in kinds}

        def reached() -> bool:
            return all(count(self.session, kind) >= least for kind, least in goal.items())

        return self.recorder.until(reached, timeout_s, f"{more} new lines of {' and '.join(kinds)}")

    def begin(self, more: int = 30) -> None:
        """All three streams are recorded, and the page is quiet: the fault may come."""
        self.filming(more=more)
        self.recorder.until(lambda: not self.watch.false, 10.0 * self.room, "a quiet page")
        self.watch.begin()

    def since(self, moment_s: float | None = None) -> None:
        """Recovery counts from now, or from a moment before."""
        self._since_s = time.monotonic() if moment_s is None else moment_s

    def says(self, condition: str, within_s: float) -> str:
        """What the page says of a condition, as soon as it is false."""
        self.recorder.until(lambda: self.watch.text(condition), within_s * self.room, f"word of {condition}")
        self.told = self.watch.text(condition) or self.watch.named[condition]
        return self.told

    def back(self, *kinds: str, within_s: float) -> float:
        """Seconds until every kind has a new line, counted from ``since``; asserts the bound."""
        self.filming(*kinds, more=2, timeout_s=within_s * self.room)
        self.recovery_s = time.monotonic() - self._since_s
        assert self.recovery_s < within_s * self.room
        return self.recovery_s

    def until_it_stops(self, kind: str, within_s: float, still_s: float = 1.0) -> None:
        """Waits until no line of ``kind`` came for ``still_s``; recovery counts from the last one."""
        seen, self._since_s = count(self.session, kind), time.monotonic()

        def still() -> bool:
            nonlocal seen
            now = count(self.session, kind)
            if now != seen:
                seen, self._since_s = now, time.monotonic()
            return time.monotonic() - self._since_s > still_s

        self.recorder.until(still, within_s * self.room, f"end of {kind}")

    def lasts(self, seconds: float) -> None:
        """A fault takes its time; the recorder must live through it."""
        end_s = time.monotonic() + seconds
        self.recorder.until(lambda: time.monotonic() >= end_s, seconds + 1.0, "the fault is over")

    def quiet(self, within_s: float = 15.0, but: tuple[str, ...] = ()) -> None:
        """No condition is false any more."""
        self.recorder.until(
            lambda: not set(self.watch.false) - set(but), within_s * self.room, "a quiet page"
        )

    def finish(
        self,
        *,
        suffers: Mapping[str, int | None],
        tells: tuple[str, ...],
        note: str = "",
        after: int = 30,
        masters: bool = True,
        unexplained: tuple[str, ...] = (),
        traceback: bool = False,
    ) -> Row:
        """End it in good order and make the row.

        ``suffers``: streams that may lose frames, and how many at most (None: no bound); nothing else may.
        ``tells``: conditions that may be false. ``unexplained``: streams whose loss needs no drop line.
        """
        kinds = tuple(kind for stream, kind in KINDS.items() if masters or stream == FUSED)
        self.filming(*kinds, more=after, timeout_s=30.0 * self.room)
        self.watch.stop()
        assert set(self.watch.named) <= set(tells), f"also told: {self.watch.named}"
        assert self.watch.unanswered == 0, f"the page did not answer {self.watch.unanswered} times"
        assert self.watch.slowest_s < 1.0 * self.room, f"the page took {self.watch.slowest_s:.1f} s"
        session = self.session
        assert session is not None
        assert self.recorder.end() == 0, self.recorder.text()
        assert traceback or "Traceback" not in self.recorder.text(), self.recorder.text()
        return self.row(losses(session, masters), suffers, note, unexplained)

    def row(
        self, found: Losses, suffers: Mapping[str, int | None], note: str, unexplained: tuple[str, ...]
    ) -> Row:
        lost: dict[str, int] = {}
        assert not found.disorder, f"out of order: {found.disorder}"
        for stream, number in found.missing.items():
            said = f"{stream}: {number} lost, {found.told[stream]} told, {found.causes[stream]}"
            if stream in suffers:
                most = suffers[stream]
                assert most is None or number <= most * self.room, said
                lost[stream] = max(number, found.told[stream])  # a disk put in its place knows no more
            elif found.causes[stream] <= set(BUSY):
                assert number <= MOST_BUSY, said
                self.busy[stream] = self.busy.get(stream, 0) + number
            else:
                assert number == 0, said
            if stream not in unexplained:
                assert found.unexplained(stream) == 0, said
        print(f"{lost}; back after {self.recovery_s} s; {self.told}")
        busy = [f"{stream} {number}" for stream, number in self.busy.items() if number]
        elsewhere = f"the machine was too busy for {', '.join(busy)}" if busy else "nothing"
        return Row(lost, self.recovery_s, self.plain(self.told), elsewhere, note)

    def plain(self, text: str) -> str:
        """``text`` with a device's folders in place of this test's, and no date of today."""
        text = text.replace(str(self.recorder.root), "/var/lib/twinhdr/sessions")
        text = text.replace(str(self.recorder.folder), "/etc/twinhdr")
        text = re.sub(r"\bs\d{6}-\d{8}T\d{6}Z\b", "s000001-20260101T120000Z", text)
        return re.sub(r"20\d\d-\d\d-\d\dT[0-9:.]+", "2026-01-02T12:00:00", text)


class Bench:
    """What a fault needs. ``room``: by how much a bound may be missed on a machine that does other work."""

    def __init__(self, folder: Path, long: bool) -> None:
        self.folder = folder
        self.long = long
        self.room = 1.0 if long else 3.0

    @contextlib.contextmanager
    def trial(self, recorder: Recorder | None = None, **more: Any) -> Iterator[Trial]:
        """A recorder that was started, ``more`` to make it with; ended, whatever happens."""
        if recorder is None:
            more.setdefault("root", self.folder / "sessions")
            recorder = Recorder(self.folder, **more)
        recorder.start()
        trial = Trial(recorder, self.room)
        try:
            yield trial
        finally:
            trial.watch.stop()
            recorder.kill()


assert set(KINDS) == set(STREAMS)
