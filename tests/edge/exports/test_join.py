"""The joined video: one plain MP4 that says of itself what players ask, with every frame in its time."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import pytest

from edge.encode.mp4 import boxes, parameter_sets
from edge.encode.video import HdrEncoder, VideoSettings
from edge.exports import join as join_module
from edge.exports.join import JoinError, content_light, join
from edge.session.recording import Session
from edge.tone.tonemap import HdrFormat, HdrToneMapper

WIDTH, HEIGHT, FPS = 128, 96, 30.0
PERIOD_NS = 33_333_333
GAP_NS = 500_000_000
FRAMES = 50
Codec = Literal["hevc", "av1"]
Transfer = Literal["pq", "hlg"]
CONTAINERS = {
    b"moov": 8,
    b"trak": 8,
    b"mdia": 8,
    b"minf": 8,
    b"stbl": 8,
    b"stsd": 16,
    b"hvc1": 86,
    b"av01": 86,
}


def record(folder: Path, codec: Codec, transfer: Transfer) -> list[Path]:
    """Segments of a second; half a second is missing in between."""
    encoder = HdrEncoder(
        folder,
        width=WIDTH,
        height=HEIGHT,
        fps=FPS,
        origin_ns=0,
        fmt=HdrFormat(transfer),
        settings=VideoSettings(codec, preset="ultrafast" if codec == "hevc" else 12, segment_s=1.0),
    )
    mapper = HdrToneMapper(HdrFormat(transfer))
    for i in range(FRAMES):
        radiance = np.full((HEIGHT, WIDTH, 3), 0.05, np.float32)
        radiance[:, 2 * i :] = 1.0
        encoder.write(mapper.convert(radiance), 10**9 + i * PERIOD_NS + (GAP_NS if i >= 40 else 0))
    encoder.close()
    return sorted((folder / "hdr").glob("*.mp4"))


def frames(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        return [
            (frame.pts * frame.time_base, b"".join(bytes(plane) for plane in frame.planes))
            for frame in container.decode(video=0)
        ]


def tree(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """(type, content) of every box, parents first."""
    for kind, at, stop in boxes(data, start, end):
        yield kind, data[at + 8 : stop]
        if kind in CONTAINERS:
            yield from tree(data, at + CONTAINERS[kind], stop)


def ffprobe(path: Path) -> dict[str, Any]:
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is not installed (Debian: apt install ffmpeg)")
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_streams", "-show_format", str(path)]
    return dict(json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout))


@pytest.mark.parametrize("transfer", ["pq", "hlg"])
@pytest.mark.parametrize("codec", ["hevc", "av1"])
def test_joined_is_plain_and_tagged(tmp_path: Path, codec: Codec, transfer: Transfer) -> None:
    """A photo library that misses one of these shows a grey picture, or refuses the file."""
    segments = record(tmp_path, codec, transfer)
    assert len(segments) > 1
    out = tmp_path / "out.mp4"
    assert join_module._remux(segments, out, None, lambda _: None) == FRAMES
    data = out.read_bytes()
    top = [kind for kind, _, _ in boxes(data, 0, len(data))]
    assert top.index(b"moov") < top.index(b"mdat"), "the index has to stand in front"
    assert b"moof" not in top
    found = dict(tree(data, 0, len(data)))
    assert (b"hvc1" if codec == "hevc" else b"av01") in found
    primaries, curve, matrix = struct.unpack_from(">4xHHH", found[b"colr"])
    assert found[b"colr"][:4] == b"nclx"
    assert (primaries, curve, matrix) == (9, 16 if transfer == "pq" else 18, 9)
    assert (b"mdcv" in found, b"clli" in found) == (transfer == "pq",) * 2
    stream = ffprobe(out)["streams"][0]
    assert stream["color_transfer"] == ("smpte2084" if transfer == "pq" else "arib-std-b67")
    assert int(stream["nb_frames"]) == FRAMES
    assert float(stream["start_time"]) == 0.0


@pytest.mark.parametrize("codec", ["hevc", "av1"])
def test_joined_has_every_frame_in_its_time(tmp_path: Path, codec: Codec) -> None:
    """A gap that closes lets sound and other cameras run away from the picture."""
    segments = record(tmp_path, codec, "pq")
    out = tmp_path / "out.mp4"
    join_module._remux(segments, out, None, lambda _: None)
    before = [frame for segment in segments for frame in frames(segment)]
    after = frames(out)
    assert [t for t, _ in after] == [t - before[0][0] for t, _ in before]
    assert [picture for _, picture in after] == [picture for _, picture in before]
    assert after[40][0] - after[39][0] == pytest.approx(0.5333, abs=1e-3)


def test_parameter_sets_stand_in_the_header_only(tmp_path: Path) -> None:
    """``hvc1`` promises it; strict players refuse what breaks the promise."""
    out = tmp_path / "out.mp4"
    join_module._remux(record(tmp_path, "hevc", "pq"), out, None, lambda _: None)
    with av.open(str(out)) as container:
        header = bytes(container.streams.video[0].codec_context.extradata)
        samples = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    assert len(parameter_sets(header)) == 3
    for sample in samples:
        at = 0
        while at < len(sample):
            assert (sample[at + 4] >> 1) & 63 not in (32, 33, 34)
            at += 4 + int.from_bytes(sample[at : at + 4], "big")


def test_a_recording_becomes_one_file(recording: Path, tmp_path: Path) -> None:
    """Its light levels are those of all its frames, and its date is the day it was filmed."""
    session = Session.open(recording)
    out = tmp_path / "film.mp4"
    assert join(session, out) == 60
    light = content_light(session.hdr_records())
    assert light is not None
    data = out.read_bytes()
    clli = dict(tree(data, 0, len(data)))[b"clli"]
    assert struct.unpack(">HH", clli) == (light.sei_safe().max_cll, light.max_fall)
    probe = ffprobe(out)
    assert probe["format"]["tags"]["creation_time"][:10] == session.header.started_utc[:10]
    assert [p.name for p in tmp_path.iterdir()] == ["film.mp4"]


def test_what_does_not_fit_is_said(recording: Path, tmp_path: Path) -> None:
    """Half a film under a proud name is worse than none."""
    copy = shutil.copytree(recording, tmp_path / "session")
    segment = copy / "hdr" / "000000.mp4"
    shutil.copy(record(tmp_path / "other", "hevc", "pq")[0], segment.with_name("000001.mp4"))
    with pytest.raises(JoinError, match="encoded otherwise"):
        join_module._remux(sorted(segment.parent.iterdir()), tmp_path / "x.mp4", None, lambda _: None)
    with pytest.raises(JoinError, match="before the file in front"):
        join_module._remux([segment, segment], tmp_path / "x.mp4", None, lambda _: None)
    with pytest.raises(JoinError, match=r"end with \.mp4"):
        join(Session.open(copy), tmp_path / "film.avi")
    segment.write_bytes(segment.read_bytes()[:100])
    with pytest.raises(JoinError, match=r"000000\.mp4"):
        join(Session.open(copy), tmp_path / "film.mp4")
    assert not (tmp_path / "film.mp4").exists()


def test_a_torn_end_costs_the_torn_end(recording: Path, tmp_path: Path) -> None:
    """After a crash everybody wants the film, and never sees it without this."""
    copy = shutil.copytree(recording, tmp_path / "session")
    segment = copy / "hdr" / "000000.mp4"
    segment.write_bytes(segment.read_bytes()[: int(segment.stat().st_size * 0.6)])
    assert 15 <= join(Session.open(copy), tmp_path / "film.mp4") < 60
    assert len(frames(tmp_path / "film.mp4")) >= 15
