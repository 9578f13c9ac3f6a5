"""NTIRE 2021 HDR challenge, track 2 (multiple frames): Perez-Pellitero et al., CVPR Workshops 2021.

``NNNN_short.png``, ``NNNN_medium.png``, ``NNNN_long.png`` (8 bit), ``NNNN_exposures.npy`` (stops) and, where
there is a truth, ``NNNN_gt.png`` (16 bit) with ``NNNN_alignratio.npy``: the truth is the PNG's codes over
that ratio. All are coded with gamma 1/2.24, and the organisers' ``ev_alignment`` brings the exposures to the
medium one by ``2^-(e - e_medium)``, so 1.0 of the truth saturates the medium picture (data_io.py of the
challenge as many repositories carry it, ADNet's utils.py among them). The scale is verified on reading.

The .npy files may lie in a folder of their own (``alignratio/``), as HDRUNet and others keep them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.frames import FloatImage
from export.layouts.bracket import DatasetError
from export.layouts.exposures import MOST_STOPS
from export.layouts.files import files, folders, name_in
from export.layouts.pixels import read_exposure
from export.layouts.scene import Scene, Stack, need_one_size

EXPECTS = "NNNN_short.png, _medium.png, _long.png and _exposures.npy; _gt.png and _alignratio.npy for a truth"

GAMMA = 2.24
INPUTS = ("short", "medium", "long")


def find(root: Path) -> list[Scene]:
    """Scenes of ``root``; empty where no file is named NNNN_short.png, _medium.png or _long.png."""
    arrays: dict[str, Path] = {}
    pictures: dict[tuple[Path, str], dict[str, Path]] = {}
    for folder in folders(root):
        for path in files(folder, (".npy", ".png")):
            picture = re.fullmatch(r"(\d+)_(short|medium|long|gt)\.png", path.name.lower())
            if picture:
                pictures.setdefault((folder, picture[1]), {})[picture[2]] = path
            elif path.suffix == ".npy":
                arrays.setdefault(path.name.lower(), path)
    return [
        Scene(f"{name_in(root, folder)}/{number}", folder, partial(load, folder / number, there, arrays))
        for (folder, number), there in pictures.items()
        if there.keys() & set(INPUTS)
    ]


def load(stem: Path, pictures: Mapping[str, Path], arrays: Mapping[str, Path]) -> Stack:
    """Read the scene of files ``stem`` with _short.png and on. Raises DatasetError, ImageError.

    ``pictures`` by what they are (short, medium, long, gt), ``arrays`` by the names of their files.
    """

    def array(what: str, size: int) -> NDArray[np.float64]:
        name = f"{stem.name}_{what}.npy"
        if name not in arrays:
            raise DatasetError(f"{stem.with_name(name)}: missing; copy it from the dataset")
        return _numbers(arrays[name], size)

    for what in INPUTS:
        if what not in pictures:
            missing = stem.with_name(f"{stem.name}_{what}.png")
            raise DatasetError(f"{missing}: missing; a bracket needs {', '.join(INPUTS)} (track 2)")
    images = tuple(read_exposure(pictures[what], GAMMA) for what in INPUTS)
    names = tuple(pictures[what].name for what in INPUTS)
    need_one_size(names, images)
    stops = array("exposures", 3)
    if np.ptp(stops) > MOST_STOPS:
        raise DatasetError(f"{stem}_exposures.npy: {stops} are no stops; copy it again from the dataset")
    light = tuple(float(x) for x in np.exp2(stops - stops.min()))
    if "gt" not in pictures:
        return Stack(names, images, light)
    ratio = float(array("alignratio", 1)[0])
    if ratio <= 0:
        raise DatasetError(f"{stem}_alignratio.npy: a ratio of {ratio}; copy it again from the dataset")
    return Stack(names, images, light, _truth(pictures["gt"], ratio), "reference")


def _truth(path: Path, ratio: float) -> FloatImage:
    """Codes over ``ratio``, linear: read_exposure gives (code / 65535)^2.24."""
    linear: FloatImage = read_exposure(path, GAMMA) * np.float32((65535.0 / ratio) ** GAMMA)
    return linear


def _numbers(path: Path, size: int) -> NDArray[np.float64]:
    """``size`` finite numbers of an .npy file, whatever its shape. Raises DatasetError."""
    try:
        values = np.load(path, allow_pickle=False)
        numbers = np.asarray(values, np.float64).reshape(-1)
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise DatasetError(f"{path}: cannot be read as numbers ({error}); copy it again") from None
    if numbers.size != size or not np.isfinite(numbers).all():
        raise DatasetError(f"{path}: holds {numbers.size} numbers, needs {size} finite ones; copy it again")
    return numbers
