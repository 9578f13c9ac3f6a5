"""What the wall clock is worth: whether a time server set it, and when it jumped.

Nothing that is recorded depends on it: session time comes from the cameras. It names sessions for people,
and ``utc`` lines in the sidecar tie session time to it, so that a recording that began in 1970 can be dated.
"""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

TIMESYNCD = Path("/run/systemd/timesync/synchronized")
STEP_NS: Final = 500_000_000
"""A clock that is slewed moves 0.5 ms a second; what moves it further at once is a step."""
_TIME_ERROR: Final = 5
_TIMEX_BYTES: Final = 256


@dataclass(frozen=True, slots=True)
class Reading:
    """The host's two clocks at one moment, in ns, and whether UTC is set; None: nobody here knows."""

    monotonic_ns: int
    utc_ns: int
    synchronised: bool | None

    @property
    def utc(self) -> str:
        """ISO 8601 with milliseconds."""
        moment = datetime.fromtimestamp(self.utc_ns / 1e9, timezone.utc)
        return moment.isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True)
class Change:
    """The clock was set. ``stepped_s``: by so much it jumped forward."""

    reading: Reading
    stepped_s: float

    def __str__(self) -> str:
        state = {True: "synchronised", False: "not synchronised", None: "of unknown state"}
        moved = f"jumped by {self.stepped_s:+.1f} s" if self.stepped_s else "changed its state"
        return f"the clock {moved}; it is {state[self.reading.synchronised]} and says {self.reading.utc}"


def change(before: Reading, now: Reading) -> Change | None:
    """What happened to the wall clock between two readings."""
    drift_ns = (now.utc_ns - now.monotonic_ns) - (before.utc_ns - before.monotonic_ns)
    stepped_s = drift_ns / 1e9 if abs(drift_ns) >= STEP_NS else 0.0
    if not stepped_s and before.synchronised == now.synchronised:
        return None
    return Change(now, stepped_s)


def read_clock() -> Reading:
    """The clocks of this machine, now."""
    return Reading(time.monotonic_ns(), time.time_ns(), synchronised())


def synchronised() -> bool | None:
    """Whether a time server keeps this clock, as systemd-timesyncd or the kernel (chrony, ntpd, PTP) say."""
    try:
        if TIMESYNCD.exists():
            return True
    except OSError:
        return None
    timex = (ctypes.c_char * _TIMEX_BYTES)()  # struct timex: its first word, modes, is 0: only read
    state = ctypes.CDLL(None, use_errno=True).adjtimex(timex)
    return None if state < 0 else bool(state != _TIME_ERROR)
