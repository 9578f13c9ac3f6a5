"""Readers for datasets of exposure brackets in the folder layouts in which they are published.

``read`` is the whole interface: it tells the layout by the names of the files and yields one bracket after
the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from export.layouts.bracket import Bracket, DatasetError

__all__ = ["Bracket", "DatasetError", "read"]


def read(folder: Path, layout: str | None = None) -> Iterator[Bracket]:
    """Brackets of the dataset in ``folder``, in order of their names, each read when it is asked for.

    ``layout`` names the layout where it cannot be told from the files. Raises DatasetError: from the call
    where ``folder`` is no dataset, from the iteration where one bracket cannot be read.
    """
    raise DatasetError(f"{folder}: no known dataset layout")
