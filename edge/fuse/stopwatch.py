"""What each stage costs, measured where the work is done and reported under the stage's name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopwatch:
    """Times stages with the clock it is given (ns) and hands (stage, milliseconds) to ``report``.

    The daemon gives it monotonic time, the bench the CPU time of the thread.
    """

    def __init__(self, now_ns: Callable[[], int], report: Callable[[str, float], None]) -> None:
        self._now_ns = now_ns
        self._report = report

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block as one frame's pass through ``name``. A block that raises is not reported."""
        begin = self._now_ns()
        yield
        self._report(name, (self._now_ns() - begin) / 1e6)


def untimed() -> Stopwatch:
    """A stopwatch that reports to nobody."""
    return Stopwatch(lambda: 0, lambda _stage, _ms: None)
