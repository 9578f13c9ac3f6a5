"""The files themselves: cut by size, fragments short enough, whatever the frame rate."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge.encode.masters import MasterSettings, MasterWriter
from edge.encode.segments import ClosedSegment
from edge.encode.video import HdrEncoder, VideoSettings
from edge.encode.video_read import count_frames
from edge.frames import Exposure, Frame
from edge.tone.tonemap import HdrToneMapper
from hw.camera import CameraInfo

MOST_S = 1.0
CLUSTER, CLUSTER_TIME, CRC_32 = b"\x1f\x43\xb6\x75", 0xE7, 0xBF


def film(folder: Path, fps: float, seconds: float, segment_bytes: int | None = None) -> list[ClosedSegment]:
    closed: list[ClosedSegment] = []
    info = CameraInfo("reference", "test", "1", 64, 48, "bayer_rggb", 12, 64, 4095, 1e6 / fps)
    settings = MasterSettings(segment_bytes=segment_bytes, sync_s=None)
    masters = MasterWriter.of(folder, info, settings, closed.append)
    video = HdrEncoder(
        folder,
        width=64,
        height=48,
        fps=fps,
        origin_ns=0,
        settings=VideoSettings(preset="ultrafast", segment_bytes=segment_bytes, sync_s=None),
        on_segment=closed.append,
    )
    mapper = HdrToneMapper()
    for seq in range(round(seconds * fps)):
        t_ns = round(seq * 1e9 / fps)
        mosaic = np.random.default_rng(seq).integers(0, 4096, (48, 64)).astype(np.uint16)
        frame = Frame("reference", seq, t_ns, t_ns, Exposure(8000.0), mosaic, "bayer_rggb", 12)
        masters.write(frame, t_ns)
        video.write(mapper.convert(np.full((48, 64, 3), 0.01 * (seq % 50), np.float32)), t_ns)
    masters.close()
    video.close()
    return closed


def fragments_s(path: Path) -> Iterator[float]:
    """Times at which the fragments of an MP4 begin (ISO/IEC 14496-12, 8.8.12)."""
    data = path.read_bytes()
    place = 0
    while place < len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        if kind == b"moof":
            at = data.index(b"tfdt", place)
            assert at < place + size
            form = ">Q" if data[at + 4] else ">I"
            yield struct.unpack_from(form, data, at + 8)[0] / 90_000
        place += size


def clusters_s(path: Path) -> Iterator[float]:
    """Times at which the clusters of a Matroska file begin (RFC 9559, 5.1.3.1)."""
    data = path.read_bytes()
    at = data.find(CLUSTER)
    while at >= 0:
        first = data[at + 4]
        length = 9 - first.bit_length()
        body = at + 4 + length
        if data[body] == CRC_32:
            body += 6
        if data[body] == CLUSTER_TIME:
            size = data[body + 1] & 0x7F
            yield int.from_bytes(data[body + 2 : body + 2 + size], "big") / 1000
        at = data.find(CLUSTER, at + 4)


@pytest.mark.parametrize("fps", [30.0, 7.5, 2.0])
def test_no_fragment_is_longer_than_a_second(tmp_path: Path, fps: float) -> None:
    """What is in an unfinished fragment is what a kill costs."""
    seconds = 2.5
    film(tmp_path, fps, seconds)
    for times in (
        list(fragments_s(tmp_path / "hdr/000000.mp4")),
        list(clusters_s(tmp_path / "reference/000000.mkv")),
    ):
        assert times[0] == 0.0
        assert all(0 < b - a <= MOST_S for a, b in pairwise([*times, seconds])), times


def test_files_are_cut_by_size(tmp_path: Path) -> None:
    """A fast camera would exceed the largest file that a FAT disk takes; and old files can be deleted."""
    limit = 60_000
    closed = film(tmp_path, 30.0, 4.0, segment_bytes=limit)
    masters = [c for c in closed if c.stream == "reference"]
    assert len(masters) > 5
    assert [c.file for c in masters] == [f"reference/{n:06d}.mkv" for n in range(len(masters))]
    assert sum(c.frames for c in masters) == 120
    for segment in masters:
        path = tmp_path / segment.file
        assert path.stat().st_size == segment.size_bytes < 1.6 * limit  # half a second is in the muxer
        assert count_frames(path) == segment.frames
    assert all(a.last_t_ns < b.first_t_ns for a, b in pairwise(masters))
