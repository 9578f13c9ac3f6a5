"""Still images in and out: 8/16-bit PNG, TIFF and JPEG coded with gamma 2.2, and scene-linear EXR.

What is read is (H, W, 3) float32 RGB in [0, 1], linear, 1.0 = saturation of *that* exposure. A grey image
becomes three equal channels; alpha must be opaque everywhere and is dropped. Colour profiles and EXR
chromaticities are not applied: pixels are taken as the sensor's RGB. EXIF orientation is applied.

What cannot be read, or only in part, is an ``ImageError`` naming file, cause and next step.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.durable import sync_folder
from edge.errors import EX_CANTCREAT, EX_NOINPUT, ImageError
from edge.frames import FloatImage
from edge.images import imagecheck
from edge.images.imagecheck import DamagedError, ImageHeader, UnsuitedError
from edge.native import native_messages

GAMMA = 2.2
MAX_PIXELS = 2**27
"""134 megapixels: beyond any sensor twinhdr is meant for, and 1.6 GB as float32 RGB."""
MAX_BYTES = 2**31

REC709_CHROMATICITIES = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
"""x, y of red, green, blue and D65 white (ITU-R BT.709)."""


class ImageNotFoundError(ImageError):
    """The file is not there or may not be read."""

    exit_code = EX_NOINPUT


class ImageWriteError(ImageError):
    """The file cannot be written where it was asked for."""

    exit_code = EX_CANTCREAT


def read_linear(path: Path) -> FloatImage:
    """Read one exposure as (H, W, 3) float32 in [0, 1], linear RGB; the kind is told by content, not by name.

    EXR values outside [0, 1] are clipped as the sensor clips them. Raises ImageError.
    """
    data = _bytes_of(path)
    try:
        if data.startswith(imagecheck.EXR_MAGIC):
            return _read_exr(path)
        header = _check(data)
        _refuse_size(header.width, header.height)
        return _decode(data, header)
    except DamagedError as error:
        raise ImageError(f"{path}: damaged image: {error}; copy or export it again") from None
    except UnsuitedError as error:
        raise ImageError(f"{path}: {error}") from None


def write_exr(path: Path, radiance: FloatImage, note: str = "") -> None:
    """Write (H, W, 3) float32 scene-linear Rec. 709 radiance as 32-bit float EXR, ZIP, without loss.

    ``note`` goes into the attribute ``twinhdr``. The file appears complete or not at all. Raises ImageError.
    """
    import OpenEXR

    header = {
        "compression": OpenEXR.ZIP_COMPRESSION,
        "type": OpenEXR.scanlineimage,
        "chromaticities": REC709_CHROMATICITIES,
        "comments": "scene-linear radiance by twinhdr; 1.0 saturates the reference exposure",
        "twinhdr": note,
    }
    pixels = np.ascontiguousarray(radiance, dtype=np.float32)

    def write(temporary: Path) -> None:
        with OpenEXR.File(header, {"RGB": pixels}) as file:
            file.write(str(temporary))

    replace_atomically(path, write)


def write_png(path: Path, rgb: NDArray[np.uint8]) -> None:
    """Write (H, W, 3) uint8 sRGB as PNG. The file appears complete or not at all. Raises ImageError."""
    import cv2

    done, data = cv2.imencode(".png", np.ascontiguousarray(rgb[..., ::-1]))
    if not done:
        raise ImageWriteError(f"{path}: OpenCV cannot encode an image of shape {rgb.shape} as PNG")

    def write(temporary: Path) -> None:
        temporary.write_bytes(data.tobytes())

    replace_atomically(path, write)


def check_output(path: Path, suffix: str) -> None:
    """Refuse a result's path before the work rather than after it. Raises ImageError."""
    if path.suffix.lower() != suffix:
        raise ImageWriteError(f"{path}: the name must end with {suffix}; choose such a name")
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise ImageWriteError(f"{path}: {what}; make the folder or choose another name")
    if not os.access(path.parent, os.W_OK):
        raise ImageWriteError(f"{path}: the folder {path.parent} may not be written; choose another one")


def replace_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, sync it and rename it onto ``path``.

    Raises ImageError where the disk refuses; then ``path`` is what it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except (OSError, RuntimeError) as error:  # RuntimeError: OpenEXR's answer to a full disk
        cause = getattr(error, "strerror", None) or error
        raise ImageWriteError(f"{path}: cannot be written: {cause}; check the folder and the disk") from None
    finally:
        temporary.unlink(missing_ok=True)


def _bytes_of(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ImageNotFoundError(f"{path}: not a file; name an image file")
        if status.st_size > MAX_BYTES:
            raise ImageError(f"{path}: larger than 2 GiB; this is not a still image")
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        cause = getattr(error, "strerror", None) or error
        raise ImageNotFoundError(f"{path}: cannot be read: {cause}; check the path") from None
    if not data:
        raise ImageError(f"{path}: the file is empty; copy it again from the source")
    return data


def _check(data: bytes) -> ImageHeader:
    if data.startswith(imagecheck.PNG_MAGIC):
        header = imagecheck.check_png(data)
    elif data.startswith(imagecheck.JPEG_MAGIC):
        header = imagecheck.check_jpeg(data)
    elif data[:4] in imagecheck.TIFF_MAGICS:
        header = imagecheck.check_tiff(data)
    else:
        raise UnsuitedError("not a PNG, TIFF, JPEG or EXR image (or its first bytes are lost); convert it")
    if header.bits not in (8, 16):
        raise UnsuitedError(f"it has {header.bits} bits a channel; save it with 8 or 16")
    return header


def _refuse_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise DamagedError(f"its header says {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        raise UnsuitedError(f"{width} x {height} pixels are more than {MAX_PIXELS}; crop it or scale it down")


def _decode(data: bytes, header: ImageHeader) -> FloatImage:
    import cv2

    flags = cv2.IMREAD_UNCHANGED if header.has_alpha else cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    with native_messages() as messages:
        try:
            image: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error as error:
            raise DamagedError(f"it cannot be decoded ({error.err or error.func})") from None
    # libjpeg and libtiff answer damage inside the compressed pixels with a message and a picture
    complaint = re.search(r"Corrupt JPEG data: .*|\[ERROR.*", messages[0])
    if image is None or image.dtype not in (np.uint8, np.uint16) or complaint:
        said = f" (the decoder says: {complaint[0][-100:]})" if complaint else ""
        raise DamagedError(f"it cannot be decoded in full{said}")
    if image.shape[2:] == (4,):
        if int(image[..., 3].min()) != np.iinfo(image.dtype).max:
            raise UnsuitedError("parts of it are transparent; save it without transparency")
        image = image[..., :3]
    if image.ndim != 3 or {image.shape[0], image.shape[1]} != {header.height, header.width}:
        raise DamagedError(f"its header says {header.width} x {header.height}, its pixels {image.shape}")
    return _linearise(image[..., ::-1])


def _linearise(rgb: NDArray[Any]) -> FloatImage:
    """Gamma 2.2 undone through a table: exact, and a fifth of the time of a power per pixel."""
    codes = np.iinfo(rgb.dtype).max + 1
    table = ((np.arange(codes, dtype=np.float64) / (codes - 1)) ** GAMMA).astype(np.float32)
    linear = np.empty(rgb.shape, np.float32)
    for top in range(0, rgb.shape[0], 64):  # in strips: take() makes 8-byte indices of all it is given
        np.take(table, rgb[top : top + 64], out=linear[top : top + 64], mode="clip")
    return linear


def _read_exr(path: Path) -> FloatImage:
    import OpenEXR

    # UnicodeDecodeError, a ValueError, comes from damaged names; an image that is cut off has no parts
    try:
        with native_messages(), OpenEXR.File(str(path), separate_channels=True, header_only=True) as file:
            _check_exr_header(OpenEXR, file)
        with native_messages(), OpenEXR.File(str(path), separate_channels=True) as file:
            planes = {name: channel.pixels for name, channel in file.channels().items()}
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        raise DamagedError(f"it cannot be decoded ({type(error).__name__})") from None
    names = ("R", "G", "B") if "R" in planes else ("Y", "Y", "Y")
    if "A" in planes and float(planes["A"].min()) < 1.0:
        raise UnsuitedError("parts of it are transparent; save it without transparency")
    if any(planes[name].dtype not in (np.float16, np.float32) for name in names):
        raise UnsuitedError("its channels are integers; save them as half or float")
    image: FloatImage = np.stack([planes[name] for name in names], axis=-1, dtype=np.float32)
    bad = int(np.count_nonzero(~np.isfinite(image)))
    if bad:
        raise UnsuitedError(f"{bad} values are not finite; repair it or save it again")
    return np.clip(image, 0.0, 1.0, out=image)


def _check_exr_header(openexr: Any, file: Any) -> None:
    if len(file.parts) != 1:
        raise UnsuitedError(f"it has {len(file.parts)} parts; save the one part that is the picture")
    header = file.header()
    if header.get("type") not in (None, openexr.scanlineimage, openexr.tiledimage):
        raise UnsuitedError("it holds deep data; flatten it")
    low, high = header["dataWindow"]
    if not all(np.array_equal(a, b) for a, b in zip(header["displayWindow"], (low, high), strict=True)):
        raise UnsuitedError("its data window is not its display window; save it uncropped")
    width, height = (int(b) - int(a) + 1 for a, b in zip(low, high, strict=True))
    _refuse_size(width, height)
    channels = {channel.name: channel for channel in header["channels"]}
    if not ({"R", "G", "B"} <= set(channels) or set(channels) - {"A"} == {"Y"}):
        names = ", ".join(list(channels)[:8])
        raise UnsuitedError(f"it has the channels {names}, not R, G and B; save the beauty pass alone")
    if any(channel.xSampling != 1 or channel.ySampling != 1 for channel in channels.values()):
        raise UnsuitedError("its channels are subsampled; save it with full resolution in each")
