"""The CSV log of a training run."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TypeAlias

LogLine: TypeAlias = dict[str, int | float]


def append(folder: Path, line: LogLine) -> None:
    """Add ``line`` to ``folder/log.csv``, with a header where the file is new."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "log.csv"
    fresh = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, list(line))
        if fresh:
            writer.writeheader()
        writer.writerow(line)
