"""Challenge123, of Kong et al., "SAFNet", ECCV 2024.

Three moments of each scene lie in ``Training/NNN_1`` to ``NNN_3`` (and ``Test/``), each with all three
exposures (``ldr_img_1.tif`` under to ``ldr_img_3.tif`` over), ``exposure.txt`` and ``hdr_img.hdr``. The
paper's samples take one exposure of each moment in the order of time, with exposures and truth of the middle
moment (README of the SAFNet repository); so does this reader. The other orders are left out.

Stops in exposure.txt and a truth whose 1.0 saturates the darkest picture are as far as known: the S2R-HDR
repository renames hdr_img.hdr to HDRImg.hdr and reads this set with its reader of Kalantari's (both names
are found here). The scale is verified on reading; see ``scene``.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from export.layouts.bracket import DatasetError
from export.layouts.exposures import exposure_file
from export.layouts.files import first_file, folders, name_in
from export.layouts.scene import Scene, Stack, text_stack

EXPECTS = "folders NNN_1, NNN_2, NNN_3 with ldr_img_1.tif to ldr_img_3.tif, exposure.txt and hdr_img.hdr"

TRUTHS = ("hdr_img.hdr", "HDRImg.hdr")


def find(root: Path) -> list[Scene]:
    """Scenes of ``root``, one for the three moments; empty where no folder holds ldr_img_N.tif."""
    stems: dict[Path, None] = {}
    for folder in folders(root):
        moment = re.fullmatch(r"(.+)_[123]", folder.name)
        if moment and any(first_file(folder, (f"ldr_img_{n}.tif",)) for n in (1, 2, 3)):
            stems[folder.with_name(moment[1])] = None
    return [
        Scene(name_in(root, stem), stem.with_name(f"{stem.name}_2"), partial(load, stem)) for stem in stems
    ]


def load(stem: Path) -> Stack:
    """Read the scene whose folders are ``stem`` with _1, _2 and _3. Raises DatasetError, ImageError."""
    moments = [stem.with_name(f"{stem.name}_{n}") for n in (1, 2, 3)]
    pictures = []
    for number, folder in enumerate(moments, 1):
        picture = first_file(folder, (f"ldr_img_{number}.tif",))
        if picture is None:
            raise DatasetError(f"{folder / f'ldr_img_{number}.tif'}: missing; copy the three moments again")
        pictures.append(picture)
    return text_stack(moments[1], pictures, exposure_file(moments[1]), first_file(moments[1], TRUTHS))
