"""Kalantari and Ramamoorthi, "Deep High Dynamic Range Imaging of Dynamic Scenes", SIGGRAPH 2017.

``Training/001/`` and ``Test/{PAPER,EXTRA}/NAME/`` hold three 16-bit TIFF named by the camera
(``262A0898.tif``, ascending), ``exposure.txt`` with stops one a line (``0 2 4``, ``0 3 6``) and
``HDRImg.hdr`` (README of the HDR-Transformer-PyTorch repository; the test data of Deep-Deghosting-HDR; issue
9 of DeepHDR-pytorch). The repackaging by Wu et al. 2018 has ``input_N_aligned.tif``, ``input_exp.txt`` and
``ref_hdr_aligned.hdr``; its ``ref_N_aligned.tif`` are the static pictures that the truth was merged from
(prepare_SIG17.py of the FSHDR repository, issue 12 of DeepHDR).

Pictures are H * t coded with gamma 1/2.2. Published readers take the least exposure off the others before
they compare with the truth (``2^(e - min e)``, issue 13 of DeepHDR), so 1.0 of the truth saturates the
darkest picture. Verified on reading; see ``scene``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from export.layouts.exposures import exposure_file
from export.layouts.files import TIFF, files, first_file, folders, name_in
from export.layouts.scene import Scene, Stack, folder_stack

EXPECTS = "folders with three .tif, exposure.txt and HDRImg.hdr"

TRUTHS = ("HDRImg.hdr", "ref_hdr_aligned.hdr")


def find(root: Path) -> list[Scene]:
    """Scenes of ``root``; empty where no folder has a ground truth of the expected name."""
    everywhere = folders(root)
    if not any(first_file(folder, TRUTHS) for folder in everywhere):
        return []
    return [
        Scene(name_in(root, folder), folder, partial(load, folder))
        for folder in everywhere
        if first_file(folder, TRUTHS) or (len(files(folder, TIFF)) > 1 and exposure_file(folder))
    ]


def load(folder: Path) -> Stack:
    """Read one scene. Raises DatasetError, ImageError."""
    pictures = files(folder, TIFF)
    moving = [path for path in pictures if path.name.lower().startswith("input_")]
    return folder_stack(folder, moving or pictures, first_file(folder, TRUTHS))
