"""A recording plays as HDR everywhere: right tags, right times, right light levels, each file on its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.encode.mp4 import boxes, content_light_box, mastering_box, patch_content_light
from edge.encode.segments import first_free_number
from edge.encode.video import ClosedSegment, EncodeError, HdrEncoder, Location, VideoSettings
from edge.tone.hdr_metadata import ContentLight, MasteringDisplay
from edge.tone.tonemap import HdrFormat, HdrToneMapper, YuvImage

WIDTH, HEIGHT, FPS = 128, 96, 30.0
PERIOD_NS = 33_333_333
ORIGIN_NS = 7_000_000_000
Codec = Literal["hevc", "av1"]
CODECS: tuple[Codec, ...] = ("hevc", "av1")
MAPPERS = {name: HdrToneMapper(HdrFormat(name)) for name in ("pq", "hlg")}  # type: ignore[arg-type]


def picture(i: int, transfer: str = "pq", level: float = 1.0) -> YuvImage:
    radiance = np.full((HEIGHT, WIDTH, 3), 0.05, np.float32)
    radiance[:, i % WIDTH :] = level
    return MAPPERS[transfer].convert(radiance)


def record(
    folder: Path,
    codec: Codec = "hevc",
    frames: int = 30,
    transfer: Literal["pq", "hlg"] = "pq",
    segment_s: float = 60.0,
    level: Callable[[int], float] = lambda _: 1.0,
    times: Callable[[int], int] = lambda i: ORIGIN_NS + i * PERIOD_NS,
) -> tuple[list[Location], list[ClosedSegment], HdrEncoder]:
    closed: list[ClosedSegment] = []
    encoder = HdrEncoder(
        folder,
        width=WIDTH,
        height=HEIGHT,
        fps=FPS,
        origin_ns=ORIGIN_NS,
        fmt=HdrFormat(transfer),
        settings=VideoSettings(codec, preset="ultrafast" if codec == "hevc" else 12, segment_s=segment_s),
        on_segment=closed.append,
    )
    at = [encoder.write(picture(i, transfer, level(i)), times(i)) for i in range(frames)]
    encoder.close()
    return at, closed, encoder


def decoded(path: Path) -> list[tuple[Fraction, Any]]:
    with av.open(str(path)) as container:
        return [(frame.pts * frame.time_base, codes(frame)) for frame in container.decode(video=0)]


def codes(frame: Any) -> Any:
    """The planes below each other; PyAV before 18 has no array conversion for 10-bit 4:2:0."""
    rows = [np.frombuffer(p, np.uint16).reshape(p.height, -1)[:, : p.width] for p in frame.planes]
    return np.concatenate([row.ravel() for row in rows]).reshape(-1, frame.width)


def ffprobe(path: Path) -> dict[str, Any]:
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is not installed (Debian: apt install ffmpeg)")
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_streams", "-show_frames", str(path)]
    return dict(json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout))


def light_of(side_data: list[dict[str, Any]]) -> dict[str, Any]:
    return {k: v for data in side_data for k, v in data.items() if k in ("max_content", "max_average")}


@pytest.mark.parametrize(("codec", "name", "profile"), [("hevc", "hevc", "Main 10"), ("av1", "av1", "Main")])
def test_ffprobe_sees_hdr10(tmp_path: Path, codec: Codec, name: str, profile: str) -> None:
    """A player that does not see these tags shows a washed-out picture."""
    _, closed, _ = record(tmp_path, codec)
    probe = ffprobe(tmp_path / "hdr/000000.mp4")
    stream = probe["streams"][0]
    assert (stream["codec_name"], stream["profile"], stream["pix_fmt"]) == (name, profile, "yuv420p10le")
    tags = ("color_range", "color_space", "color_transfer", "color_primaries", "chroma_location")
    assert [stream[tag] for tag in tags] == ["tv", "bt2020nc", "smpte2084", "bt2020", "left"]
    assert len(probe["frames"]) == 30
    for side_data in (stream["side_data_list"], probe["frames"][0]["side_data_list"]):
        mastering = next(d for d in side_data if "max_luminance" in d)
        assert float(Fraction(mastering["max_luminance"])) == 1000.0
        assert float(Fraction(mastering["red_x"])) == pytest.approx(0.68, abs=1e-4)
        light = closed[0].light
        assert light is not None
        assert light_of(side_data) == {"max_content": light.max_cll, "max_average": light.max_fall}


@pytest.mark.parametrize("codec", CODECS)
def test_hlg_says_so(tmp_path: Path, codec: Codec) -> None:
    """HLG read as PQ is unwatchable; and static metadata has no place in it."""
    _, closed, encoder = record(tmp_path, codec, 10, transfer="hlg")
    stream = ffprobe(tmp_path / "hdr/000000.mp4")["streams"][0]
    assert stream["color_transfer"] == "arib-std-b67"
    assert "side_data_list" not in stream
    assert closed[0].light is None
    assert encoder.session_light is None


@pytest.mark.parametrize("codec", CODECS)
def test_picture_survives(tmp_path: Path, codec: Codec) -> None:
    """Planes swapped or shifted would pass every test of tags."""
    record(tmp_path, codec, 3)
    expected = picture(2)
    image = decoded(tmp_path / "hdr/000000.mp4")[2][1]
    planes = np.vstack([expected.y, expected.cb.reshape(-1, WIDTH), expected.cr.reshape(-1, WIDTH)])
    assert np.abs(image.astype(int) - planes).mean() < 3.0


@pytest.mark.parametrize("codec", CODECS)
def test_light_is_measured_per_file_and_patched_everywhere(tmp_path: Path, codec: Codec) -> None:
    """Displays scale by MaxCLL; an estimate left in one of its copies makes players disagree."""
    _, closed, encoder = record(tmp_path, codec, 60, segment_s=1.0, level=lambda i: 1.0 if i < 30 else 3.0)
    lights = [segment.light for segment in closed]
    assert lights[0] is not None
    assert lights[1] is not None
    assert lights[0].max_cll == pytest.approx(203, abs=1)
    assert lights[1].max_cll == pytest.approx(609, abs=2)
    assert encoder.session_light == lights[1]
    for segment, light in zip(closed, lights, strict=True):
        assert light is not None
        expected = {"max_content": light.max_cll, "max_average": light.max_fall}
        probe = ffprobe(tmp_path / segment.file)
        assert light_of(probe["streams"][0]["side_data_list"]) == expected
        assert all(light_of(frame["side_data_list"]) == expected for frame in probe["frames"])


def test_estimate_stands_at_the_head_until_then(tmp_path: Path) -> None:
    """A crash must leave a sensible light level, not none: a torn file still says 1000, 400."""
    encoder = HdrEncoder(
        tmp_path, width=WIDTH, height=HEIGHT, fps=FPS, origin_ns=0, settings=VideoSettings(fragment_s=0.05)
    )
    for i in range(6):
        encoder.write(picture(i), i * PERIOD_NS)
    shutil.copy(tmp_path / "hdr/000000.mp4", tmp_path / "torn.mp4")
    encoder.close()
    assert content_light_box(ContentLight(1000, 400)) in (tmp_path / "torn.mp4").read_bytes()
    assert len(decoded(tmp_path / "torn.mp4")) >= 3


@pytest.mark.parametrize("codec", CODECS)
def test_segments_play_alone_and_join(tmp_path: Path, codec: Codec) -> None:
    """Files cut by time must each start with a keyframe, and together give every frame its session time."""
    jitter = np.random.default_rng(6).integers(-2_000_000, 2_000_000, 75)
    times = [ORIGIN_NS + 5_000_000 + i * PERIOD_NS + int(jitter[i]) for i in range(75)]
    at, closed, _ = record(tmp_path, codec, 75, segment_s=1.0, times=lambda i: times[i])
    assert [segment.frames for segment in closed] == [30, 30, 15]
    assert at[30] == Location("hdr/000001.mp4", 0)
    assert at[74] == Location("hdr/000002.mp4", 14)
    assert [(s.first_t_ns, s.last_t_ns) for s in closed] == [
        (times[0], times[29]), (times[30], times[59]), (times[60], times[74])
    ]  # fmt: skip
    pts: list[Fraction] = []
    for segment in closed:
        path = tmp_path / segment.file
        assert path.stat().st_size == segment.size_bytes
        pts += [time for time, _ in decoded(path)]
    expected = [(t - ORIGIN_NS) / 1e9 for t in times]
    assert np.abs(np.array([float(p) for p in pts]) - expected).max() <= 0.6 / 90_000
    joined = tmp_path / "joined.mp4"
    joined.write_bytes(b"".join((tmp_path / s.file).read_bytes() for s in closed[:2]))
    assert len(decoded(joined)) == 60


def test_times_never_go_back(tmp_path: Path) -> None:
    """Two frames on one tick, or one before zero, must cost neither frame."""
    times = [ORIGIN_NS - 50, ORIGIN_NS, ORIGIN_NS + 1000, ORIGIN_NS + PERIOD_NS]
    record(tmp_path, frames=4, times=lambda i: times[i])
    assert [p * 90_000 for p, _ in decoded(tmp_path / "hdr/000000.mp4")] == [0, 1, 2, 3000]


def test_full_disk_is_one_clear_error_and_no_more(tmp_path: Path) -> None:
    """An error must name file, cause and remedy; and recording goes on by itself once there is room."""
    encoder = HdrEncoder(tmp_path, width=WIDTH, height=HEIGHT, fps=FPS, origin_ns=0)
    (tmp_path / "hdr").mkdir()
    (tmp_path / "hdr/000000.mp4").symlink_to("/dev/full")
    with pytest.raises(EncodeError, match=r"000000\.mp4: cannot write .*No space left.*free space"):
        encoder.write(picture(0), 0)
    assert encoder.write(picture(0), 61 * PERIOD_NS) == Location("hdr/000001.mp4", 0)
    encoder.close()
    encoder.close()
    assert len(decoded(tmp_path / "hdr/000001.mp4")) == 1


def test_other_failures_are_named(tmp_path: Path) -> None:
    """Never a traceback of a library: a bad preset, a wrong size and a forbidden folder say what they are."""
    options = {"width": WIDTH, "height": HEIGHT, "fps": FPS, "origin_ns": 0}
    wrong = HdrEncoder(tmp_path, settings=VideoSettings(preset="hasty"), **options)  # type: ignore[arg-type]
    with pytest.raises(EncodeError, match="check codec, preset"):
        wrong.write(picture(0), 0)
    large = HdrEncoder(tmp_path, **(options | {"width": WIDTH * 2}))  # type: ignore[arg-type]
    with pytest.raises(EncodeError, match="128x96, the file 256x96"):
        large.write(picture(0), 0)
    (tmp_path / "file").write_text("in the way")
    blocked = HdrEncoder(tmp_path / "file", **options)  # type: ignore[arg-type]
    with pytest.raises(EncodeError, match="cannot write this video"):
        blocked.write(picture(0), 0)
    for encoder in (wrong, large, blocked):
        encoder.close()


@pytest.mark.parametrize("codec", CODECS)
def test_encoders_leave_scheduling_alone(tmp_path: Path, codec: Codec) -> None:
    """SVT-AV1 run by root takes real-time priority for itself and its caller: cameras would wait for it."""
    encoder = HdrEncoder(
        tmp_path, width=WIDTH, height=HEIGHT, fps=FPS, origin_ns=0, settings=VideoSettings(codec)
    )
    encoder.write(picture(0), 0)
    policies = {os.sched_getscheduler(int(task)) for task in os.listdir("/proc/self/task")}
    encoder.close()
    assert policies == {os.SCHED_OTHER}
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A second writer in the same folder must go on after the files that are there."""
    record(tmp_path, frames=2)
    at, _, _ = record(tmp_path, frames=2)
    assert at[0].file == "hdr/000001.mp4"
    assert first_free_number(tmp_path / "hdr", "mp4") == 2
    assert first_free_number(tmp_path / "none", "mp4") == 0


def test_odd_images_are_even_in_the_file(tmp_path: Path) -> None:
    """A sensor of odd size records all the same."""
    image = HdrToneMapper().convert(np.full((97, 129, 3), 0.5, np.float32))
    encoder = HdrEncoder(tmp_path, width=130, height=98, fps=FPS, origin_ns=0)
    encoder.write(image, 0)
    encoder.close()
    assert decoded(tmp_path / "hdr/000000.mp4")[0][1].shape == (98 * 3 // 2, 130)


def test_encoders_leave_no_threads_and_files(tmp_path: Path) -> None:
    """A year of recording opens half a million segments."""
    record(tmp_path, "hevc", 2)
    before = [len(os.listdir(f"/proc/self/{kind}")) for kind in ("fd", "task")]
    record(tmp_path, "hevc", 30, segment_s=0.2)
    after = [len(os.listdir(f"/proc/self/{kind}")) for kind in ("fd", "task")]
    assert all(now <= then for now, then in zip(after, before, strict=True)), (before, after)


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_patchable_light_levels_need_no_escape(max_cll: int, max_fall: int) -> None:
    """One escape byte in place of another value would shift every byte of the stream behind it."""
    light = ContentLight(max_cll, max_fall).sei_safe()
    coded = bytes([144, 4]) + light.max_cll.to_bytes(2, "big") + light.max_fall.to_bytes(2, "big") + b"\x80"
    assert not any(b"\0\0" + bytes([b]) in coded for b in range(4))
    assert 0 <= light.max_cll - max_cll <= 1
    assert light.max_fall == max_fall


def test_patching_refuses_what_it_must(tmp_path: Path) -> None:
    """Better no figure than a broken stream."""
    with pytest.raises(ValueError, match="sei_safe"):
        patch_content_light(tmp_path / "any.mp4", ContentLight(0, 0))
    (tmp_path / "empty.mp4").touch()
    assert patch_content_light(tmp_path / "empty.mp4", ContentLight(100, 50)) == 0


def test_boxes_by_hand() -> None:
    """ISO/IEC 14496-12: sizes, names and units of the two boxes that players look for."""
    assert content_light_box(ContentLight(1000, 400)) == bytes.fromhex("0000000c636c6c6903e80190")
    box = mastering_box(MasteringDisplay())
    assert box[:8] == bytes.fromhex("000000206d646376")
    assert int.from_bytes(box[8:10], "big") == 13250  # green x first
    assert int.from_bytes(box[24:28], "big") == 10_000_000
    assert list(boxes(box + box[:5], 0, len(box) + 5)) == [(b"mdcv", 0, 32)]
    large = b"\0\0\0\x01wide" + (20).to_bytes(8, "big") + b"abcd"
    assert list(boxes(large, 0, len(large))) == [(b"wide", 0, 20)]
