"""Radiance to a picture file, the kind chosen by the ending of its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from edge.errors import first_line
from edge.frames import FloatImage
from edge.images.imageio import ImageWriteError, check_output, replace_atomically, write_exr, write_png

KINDS: Mapping[str, str] = {
    ".exr": "scene-linear 32-bit float OpenEXR",
    ".hdr": "Radiance RGBE, scene-linear",
    ".avif": "AVIF, 10-bit PQ, BT.2020",
    ".jpg": "Ultra HDR JPEG: SDR with a gain map",
    ".jpeg": "Ultra HDR JPEG: SDR with a gain map",
    ".png": "tone-mapped sRGB, 8 bits",
}
"""What ``write_picture`` writes, by ending."""


def check_picture(path: Path) -> None:
    """Refuse a name that ``write_picture`` could not serve, before the work. Raises ImageError."""
    suffix = path.suffix.lower()
    if suffix not in KINDS:
        raise ImageWriteError(f"{path}: the name must end with one of {', '.join(KINDS)}; choose such a name")
    check_output(path, suffix)


def write_picture(path: Path, radiance: FloatImage, note: str = "") -> None:
    """Write (H, W, 3) float32 radiance; the file appears complete or not at all. Raises ImageError."""
    check_picture(path)
    if path.suffix.lower() == ".exr":
        write_exr(path, radiance, note)
        return
    write = _WRITERS[path.suffix.lower()]
    try:
        write(path, radiance)
    except ValueError as error:
        raise ImageWriteError(f"{path}: this picture cannot be encoded: {first_line(error)}") from error


def _write_png(path: Path, radiance: FloatImage) -> None:
    from edge.tone.sdr import apply_curve, meter

    write_png(path, apply_curve(radiance, meter(radiance)))


def _write_jpeg(path: Path, radiance: FloatImage) -> None:
    from edge.exports.ultrahdr import encode_ultra_hdr

    jpeg = encode_ultra_hdr(radiance).jpeg
    _write_bytes(path, jpeg)


def _write_avif(path: Path, radiance: FloatImage) -> None:
    import av

    from edge.exports.avif import write_avif

    def write(temporary: Path) -> None:
        try:
            write_avif(temporary, radiance)
        except av.FFmpegError as error:
            raise OSError(error.errno, error.strerror) from error

    replace_atomically(path, write)


def _write_hdr(path: Path, radiance: FloatImage) -> None:
    import cv2

    ok, data = cv2.imencode(".hdr", np.ascontiguousarray(radiance[..., ::-1], np.float32))
    if not ok:
        raise ValueError(f"OpenCV cannot encode an image of shape {radiance.shape} as Radiance RGBE")
    _write_bytes(path, data.tobytes())


def _write_bytes(path: Path, data: bytes) -> None:
    def write(temporary: Path) -> None:
        temporary.write_bytes(data)

    replace_atomically(path, write)


_WRITERS: Mapping[str, Callable[[Path, FloatImage], None]] = {
    ".hdr": _write_hdr,
    ".avif": _write_avif,
    ".jpg": _write_jpeg,
    ".jpeg": _write_jpeg,
    ".png": _write_png,
}
