"""Masters brought in as one image file per frame, read as raw counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge import imagecheck
from edge.colour import linear_from_srgb
from edge.errors import ImageError
from edge.frames import Image
from edge.imageio import read_linear
from edge.session_format import Transfer
from hw.camera import CameraInfo

_CHECKS = {
    b"\x89PNG": imagecheck.check_png,
    b"\xff\xd8\xff": imagecheck.check_jpeg,
    b"II*\0": imagecheck.check_tiff,
    b"MM\0*": imagecheck.check_tiff,
}


def read_counts(path: Path, stored: CameraInfo, delivered: CameraInfo) -> tuple[Image, bool]:
    """One frame and whether it is linear already.

    PNG, TIFF and JPEG hold counts as ``stored`` describes them and are returned untouched. EXR holds light,
    1.0 = saturation of this exposure, and is returned in linear counts as ``delivered`` describes them.
    Raises ImageError.
    """
    if path.suffix.lower() == ".exr":
        if delivered.pixel_format != "rgb":
            raise ImageError(f"{path}: an EXR is read as rgb, session.json says {delivered.pixel_format}")
        span = delivered.white_level - delivered.black_level
        return np.rint(read_linear(path) * span + delivered.black_level).astype(dtype_of(delivered)), True
    image = _decode(path)
    if image.ndim == 3 and image.shape[2] == 3:
        image = np.ascontiguousarray(image[..., ::-1])
    if image.dtype != dtype_of(stored):
        raise ImageError(
            f"{path}: {image.dtype} pixels, and session.json says {stored.bit_depth} bits; correct bit_depth"
        )
    if int(image.max()) >> stored.bit_depth:
        raise ImageError(
            f"{path}: it holds {int(image.max())}, more than the {stored.bit_depth} bits of session.json; "
            "correct bit_depth"
        )
    return image, False


def dtype_of(info: CameraInfo) -> type[np.uint8 | np.uint16]:
    """The type that frames of this camera have."""
    return np.uint8 if info.bit_depth <= 8 else np.uint16


def linear_table(transfer: Transfer, stored: CameraInfo) -> NDArray[np.uint16] | None:
    """Stored count to linear 16-bit count (black 0, white 65535); None where counts are linear already."""
    if transfer == "linear":
        return None
    counts = np.arange(1 << stored.bit_depth, dtype=np.float64)
    signal = np.clip((counts - stored.black_level) / (stored.white_level - stored.black_level), 0.0, 1.0)
    light: NDArray[Any] = signal**2.2 if transfer == "gamma22" else linear_from_srgb(signal)
    return np.rint(light * 65535.0).astype(np.uint16)


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
