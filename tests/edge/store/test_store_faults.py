"""A disk that is full, read-only, removed, failing or hanging: what it costs, what is told, how it ends.

On a real file system that the kernel breaks; without root on what a plain user can break.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.daemon.housekeeping import Housekeeper
from edge.encode.masters import MasterSettings, MasterWriter
from edge.frames import CameraName, Exposure, Frame
from edge.health.health import Health
from edge.ring import Closed, Ring
from edge.session.recording import Session, SessionWriter
from edge.store.gate import DiskGate
from hw.camera import CameraInfo
from tests.edge.daemon.test_housekeeping import condition, store, until
from tests.edge.loop_disk import LoopDisk, missing
from tests.edge.store.test_store import header

FPS = 30
S = 1_000_000_000
NAME = "s000001-20260722T120000Z"
needs_disk = pytest.mark.skipif(missing() != "", reason=missing())


def mosaic(seq: int) -> np.ndarray:
    return np.random.default_rng(seq).integers(0, 4096, (48, 64)).astype(np.uint16)


class Rig:
    """A reference camera, its master writer, sidecar and housekeeper, driven frame by frame."""

    def __init__(self, root: Path) -> None:
        root.mkdir(exist_ok=True)
        self.root = root
        self.gate = DiskGate()
        self.session = SessionWriter.create(root / NAME, header(NAME), gate=self.gate, sync_s=0.1)
        self.session.sidecar.start(0)
        self.health = Health()
        self.keeper = Housekeeper(self.health, self.session, store(root))
        info = CameraInfo("reference", "test", "1", 64, 48, "bayer_rggb", 12, 64, 4095, 1e6 / FPS)
        settings = MasterSettings(segment_s=2.0, sync_s=0.1)
        self.writer = MasterWriter.of(root / NAME, info, settings, self.session.sidecar.segment, self.gate)
        self.seq = 0
        self.written: set[int] = set()
        self.seconds = 0

    def film(self, frames: int = FPS) -> None:
        for _ in range(frames):
            self.write(self.frame())

    def frame(self) -> Frame:
        self.seq += 1
        t_ns = self.seq * S // FPS
        return Frame("reference", self.seq, t_ns, t_ns, Exposure(8000.0), mosaic(self.seq), "bayer_rggb", 12)

    def write(self, frame: Frame) -> None:
        location = self.writer.write(frame, frame.t_device_ns)
        if location is not None:
            self.written.add(frame.seq)
        self.session.sidecar.frame(frame, frame.t_device_ns, location)

    def keep(self) -> None:
        """A second passes."""
        self.seconds += 10  # conditions are named again after five
        self.keeper.round()
        self.keeper.tick(self.seconds, self.seconds * S)

    def until_paused(self) -> str:
        for _ in range(400):
            self.film(3)
            if self.gate.blocked is not None:
                break
        else:
            self.keep()  # a disk that takes what is gone with it
        self.film(FPS)  # into the closed gate
        self.keep()
        assert self.gate.blocked is not None
        assert not condition(self.health, "disk").ok
        return self.gate.blocked.cause

    def until_it_goes_on(self) -> None:
        self.keep()
        assert self.gate.blocked is None, self.gate.blocked
        assert condition(self.health, "disk").ok
        self.film(FPS)

    def end(self) -> Session:
        self.writer.close()
        self.session.sidecar.end()
        return Session.open(self.root / NAME)

    def check(self, session: Session, *, torn: int) -> None:
        """Every frame that was written is there and right, but for ``torn`` where a file broke."""
        assert session.clean
        frames = {frame.seq: frame for frame in session.frames("reference")}
        assert list(frames) == sorted(frames)
        missing = self.written - set(frames)
        assert len(missing) <= torn, sorted(missing)
        for seq in list(frames)[:: max(1, len(frames) // 20)]:
            assert (frames[seq].image == mosaic(seq)).all()
        lost = sum(int(str(drop.fields["count"])) for drop in session.records("drop"))
        assert lost == self.seq - len(self.written)
        assert lost == sum(n for (stage, _), n in self.health.snapshot(0).totals["drops"].items())


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopDisk]:
    made = LoopDisk(tmp_path)
    yield made
    made.close()


FAULTS: dict[str, tuple[str, Callable[[LoopDisk], None], Callable[[LoopDisk], None]]] = {
    "full": ("disk_full", LoopDisk.fill, LoopDisk.free),
    "read-only": ("disk_read_only", LoopDisk.find_error, LoopDisk.replug),
    "removed": ("disk_removed", LoopDisk.detach, LoopDisk.attach),
    "failing": ("disk_error", LoopDisk.cut_power, LoopDisk.replug),
}


@needs_disk
@pytest.mark.parametrize("fault", FAULTS)
def test_recording_goes_on_by_itself_when_the_disk_is_back(disk: LoopDisk, fault: str) -> None:
    """Nobody climbs the roof to press start: what is lost is what was filmed meanwhile, and it is counted."""
    cause, breaks, repairs = FAULTS[fault]
    rig = Rig(disk.mount / "sessions")
    rig.film(2 * FPS)
    rig.keep()
    breaks(disk)
    found = rig.until_paused()
    assert found in ((cause, "disk_error") if fault == "read-only" else (cause,))
    before = rig.seq
    assert until(lambda: rig.session.sidecar._out._file is None)  # type: ignore[union-attr]
    repairs(disk)
    rig.until_it_goes_on()
    assert {*range(before + 1, rig.seq + 1)} <= rig.written
    session = rig.end()
    rig.check(session, torn=2 * FPS if fault in ("failing", "read-only") else FPS)
    assert rig.health.snapshot(0).totals["disk_faults"][found,] == 1
    assert [record.fields["ok"] for record in session.records("disk")] == [False, True]


@needs_disk
def test_a_removed_disk_is_not_replaced_by_the_system_disk(disk: LoopDisk) -> None:
    """The mount point of a pulled disk is a folder of the system disk: filling that would stop everything."""
    rig = Rig(disk.mount)  # the root itself is the mount point
    rig.film()
    disk.detach()
    assert rig.until_paused() == "disk_removed"
    for _ in range(3):
        rig.keep()
        rig.film(3)
    assert list(disk.mount.iterdir()) == []
    disk.attach()
    rig.until_it_goes_on()
    rig.end()


@needs_disk
def test_a_disk_that_hangs_costs_only_the_frames_of_that_time(disk: LoopDisk) -> None:
    """A card that stops for seconds: capture goes on, the ring drops and counts, all else is recorded."""
    rig = Rig(disk.mount / "sessions")
    dropped: list[int] = []
    ring: Ring[Frame] = Ring("reference", 32, lambda frame: dropped.append(frame.seq))
    worker = threading.Thread(target=lambda: drain(ring, rig))
    worker.start()

    def feed(frames: int) -> None:
        for _ in range(frames):
            ring.put(rig.frame())

    for _ in range(4):
        feed(15)
        assert until(lambda: len(ring) == 0)
    disk.freeze()
    feed(5)
    assert until(lambda: rig.gate.waiting_ns() > 0.3 * S)
    feed(200)  # ten seconds' worth would do the same: nobody here waits for the disk
    for _ in range(500):
        rig.session.sidecar.drop("masters", "too_slow", camera="reference", seq=0)
    rig.keeper.tick(1.0, S)
    disk.thaw()
    assert until(lambda: len(ring) == 0)
    feed(30)
    ring.close()
    worker.join(20)
    assert not worker.is_alive()
    assert rig.gate.blocked is None
    session = rig.end()
    assert 100 < len(dropped) <= 205
    assert {frame.seq for frame in session.frames("reference")} == {*range(1, rig.seq + 1)} - set(dropped)
    assert len(list(session.records("drop"))) == 500


def drain(ring: Ring[Frame], rig: Rig) -> None:
    try:
        while True:
            frame = ring.get(0.1)
            if frame is not None:
                rig.write(frame)
    except Closed:
        return


def test_a_folder_that_somebody_deletes_is_made_again(tmp_path: Path) -> None:
    """rm -rf of the running session: its open files would take every frame, and keep none."""
    rig = Rig(tmp_path / "sessions")
    rig.film()
    shutil.rmtree(tmp_path / "sessions" / NAME)
    rig.keep()
    assert rig.gate.blocked is not None
    assert rig.gate.blocked.cause == "disk_removed"
    rig.written.clear()
    first = rig.seq + 1
    rig.film(3)
    rig.until_it_goes_on()
    session = rig.end()
    assert session.origin_ns == 0
    assert {frame.seq for frame in session.frames("reference")} == {*range(first + 3, rig.seq + 1)}


@pytest.mark.parametrize(
    ("number", "cause"), [(28, "disk_full"), (122, "disk_full"), (30, "disk_read_only"), (5, "disk_error")]
)
def test_each_error_of_the_system_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, cause: str
) -> None:
    """Also without root: a write that fails pauses the recording and never ends it."""
    rig = Rig(tmp_path / "sessions")
    rig.film(5)
    real = os.write

    def broken(fd: int, data: bytes) -> int:
        if os.readlink(f"/proc/self/fd/{fd}").endswith(".mkv"):
            raise OSError(number, os.strerror(number))
        return real(fd, data)

    monkeypatch.setattr(os, "write", broken)
    rig.film(40)
    assert rig.gate.blocked is not None
    assert rig.gate.blocked.cause == cause
    monkeypatch.setattr(os, "write", real)
    rig.keep()
    rig.until_it_goes_on()
    rig.check(rig.end(), torn=FPS)


def test_a_stage_error_that_is_not_the_disk_still_ends_the_stage(tmp_path: Path) -> None:
    """A frame of a wrong size is a bug or a wrong setting: pausing for the disk would hide it for ever."""
    from edge.encode.segments import EncodeError

    rig = Rig(tmp_path / "sessions")
    rig.film(2)
    camera: CameraName = "reference"
    wrong = Frame(camera, 9, S, S, Exposure(8000.0), np.zeros((2, 2), np.uint16), "bayer_rggb", 12)
    with pytest.raises(EncodeError, match="the image is"):
        rig.write(wrong)
    assert rig.gate.blocked is None
    rig.end()
