"""Frames out of a recording: the right ones, from the right place, and not twice."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest
from typer.testing import CliRunner

from edge.cli import app
from edge.encode.hdr_read import read_radiance
from edge.engines import open_engine
from edge.exports.contact import ContactSheet, contact_picture, make_contact_picture
from edge.exports.moments import Moments, NoFramesError, Span
from edge.exports.sequence import SequenceError, write_sequence
from edge.fuse.line import Fused
from edge.refusing.fusion import fuse_planned
from edge.refusing.plan import planned_frames
from edge.session.config import session_config
from edge.session.recording import Session
from tests.edge.tiny_model import write_tiny_model


@pytest.fixture
def copy(recording: Path, tmp_path: Path) -> Path:
    return shutil.copytree(recording, tmp_path / "session")


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    return str(write_tiny_model(tmp_path / "eafnet-tiny.onnx"))


def test_from_masters_and_from_the_video(recording: Path, tiny: str) -> None:
    """Masters give what the network makes of them, the video what was recorded."""
    session = Session.open(recording)
    masters, video = Moments(session, "auto", tiny), Moments(session, "video")
    assert (masters.source, video.source) == ("masters", "video")
    fused, read = masters.nearest(0.51), video.nearest(0.51)
    assert (fused.seq, read.seq) == (15, 15)
    assert (fused.model, read.model) == ("eafnet-tiny", "merge")
    assert fused.t_s == read.t_s == pytest.approx(0.5, abs=1e-3)
    assert fused.exposure == read.exposure is not None
    record = next(r for r in session.hdr_records() if r.seq == 15)
    assert np.array_equal(read.radiance, read_radiance(session, record))


def test_without_masters_the_video_is_read(copy: Path) -> None:
    """Most recordings have none."""
    shutil.rmtree(copy / "reference")
    session = Session.open(copy)
    assert Moments(session).source == "video"
    with pytest.raises(NoFramesError, match=r"masters\.enabled"):
        Moments(session, "masters")


def test_an_exr_sequence_goes_on_where_it_stopped(recording: Path, tmp_path: Path, tiny: str) -> None:
    """An hour of frames is not done in one sitting, and compositors want numbers, times and light."""
    session, out = Session.open(recording), tmp_path / "frames"
    moments = Moments(session, "masters", tiny)
    first = write_sequence(session, moments, Span(0.5, 0.7, 2), out, model=tiny)
    assert (first.frames, first.new) == (4, 4)
    files = sorted(out.glob("*.exr"))
    assert [path.name for path in files] == [f"session.{seq:06d}.exr" for seq in (15, 17, 19, 21)]
    stamp = files[0].stat().st_mtime_ns
    files[2].unlink()
    again = write_sequence(session, moments, Span(0.5, 0.7, 2), out, model=tiny)
    assert (again.frames, again.new) == (4, 1)
    assert files[0].stat().st_mtime_ns == stamp
    with OpenEXR.File(str(files[1]), header_only=True) as file:
        header = dict(file.header())  # closing empties it
    with OpenEXR.File(str(files[1])) as file:
        pixels = file.channels()["RGB"].pixels
    assert pixels.dtype == np.float16
    expected = moments.nearest(17 / 30).radiance
    assert np.array_equal(pixels, expected.astype(np.float16))
    assert header["chromaticities"][:2] == pytest.approx((0.64, 0.33))
    assert header["whiteLuminance"] == 203.0
    assert header["expTime"] == pytest.approx(0.008)
    assert (header["twinhdr/seq"], header["twinhdr/model"]) == (17, "eafnet-tiny")
    assert header["framesPerSecond"] == 30
    assert header["capDate"][:4] == session.header.started_utc[:4]
    with pytest.raises(SequenceError, match="another sequence"):
        write_sequence(session, Moments(session, "video"), Span(), out)


def test_a_recording_has_a_contact_picture(recording: Path, copy: Path) -> None:
    """Whoever looks for a take among forty looks at pictures; older recordings get theirs when asked."""
    made_while_recording = cv2.imread(str(recording / "contact.jpg"))
    assert made_while_recording is not None
    (copy / "contact.jpg").unlink()
    path = contact_picture(copy)
    assert path == copy / "contact.jpg"
    picture = cv2.imread(str(path))
    assert picture.shape[1] >= 4 * 192
    assert picture.shape[0] >= 4 * 128  # three rows of frames, and one of exposures
    stamp = path.stat().st_mtime_ns
    assert contact_picture(copy) == path
    assert path.stat().st_mtime_ns == stamp
    for video in (copy / "hdr").iterdir():
        video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    assert make_contact_picture(copy) is not None
    shutil.rmtree(copy / "hdr")
    assert make_contact_picture(copy) is None


def test_the_sheet_of_a_long_recording_stays_small(copy: Path, tmp_path: Path, tiny: str) -> None:
    """A day of recording must cost no more memory than a minute, and few writes."""
    session = Session.open(copy)
    config = session_config(session.header.config, copy)
    planned = list(planned_frames(session, config, []))[:2]
    seen: list[Fused] = list(fuse_planned(session, config, planned, open_engine(tiny, 1)))
    sheet, writes = ContactSheet(tmp_path), 0
    for second in range(4000):
        one = seen[second % len(seen)]
        sheet.take(replace(one, hdr=replace(one.hdr, t_ns=second * 10**9)))
        if sheet.due:
            sheet.write()
            writes += 1
    assert len(sheet._frames) < 24
    assert 5 <= writes <= 14
    assert cv2.imread(str(tmp_path / "contact.jpg")) is not None


def test_the_command(copy: Path, tmp_path: Path, tiny: str) -> None:
    """Every way of it as it is typed."""
    folder, run = tmp_path / "out", CliRunner().invoke
    folder.mkdir()
    video, still = str(folder / "v.mp4"), str(folder / "s.jpg")
    arguments = [
        "--video",
        video,
        "--still",
        "1",
        still,
        "--exr",
        str(folder / "e"),
        "--to",
        "0.1",
        "--contact",
    ]
    done = run(app, ["export", str(copy), *arguments, "--model", tiny])
    assert done.exit_code == 0, done.output
    assert {path.name for path in folder.iterdir()} == {"v.mp4", "s.jpg", "e"}
    assert len(list((folder / "e").glob("*.exr"))) == 4
    assert run(app, ["export", str(copy)]).exit_code == 2
    assert run(app, ["export", str(copy), "--exr", "e", "--from", "2", "--to", "1"]).exit_code == 2
    bad = run(app, ["export", str(copy), "--still", "1", str(folder / "s.gif")])
    assert bad.exit_code == 73
