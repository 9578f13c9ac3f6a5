"""Prabhakar et al., "A Fast, Scalable, and Reliable Deghosting Method for Extreme Exposure Fusion", ICCP 19.

Scenes lie in ``Training_set/`` and ``Testing_set/``: ``ghosted/`` holds the moving pictures
(``input_ghosted_1.tif`` or ``img1.tif`` and on), ``reference/`` static ones, ``GT_HDR.hdr`` the truth, and
the exposures are in ``ExpoBias.txt`` or ``reference/ExposureBias.txt``. Some scenes have no truth. What
FSHDR's script makes of it (``dynamic/{le,me,he}.tif``, ``input_exp.txt``, ``hdr_gt.hdr``) is read too. All
this is in prepare_ICCP19.py of the FSHDR repository, by the same authors. A bias is log2 of the time over
that of the least exposed picture, ExposureTimes.txt has seconds (issue 3 of Deep-Deghosting-HDR).

Scenes are said to have three to seven pictures. That the truth shows the middle one's moment, and that 1.0
of it saturates the darkest picture, is as far as known: FSHDR reads this set and Kalantari's with the same
code. The scale is verified on reading; see ``scene``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from export.layouts.exposures import exposure_file
from export.layouts.files import PICTURES, files, first_file, folders, name_in
from export.layouts.scene import Scene, Stack, text_stack

EXPECTS = "folders with ghosted/*.tif, GT_HDR.hdr and ExpoBias.txt or reference/ExposureBias.txt"

TRUTHS = ("GT_HDR.hdr", "hdr_gt.hdr")
MOVING = ("ghosted", "dynamic")
PREPARED = ("le", "me", "he")
"""Low, medium and high exposure as FSHDR's script names them."""


def find(root: Path) -> list[Scene]:
    """Scenes of ``root``; empty where no folder has moving pictures in a folder of their own."""
    return [
        Scene(name_in(root, folder), folder, partial(load, folder))
        for folder in folders(root)
        if first_file(folder, TRUTHS) or any((folder / name).is_dir() for name in MOVING)
    ]


def load(folder: Path) -> Stack:
    """Read one scene. Raises DatasetError, ImageError."""
    moving = next((folder / name for name in MOVING if (folder / name).is_dir()), folder)
    pictures = files(moving, PICTURES)
    if {path.stem.lower() for path in pictures} == set(PREPARED):
        pictures.sort(key=lambda path: PREPARED.index(path.stem.lower()))
    texts = (exposure_file(place) for place in (folder, folder / "reference", moving))
    return text_stack(folder, pictures, next(filter(None, texts), None), first_file(folder, TRUTHS))
