"""kill -9 in mid-recording costs at most one second of anything."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from edge.encode.video_read import DamagedVideoError, count_frames
from edge.session.recording import Session
from edge.tone.hdr_metadata import ContentLight

FPS = 30
WRITER = """
import sys
from pathlib import Path
import numpy as np
from edge.encode.video import HdrEncoder, VideoSettings
from edge.frames import Exposure, Frame, HdrFrame, Rung
from edge.encode.masters import MasterWriter
from edge.session.recording import SessionHeader, SessionWriter
from edge.tone.tonemap import HdrToneMapper
from hw.camera import CameraInfo

folder, codec = Path(sys.argv[1]), sys.argv[2]
names = ("reference", "secondary")
planned = {"reference": (Exposure(8000.0),), "secondary": (Exposure(2000.0), Exposure(32000.0))}
info = lambda name: CameraInfo(name, "test", "1", 64, 48, "bayer_rggb", 12, 64, 4095, 1e6 / 30)
header = SessionHeader("s", "", "test", {name: info(name) for name in names}, planned)
session = SessionWriter.create(folder, header)
masters = {
    name: MasterWriter(folder, name, width=64, height=48, pixel_format="bayer_rggb", bit_depth=12, fps=30.0,
                       origin_ns=0) for name in names
}
settings = VideoSettings(codec, preset="ultrafast" if codec == "hevc" else 12)
video = HdrEncoder(folder, width=64, height=48, fps=30.0, origin_ns=0, settings=settings)
mapper = HdrToneMapper()
session.sidecar.start(0)
for i in range(100_000):
    t_ns = i * 33_333_333
    mosaic = np.random.default_rng(i).integers(0, 4096, (48, 64)).astype(np.uint16)
    for name in names:
        exposure = planned[name][i % len(planned[name])]
        frame = Frame(name, i, t_ns, t_ns, exposure, mosaic, "bayer_rggb", 12)
        session.sidecar.frame(frame, t_ns, masters[name].write(frame, t_ns))
    hdr = HdrFrame(i, t_ns, (mosaic[..., None] / np.float32([999, 1500, 2000])).astype(np.float32),
                   Rung.MERGE, "none", i, i, 0, 0)
    image = mapper.convert(hdr.radiance)
    session.sidecar.hdr(hdr, video.write(image, t_ns), mean_luminance=0.1, mean_mu=0.2, light=image.light)
    print(i, flush=True)
"""


@pytest.mark.parametrize(("codec", "until"), [("hevc", 97), ("hevc", 131), ("av1", 113)])
def test_kill_costs_at_most_one_second(tmp_path: Path, codec: Literal["hevc", "av1"], until: int) -> None:
    """The recorder's first promise: all three videos and the sidecar, whatever the moment of death."""
    folder = tmp_path / "session"
    command = [sys.executable, "-c", WRITER, str(folder), codec]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= until:
                process.send_signal(signal.SIGKILL)
                break
        written = int((process.stdout.read().split() or [until])[-1]) + 1
    session = Session.open(folder)
    assert not session.clean

    assert len(list(session.hdr_records())) >= written
    found = session.check_videos()
    assert written - FPS <= found <= written + 1
    for name in ("reference", "secondary"):
        assert len(list(session.frame_records(name))) >= written  # type: ignore[arg-type]
        frames = list(session.frames(name))  # type: ignore[arg-type]
        assert len(frames) >= written - FPS
        assert [frame.seq for frame in frames] == list(range(len(frames)))
        for frame in frames[:3] + frames[-3:]:
            original = np.random.default_rng(frame.seq).integers(0, 4096, (48, 64))
            assert (frame.image == original).all()
    lost = [problem for problem in session.problems if "lost" in problem or "broke off" in problem]
    assert lost or found == written
    assert all("Traceback" not in problem for problem in session.problems)


def test_torn_video_at_every_size(tmp_path: Path) -> None:
    """A power cut tears MP4 at any byte: readable to its last whole fragment, or one clear error."""
    from edge.encode.video import HdrEncoder
    from edge.tone.tonemap import HdrToneMapper

    mapper = HdrToneMapper()
    encoder = HdrEncoder(
        tmp_path, width=64, height=48, fps=30.0, origin_ns=0, estimate=ContentLight(600, 200)
    )
    for i in range(24):
        encoder.write(mapper.convert(np.full((48, 64, 3), 0.02 * i, np.float32)), i * 33_333_333)
    encoder.close()
    whole = (tmp_path / "hdr/000000.mp4").read_bytes()
    counts = []
    for size in range(0, len(whole), 97):
        (tmp_path / "torn.mp4").write_bytes(whole[:size])
        try:
            counts.append(count_frames(tmp_path / "torn.mp4"))
        except DamagedVideoError:
            counts.append(0)
    assert counts == sorted(counts)
    assert counts[-1] >= 18
