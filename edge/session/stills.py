"""Masters brought in as one image file per frame, read as raw counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError
from edge.frames import Image
from edge.images import imagecheck
from edge.images.imageio import read_linear
from edge.session.format import Transfer
from hw.camera import CameraInfo

_CHECKS = {
    b"\x89PNG": imagecheck.check_png,
    b"\xff\xd8\xff": imagecheck.check_jpeg,
    b"II*\0": imagecheck.check_tiff,
    b"MM\0*": imagecheck.check_tiff,
}


def read_counts(path: Path, info: CameraInfo, transfer: Transfer) -> Image:
    """One frame in counts as ``info`` describes them, (H, W) or (H, W, 3) RGB.

    PNG, TIFF and JPEG hold these counts. EXR holds light, 1.0 = saturation of this exposure, which becomes
    counts from black to white level. Raises ImageError.
    """
    if path.suffix.lower() == ".exr":
        if info.pixel_format != "rgb" or transfer != "linear":
            raise ImageError(f"{path}: EXR needs pixel_format rgb and transfer linear in session.json")
        counts = read_linear(path) * (info.white_level - info.black_level) + info.black_level
        return np.rint(counts).astype(dtype_of(info))
    image = _decode(path)
    if image.ndim == 3 and image.shape[2] == 3:
        image = np.ascontiguousarray(image[..., ::-1])
    if image.dtype != dtype_of(info):
        raise ImageError(
            f"{path}: {image.dtype} pixels, and session.json says {info.bit_depth} bits; correct bit_depth"
        )
    if int(image.max()) >> info.bit_depth:
        raise ImageError(
            f"{path}: it holds {int(image.max())}, more than the {info.bit_depth} bits of session.json; "
            "correct bit_depth"
        )
    return image


def dtype_of(info: CameraInfo) -> type[np.uint8 | np.uint16]:
    """The type that frames of this camera have."""
    return np.uint8 if info.bit_depth <= 8 else np.uint16


def _decode(path: Path) -> NDArray[Any]:
    import cv2

    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror}; check the path") from None
    check = next((check for magic, check in _CHECKS.items() if data.startswith(magic)), None)
    if check is None:
        raise ImageError(f"{path}: not a PNG, TIFF, JPEG or EXR image; convert it")
    try:
        check(data)
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except (imagecheck.DamagedError, imagecheck.UnsuitedError, cv2.error) as error:
        raise ImageError(f"{path}: damaged image: {error}; copy or export it again") from None
    if image is None:
        raise ImageError(f"{path}: damaged image: it cannot be decoded; copy or export it again")
    return np.asarray(image)
