"""The recorder's log out of systemd's journal."""

from __future__ import annotations

import subprocess
from typing import Final

UNITS: Final = ("twinhdr.service", "twinhdr-engine.service", "twinhdr-usb@*.service")


def newest_log(most_bytes: int) -> bytes:
    """The newest whole lines of the units, oldest first, at most so many bytes. Raises OSError."""
    command = ["journalctl", "--no-pager", "--utc", "--output=short-iso-precise", "--reverse"]
    command += [f"--unit={unit}" for unit in UNITS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as journal:
        assert journal.stdout is not None
        data = journal.stdout.read(most_bytes)
        journal.terminate()  # the rest is older than what is wanted
    lines = data[: data.rfind(b"\n") + 1].splitlines(keepends=True)
    return b"".join(reversed(lines))
