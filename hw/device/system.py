"""Memory, swap, clock and kernel limits."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path

from hw.device.files import names, text

STA_UNSYNC = 0x0040
"""Of linux/timex.h."""
MAX_ERROR_US = 16_000_000
"""Above this systemd calls a clock unsynchronised, too: the error that the kernel lets grow to 16 s."""


@dataclass(frozen=True, slots=True)
class Swap:
    """All swap space together. ``compressed``: some of it is zram, which costs processor time."""

    total_bytes: int
    used_bytes: int
    compressed: bool


@dataclass(frozen=True, slots=True)
class Clock:
    """``synchronised``: to other clocks; None where nothing says.

    ``rtc``: name of the hardware clock, None where there is none. Whether it has a battery it does not say.
    """

    synchronised: bool | None
    rtc: str | None


def memory_of(root: Path, field: str) -> int | None:
    """Bytes of a line of /proc/meminfo."""
    match = re.search(rf"^{field}:\s*(\d+) kB$", text(root / "proc/meminfo"), re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def swap_of(root: Path) -> Swap | None:
    """The swap in use; None where the file is not there."""
    path = root / "proc/swaps"
    if not path.exists():
        return None
    rows = [line.split() for line in text(path).splitlines()[1:]]
    sized = [row for row in rows if len(row) >= 4 and row[2].isdigit() and row[3].isdigit()]
    return Swap(
        sum(int(row[2]) for row in sized) * 1024,
        sum(int(row[3]) for row in sized) * 1024,
        any("/zram" in row[0] for row in sized),
    )


def clock_of(root: Path) -> Clock:
    """What systemd-timesyncd says, or on our own machine the kernel; and the hardware clock."""
    folder = root / "sys/class/rtc"
    rtc = next((text(folder / name / "name") or name for name in names(folder, "rtc")), None)
    timesync = root / "run/systemd/timesync"
    if (timesync / "synchronized").exists():
        return Clock(True, rtc)
    if root == Path("/"):
        return Clock(_kernel_synchronised(), rtc)
    return Clock(False if timesync.exists() else None, rtc)


def _kernel_synchronised() -> bool | None:
    """What adjtimex(2) says: whoever disciplines the clock (chrony, ntpd, ptp) clears the kernel's flag."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "adjtimex"):
        return None
    timex = (
        ctypes.c_long * 32
    )()  # struct timex is 208 bytes: modes, offset, freq, maxerror, esterror, status
    state = libc.adjtimex(ctypes.byref(timex))
    if state < 0:
        return None
    status = ctypes.c_int.from_buffer(timex, 5 * ctypes.sizeof(ctypes.c_long)).value
    return not status & STA_UNSYNC and timex[3] < MAX_ERROR_US
