"""Exposure from the EXIF of a JPEG or TIFF picture: three numbers, read without decoding a pixel.

EXIF 2.32 (CIPA DC-008), section 4.6: ExposureTime, FNumber and PhotographicSensitivity lie in the Exif IFD,
which a TIFF directory points to. OpenCV reads the orientation alone, and an EXIF library would be a
dependency for three numbers.
"""

from __future__ import annotations

import struct
from pathlib import Path

EXIF_IFD, TIME, F_NUMBER, ISO = 0x8769, 0x829A, 0x829D, 0x8827
SEARCHED = 2**18
"""Bytes: an EXIF block is at most 64 KiB and comes first."""
MOST_ENTRIES = 512


def exif_light(path: Path) -> float | None:
    """Light as ``time * ISO / 100 / f_number**2``; None where the picture does not say.

    Sensitivity and aperture count as 100 and 1 where they are missing.
    """
    with path.open("rb") as file:
        data = file.read(SEARCHED)
    if data.startswith(b"\xff\xd8"):
        at = data.find(b"Exif\0\0")
        data = data[at + 6 :] if at > 0 else b""
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return None
    try:
        values = _exposure_tags(data)
    except struct.error:  # cut off, or an offset that leads outside
        return None
    time, stop, iso = values.get(TIME, 0.0), values.get(F_NUMBER, 1.0), values.get(ISO, 100.0)
    return time * iso / 100 / stop**2 if min(time, stop, iso) > 0 else None


def _exposure_tags(data: bytes) -> dict[int, float]:
    order = "<" if data[:2] == b"II" else ">"
    (first,) = struct.unpack_from(f"{order}I", data, 4)
    pointer = _directory(data, order, first).get(EXIF_IFD)
    return {} if pointer is None else _directory(data, order, int(pointer))


def _directory(data: bytes, order: str, at: int) -> dict[int, float]:
    """The single numbers among the entries of the directory at ``at``."""
    (entries,) = struct.unpack_from(f"{order}H", data, at)
    values = {}
    for number in range(min(entries, MOST_ENTRIES)):
        entry = at + 2 + 12 * number
        tag, kind, _ = struct.unpack_from(f"{order}HHI", data, entry)
        if kind == 3:
            (values[tag],) = struct.unpack_from(f"{order}H", data, entry + 8)
        elif kind == 4:
            (values[tag],) = struct.unpack_from(f"{order}I", data, entry + 8)
        elif kind == 5 and tag in (TIME, F_NUMBER):
            (where,) = struct.unpack_from(f"{order}I", data, entry + 8)
            above, below = struct.unpack_from(f"{order}II", data, where)
            values[tag] = above / below if below else 0.0
    return values
