"""Video files read back, by a reader that expects them to be torn: masters, and the fused video.

A file that a killed process left behind simply ends earlier. Anything else that is wrong becomes a
``DamagedVideoError``, per frame where the rest of the file can still be read.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edge.encode.masters import QUADRANTS, rows_of
from edge.frames import Image

_BITS_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class DamagedVideoError(Exception):
    """A video, or one frame of it, cannot be decoded. The text says what the decoder said."""


def extract(frame: Any) -> Image:
    """(H, W) or (H, W, 3) RGB counts of a decoded frame, uint8 or uint16, in memory of their own.

    Raises DamagedVideoError for a pixel format that no master has.
    """
    name, height, width = frame.format.name, frame.height, frame.width
    if name == "bgr0":
        return np.array(rows_of(frame.planes[0], np.uint8, height, 4)[:, :width, 2::-1])
    if name.startswith("gray"):
        dtype = np.uint8 if name == "gray" else np.uint16
        return np.array(rows_of(frame.planes[0], dtype, height)[:, :width])
    if name.startswith("gbrp"):
        dtype = np.uint8 if name == "gbrp" else np.uint16
        green, blue, red = (rows_of(plane, dtype, height)[:, :width] for plane in frame.planes[:3])
        return np.stack([red, green, blue], axis=-1)
    if name in ("rgb24", "bgr24", "rgb48le"):
        return np.asarray(frame.to_ndarray(format="rgb48le" if name == "rgb48le" else "rgb24"))
    raise DamagedVideoError(f"pixel format {name} is none of gray, bgr0, gbrp, rgb24, bgr24, rgb48le")


def read_master(
    path: Path, wanted: Callable[[int], bool] = lambda _: True, *, decode: bool = True
) -> Iterator[tuple[int, int, Image | DamagedVideoError]]:
    """(index, pts in ns, image) of each frame in order, one in memory at a time.

    Frames that are not ``wanted`` are passed over, undecoded where each is a keyframe. Without ``decode`` the
    images are empty: only what checksums tell is told.

    In place of a frame that cannot be decoded there is the error, and reading goes on; where the file itself
    cannot be opened or breaks off in an unreadable way, DamagedVideoError is raised.
    """
    import av

    try:
        with av.open(str(path), metadata_errors="replace") as container:
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise DamagedVideoError("its codec is unknown")
            layout = container.metadata.get("LAYOUT")
            for index, packet in enumerate(p for p in container.demux(stream) if p.size):
                pts_ns = int((packet.pts or 0) * stream.time_base * 1_000_000_000)
                if not decode:
                    yield index, pts_ns, _checked(packet, layout)
                elif wanted(index):
                    yield index, pts_ns, _decode(packet, layout)
                elif layout is None:
                    _decode(packet, layout)  # of a codec whose later frames may need it
    except (av.FFmpegError, OSError, IndexError) as error:
        raise DamagedVideoError(str(error)) from error


def _checked(packet: Any, layout: str | None) -> Image | DamagedVideoError:
    if layout is not None and not intact(bytes(packet)):
        return DamagedVideoError("a checksum is wrong: the file was changed or the disk is failing")
    return np.empty((0, 0), np.uint8)


def _decode(packet: Any, layout: str | None) -> Image | DamagedVideoError:
    import av

    try:
        unread = _checked(packet, layout)
        if isinstance(unread, DamagedVideoError):
            return unread
        frames = packet.decode()
        if len(frames) != 1:
            return DamagedVideoError(f"{len(frames)} images in one packet")
        image = extract(frames[0])
        return from_quadrants(image) if layout == QUADRANTS else image
    except av.FFmpegError as error:
        return DamagedVideoError(str(error))
    except DamagedVideoError as error:
        return error


def intact(packet: bytes) -> bool:
    """Whether every slice of an FFV1 version 3 frame has the CRC that it was written with.

    FFmpeg's decoder notes a wrong CRC in its log and hands out the damaged picture. Slices are found from the
    end: each closes with its size (3 bytes), an error byte and a CRC-32 of generator 0x04C11DB7, most
    significant bit first, which makes the CRC of the whole slice 0 (RFC 9043, 4.9). zlib has the same CRC
    with the bits of each byte in the other order and with inverted start and end.
    """
    end = len(packet)
    while end >= 8:
        start = end - 8 - int.from_bytes(packet[end - 8 : end - 5], "big")
        if start < 0 or zlib.crc32(packet[start:end].translate(_BITS_REVERSED), 0xFFFFFFFF) != 0xFFFFFFFF:
            return False
        end = start
    return end == 0


def from_quadrants(image: Image) -> Image:
    """The inverse of ``to_quadrants``."""
    height, width = image.shape
    out = np.empty_like(image)
    for row in (0, 1):
        for column in (0, 1):
            quadrant = image[row * height // 2 :, column * width // 2 :][: height // 2, : width // 2]
            out[row::2, column::2] = quadrant
    return out


def count_frames(path: Path) -> int:
    """Frames that stand in a video file, without decoding them. Raises DamagedVideoError."""
    import av

    try:
        with av.open(str(path), metadata_errors="replace") as container:
            return sum(1 for packet in container.demux(container.streams.video[0]) if packet.size)
    except (av.FFmpegError, OSError, IndexError) as error:
        raise DamagedVideoError(str(error)) from error
