"""Sets without ground truth: real brackets of moving people, to look at rather than to score.

Sen et al., "Robust Patch-Based HDR Reconstruction of Dynamic Scenes", SIGGRAPH Asia 2012: one folder a
scene (``BabyAtWindow``, ``SantasLittleHelper``, ...), in it ``*.tif`` and one text file with the exposures
(ReadSceneFiles.m of the authors' MATLAB code takes all ``*.tif`` and the ``*.txt``; without a choice the
middle picture is its reference). That the text holds stops is as far as known; seconds are read as well.

Tursun et al., "An Objective Deghosting Quality Metric for HDR Images", Eurographics 2016: 16 scenes of
1024 x 682 pixels. No public text states how its files are named, so any folder of three to sixteen pictures
is taken, with exposures from a text file, else from EXIF, else from the file names (``EV-2``, ``1_60s``).

Of more than three pictures three are chosen; see ``scene``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from export.layouts.bracket import DatasetError
from export.layouts.exif import exif_light
from export.layouts.exposures import exposure_file, light_in_names
from export.layouts.files import PICTURES, TIFF, files, folders, name_in
from export.layouts.pixels import read_exposure
from export.layouts.scene import Scene, Stack, folder_stack, need_one_size, need_three

SEN_EXPECTS = "folders with three or more .tif and one text file of exposures"
TURSUN_EXPECTS = "folders with three to sixteen pictures, exposures in a text file, EXIF or the file names"

MOST_PICTURES = 16


def find_sen(root: Path) -> list[Scene]:
    """Scenes of ``root``; empty where no folder has two or more .tif and a text file."""
    everywhere = [folder for folder in folders(root) if len(files(folder, TIFF)) > 1]
    if not any(exposure_file(folder) for folder in everywhere):
        return []
    return [Scene(name_in(root, folder), folder, partial(load_sen, folder)) for folder in everywhere]


def load_sen(folder: Path) -> Stack:
    """Read one scene. Raises DatasetError, ImageError."""
    return folder_stack(folder, files(folder, TIFF), None)


def find_tursun(root: Path) -> list[Scene]:
    """Scenes of ``root``: every folder of two to sixteen pictures."""
    return [
        Scene(name_in(root, folder), folder, partial(load_tursun, folder))
        for folder in folders(root)
        if 1 < len(files(folder, PICTURES)) <= MOST_PICTURES
    ]


def load_tursun(folder: Path) -> Stack:
    """Read one scene. Raises DatasetError, ImageError."""
    pictures = files(folder, PICTURES)
    if exposure_file(folder):
        return folder_stack(folder, pictures, None)
    need_three(folder, pictures)
    names = tuple(path.name for path in pictures)
    stated = [exif_light(path) for path in pictures]
    light = light_in_names(names) if None in stated else [value for value in stated if value is not None]
    if light is None:
        raise DatasetError(
            f"{folder}: no exposures, neither in a text file nor in EXIF nor in the file names; "
            "write exposure.txt with one value a line, stops or seconds, in the order of the file names"
        )
    images = tuple(read_exposure(path) for path in pictures)
    need_one_size(names, images)
    return Stack(names, images, tuple(light))
