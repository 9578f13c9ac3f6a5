"""Files of a dataset, by name alone: what lies where, in the order a person would give it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

DEEPEST = 4
"""Folders below the dataset's own that are looked into; the published sets need three."""

TIFF = (".tif", ".tiff")
PICTURES = (*TIFF, ".png", ".jpg", ".jpeg")


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key in which ``img2`` comes before ``img10``."""
    parts = re.split(r"(\d+)", name.lower())
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)


def folders(root: Path) -> list[Path]:
    """``root`` and the folders below it in natural order, hidden ones and links left out."""
    found = []
    for place, below, _ in os.walk(root):
        depth = len(Path(place).relative_to(root).parts)
        below[:] = [] if depth >= DEEPEST else [name for name in below if not name.startswith(".")]
        found.append(Path(place))
    return sorted(found, key=lambda folder: natural(str(folder)))


def files(folder: Path, suffixes: Iterable[str] = ()) -> list[Path]:
    """Files of ``folder`` in natural order, with one of ``suffixes`` where given; hidden ones left out."""
    wanted = tuple(suffixes)
    found = (
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and (not wanted or path.suffix.lower() in wanted) and path.is_file()
    )
    return sorted(found, key=lambda path: natural(path.name))


def first_file(folder: Path, names: Iterable[str]) -> Path | None:
    """The first of ``names`` that is in ``folder``, whatever its case; None without any."""
    if not folder.is_dir():
        return None
    there = {path.name.lower(): path for path in files(folder)}
    return next((there[name.lower()] for name in names if name.lower() in there), None)


def name_in(root: Path, folder: Path) -> str:
    """What a bracket is called: its folder within the dataset, or the dataset's own name."""
    inside = folder.relative_to(root).as_posix()
    return folder.resolve().name if inside == "." else inside
