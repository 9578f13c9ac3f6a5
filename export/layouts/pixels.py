"""Pixels of a dataset: exposures coded with a gamma, radiance in Radiance HDR or EXR."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from edge.errors import TwinhdrError
from edge.frames import FloatImage
from edge.images.imageio import GAMMA, MAX_PIXELS, read_linear
from edge.native import native_messages
from export.layouts.bracket import DatasetError
from hw.simulator.radiance import load_radiance


def read_exposure(path: Path, gamma: float = GAMMA) -> FloatImage:
    """One exposure as (H, W, 3) float32 linear RGB in [0, 1]; ``gamma`` is what the dataset was coded with.

    8 and 16 bit PNG, TIFF and JPEG, or linear EXR (``edge.images.imageio``). Raises ImageError.
    """
    image = read_linear(path)
    return image if gamma == GAMMA else np.power(image, np.float32(gamma / GAMMA))


def read_radiance(path: Path) -> FloatImage:
    """(H, W, 3) float32 linear RGB >= 0 on the file's own scale, from .hdr or .exr. Raises DatasetError."""
    try:
        image = _read_rgbe(path) if path.suffix.lower() == ".hdr" else load_radiance(path)
    except DatasetError:
        raise
    except (TwinhdrError, OSError) as error:
        raise DatasetError(f"{error}; copy it again from the dataset") from None
    if not np.isfinite(image).all():
        raise DatasetError(f"{path}: holds values that are not finite; copy it again from the dataset")
    return np.maximum(image, 0.0)


def _read_rgbe(path: Path) -> FloatImage:
    """Radiance HDR through OpenCV, which knows the usual ``-Y height +X width`` alone."""
    import cv2

    data = path.read_bytes()
    size = re.search(rb"\n\n-Y (\d{1,9}) \+X (\d{1,9})\n", data[:4096])
    if not data.startswith(b"#?") or size is None:
        raise DatasetError(f"{path}: not a Radiance HDR picture, rows from the top; copy or convert it again")
    height, width = int(size[1]), int(size[2])
    if not 0 < width * height <= MAX_PIXELS:
        raise DatasetError(f"{path}: its header says {width} x {height} pixels; copy it again")
    with native_messages():  # OpenCV's own complaint about a truncated file
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.shape != (height, width, 3):
        raise DatasetError(f"{path}: damaged or cut off; copy it again from the dataset")
    return np.ascontiguousarray(image[..., ::-1], np.float32)
