"""Radiance back from an HDR video, for pictures and checks: ``edge.tone.tonemap`` inverted, up to 10 bits."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import groupby

import av
import av.error
import cv2
import numpy as np
from numpy.typing import NDArray

from edge.config.schema import HdrConfig
from edge.errors import TwinhdrError
from edge.frames import FloatImage
from edge.session.config import session_config
from edge.session.recording import HdrRecord, Session
from edge.tone import colour


class VideoReadError(TwinhdrError):
    """A frame of a video cannot be read back. The text names the file and the frame."""


def read_radiance(session: Session, record: HdrRecord) -> FloatImage:
    """(H, W, 3) float32 radiance in reference units of one recorded frame. Raises VideoReadError."""
    return next(read_radiances(session, [record]))[1]


def read_radiances(session: Session, records: Iterable[HdrRecord]) -> Iterator[tuple[HdrRecord, FloatImage]]:
    """The same for records in order; every file is decoded once. Raises VideoReadError."""
    hdr = session_config(session.header.config, session.path).hdr
    for file, group in groupby(records, key=lambda record: record.file):
        wanted = deque(group)
        if file is None:
            raise VideoReadError(f"{session.path}: frame {wanted[0].seq} was fused but not stored")
        path = session.path / file
        try:
            with av.open(str(path)) as container:
                for index, frame in enumerate(container.decode(video=0)):
                    if wanted and index == wanted[0].index:
                        planes = _planes(frame.reformat(format="yuv444p10le"))
                        yield wanted.popleft(), _radiance(planes, hdr)
                    if not wanted:
                        break
        except (av.error.FFmpegError, OSError) as error:
            raise VideoReadError(f"{path}: cannot be decoded ({error})") from error
        if wanted:
            raise VideoReadError(f"{path}: has no frame {wanted[0].index}; the file was cut off")


def _radiance(planes: NDArray[np.uint16], hdr: HdrConfig) -> FloatImage:
    if hdr.transfer == "pq":
        return _from_pq(planes, hdr.reference_white_nits)
    return _from_hlg(planes, hdr.reference_white_nits, hdr.peak_nits)


def _planes(frame: av.VideoFrame) -> NDArray[np.uint16]:
    """(3, H, W) codes; PyAV has no array conversion for this format."""
    rows = [np.frombuffer(plane, np.uint16).reshape(plane.height, -1) for plane in frame.planes]
    return np.stack([row[:, : frame.width] for row in rows])


def _signal(planes: NDArray[np.uint16]) -> NDArray[np.float64]:
    """(3, H, W) limited-range 10-bit Y'CbCr to (H, W, 3) R'G'B' in [0, 1]."""
    ycbcr = np.moveaxis(planes.astype(np.float64), 0, -1)
    ycbcr[..., 0] = (ycbcr[..., 0] - 64.0) / 876.0
    ycbcr[..., 1:] = (ycbcr[..., 1:] - 512.0) / 896.0
    rgb: NDArray[np.float64] = cv2.transform(ycbcr, np.linalg.inv(colour.bt2020_ycbcr()))
    return np.clip(rgb, 0.0, 1.0)


def _to_709(light: NDArray[np.float64]) -> FloatImage:
    rgb: NDArray[np.float64] = cv2.transform(light, np.linalg.inv(colour.rec709_to_bt2020()))
    return np.maximum(rgb, 0.0).astype(np.float32)


def _from_pq(planes: NDArray[np.uint16], white_nits: float) -> FloatImage:
    return _to_709(colour.nits_from_pq(_signal(planes)) / white_nits)


def _from_hlg(planes: NDArray[np.uint16], white_nits: float, peak_nits: float) -> FloatImage:
    """BT.2100 table 5: the inverse of the HLG OETF."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    signal = _signal(planes)
    scene = np.where(signal <= 0.5, signal**2 / 3.0, (np.exp((signal - c) / a) + b) / 12.0)
    return _to_709(scene / colour.hlg_scene_of_white(white_nits, peak_nits))
