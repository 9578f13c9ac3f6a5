"""Readers for datasets of exposure brackets in the folder layouts in which they are published.

``read`` is the whole interface: it tells the layout by the names of the files and yields one bracket after
the other. docs/datasets.md describes each layout and where its facts come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from export.layouts import challenge123, kalantari, ntire, prabhakar, triples, unlabelled
from export.layouts.bracket import Bracket, DatasetError
from export.layouts.scene import Scene

__all__ = ["LAYOUTS", "Bracket", "Dataset", "DatasetError", "Layout", "Scene", "detect", "read"]


@dataclass(frozen=True, slots=True)
class Layout:
    """One way of laying out a dataset. ``find`` names the scenes of a folder, none where it is another's."""

    name: str
    title: str
    expects: str
    find: Callable[[Path], list[Scene]]


LAYOUTS = (
    Layout("triples", "triples of one's own", triples.EXPECTS, triples.find),
    Layout("ntire21", "NTIRE 2021, track 2", ntire.EXPECTS, ntire.find),
    Layout("challenge123", "Challenge123 (Kong 2024)", challenge123.EXPECTS, challenge123.find),
    Layout("kalantari", "Kalantari, SIGGRAPH 2017", kalantari.EXPECTS, kalantari.find),
    Layout("prabhakar", "Prabhakar, ICCP 2019", prabhakar.EXPECTS, prabhakar.find),
    Layout("sen", "Sen, SIGGRAPH Asia 2012", unlabelled.SEN_EXPECTS, unlabelled.find_sen),
    Layout("tursun", "Tursun, Eurographics 2016", unlabelled.TURSUN_EXPECTS, unlabelled.find_tursun),
)
"""The most particular first: what fits several is taken for the first of them."""


@dataclass(frozen=True, eq=False, slots=True)
class Dataset:
    """A folder whose layout is known, nothing of it read yet."""

    folder: Path
    layout: Layout
    scenes: tuple[Scene, ...]


def detect(folder: Path, layout: str | None = None) -> Dataset:
    """The dataset in ``folder``, by the names of its files; ``layout`` names the one to expect.

    Raises DatasetError where the folder fits none.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; name the folder that holds the dataset")
    candidates = [known for known in LAYOUTS if layout in (None, known.name)]
    if not candidates:
        names = ", ".join(known.name for known in LAYOUTS)
        raise DatasetError(f"{layout}: no such layout; choose one of {names}")
    for candidate in candidates:
        scenes = candidate.find(folder)
        if scenes:
            return Dataset(folder, candidate, tuple(scenes))
    known_ways = "".join(f"\n  {known.name}: {known.expects}" for known in candidates)
    raise DatasetError(f"{folder}: no dataset in a known layout; lay it out as one of{known_ways}")


def read(folder: Path, layout: str | None = None, fit: bool = False) -> Iterator[Bracket]:
    """Brackets of the dataset in ``folder``, in order of their names, each read when it is asked for.

    ``layout`` names the layout where it cannot be told from the files. ``fit`` scales a ground truth to the
    reference picture instead of refusing one on another scale. Raises DatasetError: from the call where
    ``folder`` is no dataset, from the iteration where one bracket cannot be read (or ImageError).
    """
    return (scene.bracket(fit) for scene in detect(folder, layout).scenes)
