"""What was recorded is read back, whatever a crash, a disk or another program made of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.encode.masters import MasterWriter
from edge.encode.segments import ClosedSegment, Location
from edge.frames import CameraName, Exposure, Frame, FrameStatus, HdrFrame, Rung
from edge.images.imageio import write_exr
from edge.session.recording import Session, SessionError, SessionHeader, SessionWriter
from edge.session.sidecar import SidecarWriter
from edge.tone.hdr_metadata import ContentLight, FrameLight
from hw.camera import CameraInfo

HEIGHT, WIDTH = 6, 8
PERIOD_NS = 33_333_333
PLANNED: dict[CameraName, tuple[Exposure, ...]] = {
    "reference": (Exposure(8000.0),),
    "secondary": (Exposure(2000.0, 1.5), Exposure(32000.0)),
}
CAMERAS: tuple[CameraName, ...] = ("reference", "secondary")
DOC = Path(__file__).parents[3] / "docs/session.md"


def header(**changes: Any) -> SessionHeader:
    cameras = {
        name: CameraInfo(name, "test", "42", WIDTH, HEIGHT, "bayer_rggb", 12, 64, 4095, 33_333.0)
        for name in CAMERAS
    }
    told: dict[str, Any] = {
        "session_id": "one",
        "started_utc": "2026-01-01T00:00:00+00:00",
        "software": "twinhdr 0",
        "cameras": cameras,
        "exposures": PLANNED,
        "colour": {"white_balance": [1.0, 1.0, 1.5]},
        "config": {"version": 1},
        "simulator": {"seed": 3},
    }
    return SessionHeader(**(told | changes))


def mosaic(seq: int) -> NDArray[np.uint16]:
    return np.random.default_rng(seq).integers(0, 4096, (HEIGHT, WIDTH)).astype(np.uint16)


def raw(camera: CameraName, seq: int) -> Frame:
    planned = PLANNED[camera]
    exposure = planned[seq % len(planned)]
    t_ns = seq * PERIOD_NS
    return Frame(camera, seq, t_ns + 99, t_ns + 10**12, exposure, mosaic(seq), "bayer_rggb", 12)


def record(path: Path, frames: int = 8) -> Path:
    """A session with masters of both cameras and lines for a fused video that is not there."""
    writer = SessionWriter.create(path, header(), sync_s=None)
    writer.sidecar.start(0)
    for camera in CAMERAS:
        masters = MasterWriter(
            path,
            camera,
            width=WIDTH,
            height=HEIGHT,
            pixel_format="bayer_rggb",
            bit_depth=12,
            fps=30.0,
            origin_ns=0,
            on_segment=writer.sidecar.segment,
        )
        for seq in range(frames):
            frame = raw(camera, seq)
            writer.sidecar.frame(frame, seq * PERIOD_NS, masters.write(frame, seq * PERIOD_NS))
        masters.close()
    writer.sidecar.end()
    return path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("sessions") / "recorded")


@pytest.fixture
def copy(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "copy"))


def seqs(session: Session, camera: CameraName) -> list[int]:
    return [frame.seq for frame in session.frames(camera)]


def rewrite(path: Path, edit: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    lines = [json.loads(line) for line in (path / "frames.jsonl").read_text().splitlines()]
    kept = [edited for line in lines if (edited := edit(line)) is not None]
    (path / "frames.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kept))


# what is written is read


def test_round_trip(recorded: Path) -> None:
    """Refusing a year later needs every stamp, exposure and bit as it was."""
    session = Session.open(recorded)
    assert session.header == header()
    assert session.clean
    assert session.origin_ns == 0
    for camera in CAMERAS:
        for seq, (frame, t_ns) in enumerate(session.stamped(camera)):
            expected = raw(camera, seq)
            assert t_ns == seq * PERIOD_NS
            assert (frame.image == expected.image).all()
            for name in (
                "camera",
                "seq",
                "t_device_ns",
                "t_host_ns",
                "exposure",
                "pixel_format",
                "bit_depth",
            ):
                assert getattr(frame, name) == getattr(expected, name)
        assert seq == 7
    assert session.problems == []
    assert [r.fields["frames"] for r in session.records("segment")] == [8, 8]
    assert next(session.records()).kind == "start"


def test_every_record_is_read_as_written(tmp_path: Path) -> None:
    """`info` and the flicker figures live from these lines."""
    writer = SessionWriter.create(tmp_path / "s", header(), sync_s=None)
    hdr = HdrFrame(5, 123, np.zeros((2, 2, 3), np.float32), Rung.SMALL_MODEL, "s", 4, None, -7, None)
    light = FrameLight(812.5, 33.0)
    sidecar = writer.sidecar
    sidecar.hdr(hdr, Location("hdr/000000.mp4", 5), mean_luminance=0.25, mean_mu=0.5, light=light)
    sidecar.hdr(hdr, None, mean_luminance=float("nan"), mean_mu=float(np.float32(0.5)))
    sidecar.drop("capture", "lost", camera="secondary", seq=9, count=3)
    sidecar.rung(77, Rung.REFERENCE, "pair too old")
    sidecar.segment(ClosedSegment("hdr", "hdr/000000.mp4", 6, 1234, 1, 2, ContentLight(813, 33)))
    sidecar.event("fault", value=np.int64(3), level=np.float32(np.inf))
    sidecar.close()
    sidecar.close()
    sidecar.event("late")
    session = Session.open(tmp_path / "s")
    first, second = session.hdr_records()
    assert (first.seq, first.t_ns, first.rung, first.model) == (5, 123, Rung.SMALL_MODEL, "s")
    assert (first.low_seq, first.high_seq, first.low_age_ns, first.high_age_ns) == (4, None, -7, None)
    assert (first.file, first.index, first.peak_nits, first.average_nits) == (
        "hdr/000000.mp4",
        5,
        812.5,
        33.0,
    )
    assert (second.mean_luminance, second.mean_mu, second.file) == (None, 0.5, None)
    drop, rung, segment, fault = session.records("drop", "rung", "segment", "fault")
    assert drop.fields["count"] == 3
    assert rung.fields["rung"] == "reference"
    assert (segment.fields["max_cll"], segment.fields["max_fall"]) == (813, 33)
    assert (fault.fields["value"], fault.fields["level"]) == (3, None)
    assert not session.clean
    assert session.problems == []


def test_threads_do_not_mix_lines(tmp_path: Path) -> None:
    """Every stage writes to the sidecar; half a line inside another would lose both."""
    sidecar = SidecarWriter(tmp_path / "frames.jsonl")
    threads = [
        threading.Thread(target=lambda n=n: [sidecar.event("x", n=n, text="y" * 300) for _ in range(200)])
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sidecar.end()
    lines = [json.loads(line) for line in (tmp_path / "frames.jsonl").read_text().splitlines()]
    assert len(lines) == 1201
    assert lines[-1] == {"kind": "end"}


def test_full_disk_is_a_clear_error() -> None:
    """A full disk must be named with its remedy, not end a thread silently."""
    sidecar = SidecarWriter(Path("/dev/full"), sync_s=None)
    with pytest.raises(SessionError, match=r"/dev/full: cannot be written: No space left.*free space"):
        sidecar.event("x")
    sidecar.close()


def test_sessions_are_never_mixed(tmp_path: Path, recorded: Path) -> None:
    """Recording into a folder with something in it could destroy it."""
    with pytest.raises(SessionError, match="not empty; name a new one"):
        SessionWriter.create(recorded, header())
    (tmp_path / "file").touch()
    with pytest.raises(SessionError, match="choose another folder"):
        SessionWriter.create(tmp_path / "file", header())


def test_frames_are_streamed(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour of masters is 100 GB decoded: asking for the first frame must not decode the second."""
    from edge.encode import video_read

    decoded = []
    real = video_read.extract
    monkeypatch.setattr(video_read, "extract", lambda frame: decoded.append(1) or real(frame))
    next(Session.open(recorded).frames("reference"))
    assert len(decoded) == 1


# what a crash leaves


def test_torn_at_every_byte_of_the_last_lines(copy: Path) -> None:
    """A crash can stop a write anywhere: every earlier line counts, and nothing is a traceback."""
    rewrite(copy, lambda line: line if line["kind"] in ("start", "secondary") else None)
    whole = (copy / "frames.jsonl").read_bytes()
    shutil.rmtree(copy / "secondary")
    starts = [m.end() for m in re.finditer(b"\n", whole)]
    for size in range(starts[-2], len(whole) + 1):
        (copy / "frames.jsonl").write_bytes(whole[:size])
        session = Session.open(copy)
        complete = sum(end <= size for end in starts)
        found = len(list(session.frame_records("secondary"))) + 1
        assert complete <= found <= complete + (size + 1 in starts)
        assert len(session.problems) == (size not in starts and size + 1 not in starts)
        assert all("cut off" in problem for problem in session.problems)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_lines_cost_only_themselves(copy: Path, data: st.DataObject) -> None:
    """Whatever bytes stand in a line, the other frames are read, and the reader says what it skipped."""
    lines = [json.dumps(self_contained(seq)).encode() for seq in range(4)]
    hostile = st.one_of(
        st.binary(max_size=60).filter(lambda b: b"\n" not in b),
        st.recursive(
            st.none() | st.integers() | st.floats() | st.text(max_size=5), st.lists, max_leaves=5
        ).map(lambda value: json.dumps(value).encode()),
        st.sampled_from(
            [b"[" * 5000, b'{"kind":' * 3000, b"9" * 5000, b'{"kind":"reference","seq":' + b"9" * 50]
        ),
        st.dictionaries(
            st.sampled_from(
                ["seq", "t_ns", "exposure_us", "gain_db", "index", "file", "status", "t_host_ns"]
            ),
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4)),
        ).map(lambda fields: json.dumps(self_contained(9) | {"kind": "reference"} | fields).encode()),
    )
    bad = data.draw(hostile)
    at = data.draw(st.integers(0, 4))
    shutil.rmtree(copy / "reference", ignore_errors=True)
    (copy / "frames.jsonl").write_bytes(b"\n".join([*lines[:at], bad, *lines[at:]]) + b"\n")
    session = Session.open(copy)
    read = [record.seq for record in session.frame_records("secondary")]
    assert read[:at] + read[len(read) - 4 + at :] == [0, 1, 2, 3]
    list(session.frames("reference"))
    list(session.hdr_records())
    _ = session.clean, session.origin_ns
    assert all(problem.startswith((str(copy), "reference")) for problem in session.problems)


def self_contained(seq: int) -> dict[str, Any]:
    return {"kind": "secondary", "seq": seq, "t_ns": seq, "exposure_us": 1.0}


def test_endless_line(copy: Path) -> None:
    """A disk full of zeros must not be read into memory as one line."""
    good = json.dumps(self_contained(1)).encode()
    (copy / "frames.jsonl").write_bytes(good + b"\n" + bytes(3_000_000) + b"\n" + good + b"\n")
    session = Session.open(copy)
    assert len(list(session.frame_records("secondary"))) == 2
    assert session.problems == [f"{copy / 'frames.jsonl'}:2: not a record, skipped"]


def test_video_shorter_than_the_lines(copy: Path) -> None:
    """Lines are written at once, video a little later: the rest is reported, once, by sequence number."""
    video = copy / "reference/000000.mkv"
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 2 // 3])
    session = Session.open(copy)
    found = seqs(session, "reference")
    assert found == list(range(len(found)))
    assert 3 <= len(found) < 8
    assert seqs(session, "reference") == found
    (problem,) = session.problems
    assert f"{8 - len(found)} frames (seq {len(found)}-7) are listed in frames.jsonl but not" in problem


def test_lines_shorter_than_the_video(copy: Path) -> None:
    """After a power cut lines can be missing: readable frames keep their place, low and high theirs."""
    rewrite(copy, lambda line: None if line.get("seq", 0) >= 5 else line)
    session = Session.open(copy)
    frames = list(session.frames("secondary"))
    assert [frame.seq for frame in frames] == list(range(8))
    for frame in frames:
        expected = raw("secondary", frame.seq)
        assert frame.exposure == expected.exposure
        assert (frame.image == expected.image).all()
        assert abs(frame.t_device_ns - expected.t_device_ns) < 1_000_000
        assert abs(frame.t_host_ns - expected.t_host_ns) < 1_000_000
    assert "3 frames (5-7) have no line" in session.problems[0]


def test_a_line_missing_in_the_middle(copy: Path) -> None:
    """One damaged sector in the sidecar must not shift the frames behind it."""
    rewrite(copy, lambda line: None if line.get("seq") in (2, 3) else line)
    for camera in CAMERAS:
        frames = list(Session.open(copy).frames(camera))
        assert [frame.seq for frame in frames] == list(range(8))
        assert [frame.exposure for frame in frames] == [raw(camera, i).exposure for i in range(8)]
        assert all((frame.image == mosaic(frame.seq)).all() for frame in frames)


def test_no_lines_at_all(copy: Path) -> None:
    """Without its sidecar the reference is still a video; low and high cannot be told apart and say so."""
    (copy / "frames.jsonl").unlink()
    session = Session.open(copy)
    assert seqs(session, "reference") == list(range(8))
    assert seqs(session, "secondary") == []
    assert not session.clean
    text = "\n".join(session.problems)
    assert "only the video files are left" in text
    assert "exposures are unknown; skipped" in text


def test_missing_and_foreign_files(copy: Path) -> None:
    """A lost or wrong file costs its frames and is named."""
    shutil.copy(copy / "secondary/000000.mkv", copy / "secondary/000001.mkv")
    (copy / "reference/000000.mkv").write_bytes(b"not a video at all" * 99)
    session = Session.open(copy)
    assert seqs(session, "reference") == []
    assert len(seqs(session, "secondary")) == 16
    text = "\n".join(session.problems)
    assert "reference/000000.mkv: the file cannot be read further" in text
    assert "secondary/000001.mkv: 8 frames (0-7) have no line" in text


def test_frames_of_another_size(copy: Path) -> None:
    """Masters that do not fit the header would crash the fusion much later."""
    edited = json.loads((copy / "session.json").read_text())
    edited["cameras"]["reference"]["width"] = 10
    edited["cameras"]["secondary"]["bit_depth"] = 8
    edited["cameras"]["secondary"]["white_level"] = 255
    (copy / "session.json").write_text(json.dumps(edited))
    session = Session.open(copy)
    assert seqs(session, "reference") == seqs(session, "secondary") == []
    assert len(session.problems) == 2
    assert all("its frames are skipped" in problem for problem in session.problems)


def test_masters_that_were_not_kept(tmp_path: Path) -> None:
    """The commonest reason why a session cannot be refused must be told with its remedy."""
    writer = SessionWriter.create(tmp_path / "s", header(), sync_s=None)
    writer.sidecar.frame(raw("reference", 0), 0, None)
    writer.sidecar.end()
    session = Session.open(tmp_path / "s")
    assert seqs(session, "reference") == []
    assert "set masters.enabled" in session.problems[0]
    broken = '{"kind":"reference","seq":1,"t_ns":5,"exposure_us":1,"status":"incomplete"}\n'
    (tmp_path / "s/frames.jsonl").write_text(broken)
    (frame,) = Session.open(tmp_path / "s").frames("reference")
    assert frame.status is FrameStatus.INCOMPLETE
    assert frame.image.size == 0


def test_video_check(tmp_path: Path) -> None:
    """`info` must say what a crash cost, also where a whole file is gone."""
    from edge.encode.video import HdrEncoder
    from edge.tone.tonemap import HdrToneMapper

    writer = SessionWriter.create(tmp_path / "s", header(), sync_s=None)
    encoder = HdrEncoder(writer.path, width=64, height=48, fps=30.0, origin_ns=0)
    image = HdrToneMapper().convert(np.full((48, 64, 3), 0.3, np.float32))
    for i in range(3):
        hdr = HdrFrame(i, i * PERIOD_NS, np.zeros((1, 1, 3), np.float32), Rung.MERGE, "", 0, 0, 0, 0)
        writer.sidecar.hdr(hdr, encoder.write(image, i * PERIOD_NS), mean_luminance=0, mean_mu=0)
    encoder.close()
    for file, index in (("hdr/000000.mp4", 4), ("hdr/000001.mp4", 0)):
        writer.sidecar.hdr(hdr, Location(file, index), mean_luminance=0, mean_mu=0)
    session = Session.open(tmp_path / "s")
    assert session.check_videos() == 3
    assert "hdr/000000.mp4: 2 of 5 frames were lost" in session.problems[0]
    assert "hdr/000001.mp4: the video cannot be read" in session.problems[1]


# refused output


def test_refused_output_lives_in_the_session(copy: Path) -> None:
    """Refusing again with the same model replaces the old result, and never touches the recording."""
    before = (copy / "frames.jsonl").read_bytes()
    for seq in (1, 2):
        writer = SessionWriter.refused(copy, "eafnet-s", sync_s=None)
        hdr = HdrFrame(seq, 7, np.zeros((1, 1, 3), np.float32), Rung.MODEL, "eafnet-s", 0, 1, 3, -3)
        writer.sidecar.hdr(hdr, Location("hdr/000000.mp4", 0), mean_luminance=0.1, mean_mu=0.2)
        writer.sidecar.end()
    session = Session.open(copy)
    assert session.refused_models() == ["eafnet-s"]
    refused = session.refused("eafnet-s")
    assert [record.seq for record in refused.hdr_records()] == [2]
    assert refused.path == copy / "refused/eafnet-s"
    assert refused.clean
    assert refused.header == session.header
    assert (copy / "frames.jsonl").read_bytes() == before
    with pytest.raises(SessionError, match=r"not refused with m; there is eafnet-s"):
        session.refused("m")
    for name in ("../x", "", "a/b", ".hidden"):
        with pytest.raises(SessionError, match="cannot name a folder"):
            SessionWriter.refused(copy, name)


# headers


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda h: h.pop("cameras"), "cameras: field required"),
        (lambda h: h["cameras"]["reference"].update(width="8"), "cameras.reference.width: input should be"),
        (lambda h: h["cameras"]["reference"].update(pixel_format="yuv"), "cameras.reference.pixel_format"),
        (lambda h: h["cameras"]["secondary"].update(black_level=5000), "black_level 5000 and white_level"),
        (lambda h: h["exposures"].update(secondary=[]), "exposures.secondary: list should have at least 1"),
        (lambda h: h["exposures"]["reference"][0].update(exposure_us=-1), "greater than 0"),
        (lambda h: h.update(version=2), "version: 2, and this twinhdr reads 1; update twinhdr"),
        (lambda h: h.update(format="mp4"), "format: input should be 'twinhdr-session'"),
        (lambda h: h.update(transfer="log"), "transfer: input should be"),
    ],
)
def test_headers_are_checked(copy: Path, edit: Callable[[dict[str, Any]], object], told: str) -> None:
    """A header made by hand has mistakes; each must be named by its key."""
    edited = json.loads((copy / "session.json").read_text())
    edit(edited)
    (copy / "session.json").write_text(json.dumps(edited))
    with pytest.raises(SessionError, match=re.escape(told)) as error:
        Session.open(copy)
    assert str(error.value).startswith(f"{copy / 'session.json'}: ")


def test_no_session(tmp_path: Path, copy: Path) -> None:
    """Any path may be given to a command."""
    with pytest.raises(SessionError, match="name the folder of a recorded session"):
        Session.open(tmp_path / "nowhere")
    for text in (b"", b"[]", b"{", b"\xff\xfe", b"[" * 99999, b'"text"', b"null"):
        (copy / "session.json").write_bytes(text)
        with pytest.raises(SessionError, match=r"session\.json: "):
            Session.open(copy)


# other people's frames


def run_snippet(folder: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", DOC.read_text(), re.S)
    assert len(code) == 1
    assert len(code[0].splitlines()) < 40
    subprocess.run([sys.executable, "-c", code[0]], cwd=folder, check=True, timeout=60)


def test_the_documented_import_works(tmp_path: Path) -> None:
    """Whoever follows the document gets a session, with every pixel and exposure where it belongs."""
    rng = np.random.default_rng(0)
    originals: dict[str, list[NDArray[np.uint8]]] = {}
    for name in ("low", "reference", "high"):
        (tmp_path / name).mkdir()
        originals[name] = [rng.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8) for _ in range(3)]
        for i, rgb in enumerate(originals[name]):
            cv2.imwrite(str(tmp_path / name / f"{i:03d}.png"), rgb[..., ::-1])
    run_snippet(tmp_path)
    session = Session.open(tmp_path / "imported")
    assert session.header.transfer == "gamma22"
    assert session.header.cameras["reference"].white_level == 255
    reference = list(session.stamped("reference"))
    assert [t_ns for _, t_ns in reference] == [11_000_000 + i * PERIOD_NS for i in range(3)]
    assert all((f.image == o).all() for (f, _), o in zip(reference, originals["reference"], strict=True))
    secondary = list(session.frames("secondary"))
    assert [frame.exposure.exposure_us for frame in secondary] == [2000.0, 32000.0] * 3
    assert all((f.image == o).all() for f, o in zip(secondary[1::2], originals["high"], strict=True))
    assert secondary[0].t_host_ns == 1_000_000
    assert session.clean
    assert session.problems == []


def foreign(folder: Path, pixel_format: str, bit_depth: int, files: list[str], **more: Any) -> Session:
    camera = {"width": WIDTH, "height": HEIGHT, "pixel_format": pixel_format, "bit_depth": bit_depth}
    planned = {"reference": [{"exposure_us": 1.0}], "secondary": [{"exposure_us": 1.0}]}
    told = {"format": "twinhdr-session", "version": 1, "exposures": planned}
    told |= {"cameras": {"reference": camera, "secondary": camera}} | more
    (folder / "session.json").write_text(json.dumps(told))
    lines = [
        {"kind": "reference", "seq": i, "t_ns": i, "exposure_us": 1, "file": file}
        for i, file in enumerate(files)
    ]
    (folder / "frames.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Session.open(folder)


def test_images_of_every_kind(tmp_path: Path) -> None:
    """16-bit TIFF mosaics, 16-bit PNG and linear EXR are what other rigs deliver."""
    gray = mosaic(1)
    cv2.imwrite(str(tmp_path / "a.tiff"), gray)
    cv2.imwrite(str(tmp_path / "b.png"), gray)
    frames = list(foreign(tmp_path, "bayer_rggb", 12, ["a.tiff", "b.png"]).frames("reference"))
    assert [(frame.image == gray).all() for frame in frames] == [True, True]
    rgb = np.linspace(0, 1.5, HEIGHT * WIDTH * 3, dtype=np.float32).reshape(HEIGHT, WIDTH, 3)
    write_exr(tmp_path / "c.exr", rgb)
    (frame,) = foreign(tmp_path, "rgb", 16, ["c.exr"]).frames("reference")
    assert np.abs(frame.image / 65535.0 - np.clip(rgb, 0, 1)).max() < 1e-5


def test_images_that_do_not_fit(tmp_path: Path) -> None:
    """One bad picture in a thousand must be named and skipped, the others read."""
    cv2.imwrite(str(tmp_path / "good.png"), mosaic(1))
    cv2.imwrite(str(tmp_path / "large.png"), mosaic(1) + 4096)
    cv2.imwrite(str(tmp_path / "eight.png"), np.zeros((HEIGHT, WIDTH), np.uint8))
    cv2.imwrite(str(tmp_path / "colour.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint16))
    (tmp_path / "torn.png").write_bytes((tmp_path / "good.png").read_bytes()[:60])
    (tmp_path / "text.png").write_text("hello")
    write_exr(tmp_path / "light.exr", np.zeros((HEIGHT, WIDTH, 3), np.float32))
    names = ["large.png", "eight.png", "colour.png", "torn.png", "text.png", "light.exr", "gone.png"]
    session = foreign(tmp_path, "bayer_rggb", 12, [*names, "good.png"])
    (frame,) = session.frames("reference")
    assert frame.seq == 7
    assert len(session.problems) == 7
    for name, problem in zip(names, session.problems, strict=True):
        assert name in problem


def test_files_outside_the_session_are_not_read(tmp_path: Path) -> None:
    """A session from somebody else must not name /etc/shadow as a frame."""
    names = ["/etc/passwd", "../x.png", "a/../../x.png", "", "\0.png"]
    session = foreign(tmp_path, "mono", 8, names)
    assert seqs(session, "reference") == []
    assert len(session.problems) == len(names)
    assert all("inside the session folder" in problem for problem in session.problems)
