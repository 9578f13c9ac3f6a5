"""Small files of /proc, /sys and /etc: missing, unreadable and odd ones are answers, not errors."""

from __future__ import annotations

import os
import re
from pathlib import Path


def text(path: Path) -> str:
    """The file's text, empty where it cannot be read: a sensor that sleeps answers EAGAIN."""
    try:
        return path.read_text(errors="replace").strip("\0 \n")
    except OSError:
        return ""


def integer(path: Path) -> int | None:
    """The whole number in a file, or None."""
    content = text(path)
    return int(content) if re.fullmatch(r"-?\d{1,18}", content) else None


def names(folder: Path, prefix: str = "") -> list[str]:
    """Names in ``folder`` that begin with ``prefix``; numbers in them in numerical order."""
    try:
        found = [name for name in os.listdir(folder) if name.startswith(prefix)]
    except OSError:
        return []
    return sorted(found, key=lambda name: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)])
