"""The report on a recording, and the picture read back from its video."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from edge.commands.info import print_info, summarise
from edge.develop.linear import DevelopSettings, develop
from edge.encode.hdr_read import VideoReadError, read_radiance
from edge.session.recording import Session


def report(path: Path) -> str:
    out = io.StringIO()
    assert print_info(path, Console(file=out, width=200)) == 0
    return out.getvalue()


def test_report_and_picture(recording: Path, tmp_path: Path) -> None:
    """Else nobody sees what a recording holds without decoding it."""
    copy = shutil.copytree(recording, tmp_path / "session")
    text = report(copy)
    assert "60 reference, 30 secondary" in text
    assert "merge (merge): 60 frames" in text
    assert "pairing residual 0." in text
    assert "started 0 ns apart" in text
    assert "as it should" in text
    picture = cv2.imread(str(copy / "picture.png"))
    assert picture is not None
    assert picture.shape[1] > 2 * 192 - 2


def test_a_torn_recording_is_reported(recording: Path, tmp_path: Path) -> None:
    """Else the tool for looking at a crash crashes itself."""
    copy = shutil.copytree(recording, tmp_path / "session")
    sidecar = copy / "frames.jsonl"
    sidecar.write_bytes(sidecar.read_bytes()[: sidecar.stat().st_size * 2 // 3])
    video = next((copy / "hdr").glob("*.mp4"))
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    text = report(copy)
    assert "cut off" in text
    assert "skipped:" in text


def test_the_video_holds_the_radiance_that_was_fused(recording: Path) -> None:
    """Else the HDR file shows other light than the cameras saw."""
    session = Session.open(recording)
    record = list(session.hdr_records())[30]
    radiance = read_radiance(session, record)
    info = session.header.cameras["reference"]
    frame = next(f for f in session.frames("reference") if f.seq == record.seq)
    reference = develop(frame.image, frame.pixel_format, DevelopSettings(info.black_level, info.white_level))
    seen = (reference.max(2) < 0.8) & (reference.min(2) > 0.05)
    error = np.abs(radiance - reference)[seen] / reference[seen]
    assert np.median(error) < 0.06
    assert radiance.max() > 1.5


def test_a_frame_that_is_not_there(recording: Path, tmp_path: Path) -> None:
    """Else a cut file ends in a traceback."""
    copy = shutil.copytree(recording, tmp_path / "session")
    video = next((copy / "hdr").glob("*.mp4"))
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 3])
    session = Session.open(copy)
    with pytest.raises(VideoReadError, match=r"000000\.mp4"):
        read_radiance(session, list(session.hdr_records())[-1])


def test_summary_counts(recording: Path) -> None:
    """Else the figures of the page and of the report differ."""
    summary = summarise(Session.open(recording))
    assert summary.hdr_frames == summary.reference_frames == 60
    assert summary.seconds == pytest.approx(59 / 30, abs=0.01)
    assert summary.drops == {}
    assert summary.flicker < 0.01
