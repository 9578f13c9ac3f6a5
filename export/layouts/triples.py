"""Our own layout: a folder of triples, for brackets of one's own.

``NAME/low.*``, ``NAME/reference.*``, ``NAME/high.*`` (8 or 16 bit PNG, TIFF or JPEG coded with gamma 2.2, or
linear EXR in [0, 1]), exposures in ``exposure.txt`` (low, reference, high; stops or seconds) or
``exposure.json`` (``{"ev": [-2, 0, 2]}`` or ``{"light": [0.25, 1, 4]}``), and, where it is known,
``truth.exr`` (or .hdr): scene-linear radiance, 1.0 saturates the reference, as ``twinhdr fuse`` writes it.
"""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path

from export.layouts.bracket import DatasetError
from export.layouts.exposures import MOST_STOPS, exposure_file, read_light
from export.layouts.files import PICTURES, files, first_file, folders, name_in
from export.layouts.pixels import read_exposure, read_radiance
from export.layouts.scene import Scene, Stack, need_one_size

EXPECTS = "folders with low, reference and high (.png .tif .jpg .exr), exposure.txt or .json, and truth.exr"

ROLES = ("low", "reference", "high")
TRUTHS = ("truth.exr", "truth.hdr")


def find(root: Path) -> list[Scene]:
    """Scenes of ``root``; empty where no folder has two of low, reference and high."""
    found = []
    for folder in folders(root):
        stems = {path.stem.lower() for path in files(folder, (*PICTURES, ".exr"))}
        if "reference" in stems and stems & {"low", "high"}:
            found.append(Scene(name_in(root, folder), folder, partial(load, folder)))
    return found


def load(folder: Path) -> Stack:
    """Read one triple. Raises DatasetError, ImageError."""
    pictures = [_picture(folder, role) for role in ROLES]
    images = tuple(read_exposure(path) for path in pictures)
    names = tuple(path.name for path in pictures)
    need_one_size(names, images)
    stated, text = first_file(folder, ("exposure.json",)), exposure_file(folder)
    if stated is not None:
        light = _light(stated)
    elif text is not None:
        light = read_light(text, ROLES, images)
    else:
        raise DatasetError(f"{folder}: no exposure.txt; write stops or seconds of low, reference and high")
    if not light[0] < light[1] < light[2]:
        raise DatasetError(f"{stated or text}: low, reference and high must have ever more light; correct it")
    truth = first_file(folder, TRUTHS)
    return Stack(names, images, tuple(light), None if truth is None else read_radiance(truth), "reference")


def _picture(folder: Path, role: str) -> Path:
    found = [path for path in files(folder, (*PICTURES, ".exr")) if path.stem.lower() == role]
    if len(found) != 1:
        there = ", ".join(path.name for path in found) or "nothing"
        raise DatasetError(f"{folder}: needs one picture named {role} (.png .tif .jpg .exr), has {there}")
    return found[0]


def _light(path: Path) -> list[float]:
    """Light of low, reference and high from exposure.json. Raises DatasetError."""
    try:
        ((unit, values),) = json.loads(path.read_text(encoding="utf-8")).items()
        stops = [float(value) if unit == "ev" else math.log2(value) for value in values]
        usable = unit in ("ev", "light") and len(stops) == 3 and max(map(abs, stops)) < MOST_STOPS
    except (OSError, ValueError, TypeError, AttributeError):
        usable = False
    if not usable:
        raise DatasetError(f'{path}: write {{"ev": [-2, 0, 2]}} or {{"light": [0.25, 1, 4]}}, darkest first')
    return [2.0**value for value in stops]
