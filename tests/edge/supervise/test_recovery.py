"""Stages that really hang or fail, in a recording that goes on: how long it takes, and what is lost.

What hangs waits on an event or in a system call; what it is handed to is the recorder as it runs. The short
form has a source that can wait; TWINHDR_LONG=1 a live one, too.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from edge.capture.rig import open_rig
from edge.config.schema import Config
from edge.daemon.daemon import Daemon, Parts
from edge.daemon.run import session_header
from edge.encode.segments import EncodeError
from edge.engines import Engine, Light, PairCache
from edge.frames import CameraName, Exposure, FloatImage, Frame, Rung
from edge.fuse.ladder_plan import Fusion
from edge.fuse.line import LadderPlan
from edge.health.health import Health
from edge.health.report import Reporter
from edge.session.recording import Session, SessionWriter
from edge.supervise.budget import Budget
from edge.supervise.crew import StageHungError
from edge.supervise.notify import Notifier
from edge.supervise.stages import STAGES, Stage
from edge.viewfinder.preview import PreviewHub
from hw.camera import Camera, CameraInfo, Trigger
from tests.hw.device.boards import grow

ConfigOf = Callable[..., Config]
LIMIT_S = 1.5
"""Of the stage that hangs; the others keep the table's, so that a busy machine blames none of them."""
PATIENCE_S = 30.0
LONG = os.environ.get("TWINHDR_LONG") == "1"


def table(stage: str) -> Mapping[str, Stage]:
    return {**STAGES, stage: replace(STAGES[stage], limit_s=LIMIT_S)}


class Hangs:
    """A network that answers ``well`` times, then not until ``driver`` comes back to life."""

    name = "eafnet-hangs"
    multiple = 1

    def __init__(self, well: int) -> None:
        self._left = well
        self.driver = threading.Event()
        self.hung_s: float | None = None
        self.woke = threading.Event()

    def encode_pair(
        self,
        low: FloatImage,
        high: FloatImage,
        light: Light,
        mean_reference: float,
        mean_pair: tuple[float, float] | None = None,
    ) -> PairCache:
        return low

    def fuse(self, cache: PairCache, reference: FloatImage) -> FloatImage:
        self._left -= 1
        if self._left < 0 and not self.driver.is_set():
            self.hung_s = time.monotonic()
            self.driver.wait(PATIENCE_S)
            self.woke.set()
        return reference


@dataclass(frozen=True)
class StandIn:
    """A simulated camera whose frames pass through ``seen``, in the thread that reads."""

    camera: Camera
    seen: Callable[[Frame], Frame]

    @property
    def info(self) -> CameraInfo:
        return self.camera.info

    def start(self) -> None:
        self.camera.start()

    def read(self, timeout_s: float) -> Frame | None:
        frame = self.camera.read(timeout_s)
        return None if frame is None else self.seen(frame)

    def set_exposures(self, exposures: Sequence[Exposure]) -> None:
        self.camera.set_exposures(exposures)

    def stop(self) -> None:
        self.camera.stop()


@dataclass(frozen=True)
class StandInRig:
    reference: Camera
    secondary: Camera
    trigger: Trigger


class Trial:
    """One recording, and what it said."""

    def __init__(
        self,
        config: Config,
        folder: Path,
        stages: Mapping[str, Stage],
        *,
        engine: Engine | None = None,
        seen: Callable[[Frame], Frame] | None = None,
        notifier: Notifier | None = None,
        seconds: float = 5.0,
        root: Path = Path("/"),
    ) -> None:
        self.folder, self.health = folder, Health()
        opened = open_rig(config)
        if seen is not None:
            rig = StandInRig(StandIn(opened.rig.reference, seen), opened.rig.secondary, opened.rig.trigger)
            opened = replace(opened, rig=rig)
        self.session = SessionWriter.create(folder, session_header(config, opened, folder.name))
        engines = {} if engine is None else {Rung.MODEL: engine}
        allowed = (*engines, Rung.MERGE, Rung.REFERENCE)
        fusion = Fusion(engines, LadderPlan(allowed, {}, None if opened.can_wait else 1e9), ())
        reporter = Reporter(self.health, self.session.sidecar)
        parts = Parts(config, opened, fusion, self.session, reporter, PreviewHub())
        self.daemon = Daemon(parts, seconds, notifier, stages, root)

    def run(self, every_second: Callable[[], object] = lambda: None) -> None:
        def told() -> bool:
            every_second()
            return True

        try:
            self.daemon.run(told)
            self.session.sidecar.end()
        finally:
            self.session.sidecar.close()

    def total(self, name: str, *labels: str) -> int:
        return self.health.snapshot(0).totals.get(name, {}).get(labels, 0)

    def left_behind(self) -> float:
        return self.health.snapshot(0).gauges.get("threads_left_behind", {}).get((), 0.0)

    def recorded(self) -> Session:
        return Session.open(self.folder)


def seqs(session: Session, camera: CameraName) -> list[int]:
    """Of the frames whose pixels can be read."""
    return [frame.seq for frame in session.frames(camera)]


def in_videos(folder: Path) -> int:
    total = 0
    for path in sorted((folder / "hdr").glob("*.mp4")):
        if path.is_file():
            with av.open(str(path)) as container:
                total += sum(1 for _ in container.decode(video=0))
    return total


def test_a_network_that_hangs_costs_its_rung_and_no_frame(config_of: ConfigOf, tmp_path: Path) -> None:
    """One lost answer of a driver would end the night's recording."""
    engine = Hangs(20)
    trial = Trial(config_of("fuse: {alignment: off}\n"), tmp_path / "s", table("fuse"), engine=engine)
    taken_s: list[float] = []

    def watch() -> None:
        if trial.total("rung_frames", "merge") and not taken_s:
            taken_s.append(time.monotonic())
            engine.driver.set()  # while its successor is at work

    trial.run(watch)
    session = trial.recorded()
    fused = list(session.hdr_records())
    reference = [record.seq for record in session.frame_records("reference")]
    assert [record.seq for record in fused] == reference, "each frame once and in order"
    assert in_videos(trial.folder) == len(fused) == 150
    rungs = [record.rung for record in fused if record.rung is not Rung.REFERENCE]
    assert rungs[:15] == [Rung.MODEL] * 15
    assert Rung.MODEL not in rungs[20:], "the frame in hand was fused again, a rung below"
    assert seqs(session, "reference") == reference
    assert trial.total("stage_restarts", "fuse") == 1
    (line,) = session.records("stage")
    assert (line.fields["stage"], line.fields["number"]) == ("fuse", 1)
    assert engine.woke.wait(PATIENCE_S), "the thread that hung came back"
    assert engine.hung_s is not None
    assert taken_s
    print(f"fused again {taken_s[0] - engine.hung_s:.1f} s after it hung, limit {LIMIT_S} s")


@pytest.mark.alone
@pytest.mark.skipif(not LONG, reason="seven seconds of real time: TWINHDR_LONG=1")
def test_live_masters_have_no_gap_while_fusion_hangs(config_of: ConfigOf, tmp_path: Path) -> None:
    """What cannot be filmed again is safe; fused frames that are lost meanwhile are counted, each of them."""
    engine = Hangs(20)
    config = config_of("simulator: {pace: 1}\nfuse: {alignment: off}\n")
    trial = Trial(config, tmp_path / "s", table("fuse"), engine=engine)
    trial.run()
    engine.driver.set()
    session = trial.recorded()
    reference = seqs(session, "reference")
    assert reference == list(range(reference[0], reference[0] + len(reference))), "a gap in the masters"
    assert len(reference) > 140
    fused = [record.seq for record in session.hdr_records()]
    drops = [r.fields for r in session.records("drop") if r.fields["camera"] == "reference"]
    lost = [int(str(drop["seq"])) for drop in drops if drop["stage"] in ("fuse", "encode")]
    assert sorted(fused + lost) == reference, "every frame is fused or counted, none is both"
    assert list(session.hdr_records())[-1].rung >= Rung.MERGE
    print(f"{len(lost)} of {len(reference)} frames were not fused")


def test_an_encoder_that_hangs_loses_its_frame_and_begins_a_new_file(
    config_of: ConfigOf, tmp_path: Path
) -> None:
    """A writer stuck in the kernel for ever: here in open(2) of a pipe that nobody reads."""
    trial = Trial(config_of("hdr: {segment_s: 2}\n"), tmp_path / "s", table("encode"))
    pipe = trial.folder / "hdr" / "000001.mp4"
    pipe.parent.mkdir()
    threading.Thread(target=_pipe_when, args=(trial.folder / "hdr/000000.mp4", pipe), daemon=True).start()
    trial.run()
    assert trial.left_behind() == 1
    session = trial.recorded()
    reference = [record.seq for record in session.frame_records("reference")]
    fused = [record.seq for record in session.hdr_records()]
    assert len(set(reference) - set(fused)) == 1, "only the frame in hand"
    assert fused == sorted(fused)
    assert [record.fields["stage"] for record in session.records("stage")] == ["encode"]
    files = sorted(path.name for path in (trial.folder / "hdr").iterdir() if path.is_file())
    assert files == ["000000.mp4", "000002.mp4", "000003.mp4"]
    before = {name: (trial.folder / "hdr" / name).read_bytes() for name in files}
    with _read(pipe) as woken:  # the thread that hung goes on: into its own file, and into no other
        assert _ends(trial.left_behind)
        assert woken.read() is not None
    assert {name: (trial.folder / "hdr" / name).read_bytes() for name in files} == before
    pipe.unlink(missing_ok=True)  # a file without a frame does not stay
    assert in_videos(trial.folder) == len(fused)


def _pipe_when(first: Path, pipe: Path) -> None:
    while not first.exists():
        time.sleep(0.005)  # polls another thread's file
    os.mkfifo(pipe)


@contextlib.contextmanager
def _read(pipe: Path) -> Iterator[Any]:
    with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as reader:
        yield reader


def _ends(left_behind: Callable[[], float]) -> bool:
    end_s = time.monotonic() + PATIENCE_S
    while left_behind() and time.monotonic() < end_s:
        time.sleep(0.02)  # polls another thread
    return left_behind() == 0


def test_a_master_that_cannot_be_written_costs_itself(config_of: ConfigOf, tmp_path: Path) -> None:
    """One odd frame of a camera must not end the raw stream, nor the video."""

    def odd(frame: Frame) -> Frame:
        return replace(frame, image=frame.image | np.uint16(0x4000)) if frame.seq == 20 else frame

    trial = Trial(config_of(), tmp_path / "s", STAGES, seen=odd, seconds=2.0)
    trial.run()
    session = trial.recorded()
    raw, fused = seqs(session, "reference"), [record.seq for record in session.hdr_records()]
    lost = set(fused) - set(raw)
    assert {20} <= lost <= set(range(5, 21)), "itself, and the half second that the file had not closed"
    assert len(fused) == 60
    assert len(list((trial.folder / "reference").glob("*.mkv"))) == 2
    assert trial.total("stage_restarts", "reference masters") == 1


def test_a_stage_that_fails_for_ever_ends_the_process(config_of: ConfigOf, tmp_path: Path) -> None:
    """Else it would be started again all night, and nobody would know."""

    def odd(frame: Frame) -> Frame:
        return replace(frame, image=frame.image | np.uint16(0x4000)) if frame.seq >= 20 else frame

    row = STAGES["reference masters"]
    stages = {**STAGES, row.name: replace(row, budget=Budget(pause_s=0.01))}
    trial = Trial(config_of(), tmp_path / "s", stages, seen=odd, seconds=60.0)
    with pytest.raises(EncodeError, match="more than 12 bits"):
        trial.run()
    assert trial.total("stage_restarts", "reference masters") == 3
    assert not trial.recorded().clean
    assert 5 <= len(seqs(trial.recorded(), "reference")) <= 20


@pytest.mark.alone
def test_a_camera_driver_that_hangs_starves_the_watchdog_and_ends(
    config_of: ConfigOf, tmp_path: Path
) -> None:
    """Nothing in the process can replace it: the session is closed, and systemd starts the next."""
    driver = threading.Event()

    def stuck(frame: Frame) -> Frame:
        if frame.seq == 30:
            driver.wait(PATIENCE_S)
        return frame

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        notifier = Notifier(str(tmp_path / "notify"))
        config = config_of("simulator: {pace: 1}\n")
        stages = table("capture reference")
        trial = Trial(config, tmp_path / "s", stages, seen=stuck, notifier=notifier, seconds=60.0)
        with pytest.raises(StageHungError, match="capture reference"):
            trial.run()
        driver.set()
        heard = []
        with contextlib.suppress(BlockingIOError):
            while True:
                heard += systemd.recv(4096).decode().split("\n")
        notifier.close()
    assert heard.index("READY=1") < heard.index("WATCHDOG=1") < heard.index("STOPPING=1")
    assert heard[-1] == "STOPPING=1"
    raw = seqs(trial.recorded(), "reference")
    assert raw == list(range(raw[0], 30)), "what came before is safe"


def test_a_machine_that_is_too_hot_records_masters_and_nothing_else(
    config_of: ConfigOf, tmp_path: Path
) -> None:
    """What cannot be filmed again goes last; every frame that is not fused is counted under its cause."""
    root = grow(tmp_path / "root", "agx_orin", {"sys/class/thermal/thermal_zone8/temp": "98000\n"})
    trial = Trial(config_of(), tmp_path / "s", STAGES, seconds=4.0, root=root)
    trial.run()
    session = trial.recorded()
    raw, fused = seqs(session, "reference"), [record.seq for record in session.hdr_records()]
    drops = [record.fields for record in session.records("drop") if record.fields["stage"] == "fuse"]
    assert len(raw) == 120
    assert {drop["cause"] for drop in drops} == {"heat"}
    assert sorted(fused + [int(str(drop["seq"])) for drop in drops]) == raw
    assert len(drops) > 60
    (line,) = session.records("heat")
    assert (line.fields["band"], line.fields["cause"]) == ("no_fused_video", "tj-thermal is at 98 degrees")
