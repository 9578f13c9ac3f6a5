"""From cameras to stamped frames: each loss counted once, and no fault of one camera stops the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from edge.capture.reader import Intake, read_in_order, read_in_order_until, read_live
from edge.frames import CameraName, Exposure, Frame, FrameStatus
from edge.pair import Stamped
from hw.camera import CameraInfo, CameraLostError, EndOfRecordingError
from hw.simulator.rig import SimulatedRig
from hw.simulator.spec import DeviceClock, Faults, SimulatorSpec
from hw.simulator.timeline import Fate, frame_fate
from tests.edge.streams import arrivals, frame, rig_spec

SECOND = 10**9


@dataclass
class Desk:
    """An intake and all it handed on."""

    frames: list[Stamped] = field(default_factory=list)
    drops: list[tuple[str, CameraName, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.intake = Intake(self.frames.append, lambda *drop: self.drops.append(drop))

    def seqs(self, camera: CameraName) -> list[int]:
        return [s.frame.seq for s in self.frames if s.frame.camera == camera]

    def counted(self, cause: str, camera: CameraName) -> list[int]:
        """Every sequence number counted for ``cause``, one by one."""
        out: list[int] = []
        for why, name, seq, count in self.drops:
            out += list(range(seq, seq + count)) if (why, name) == (cause, camera) else []
        return out


def small(seed: int = 1, reference: Faults | None = None, secondary: Faults | None = None) -> SimulatorSpec:
    spec = replace(SimulatorSpec(seed=seed), width=32, height=32)
    return replace(
        spec,
        reference=replace(spec.reference, faults=reference or Faults()),
        secondary=replace(spec.secondary, faults=secondary or Faults()),
    )


def film(spec: SimulatorSpec, reference_frames: int) -> Desk:
    """Read a simulated rig in order until so many reference frames have come."""
    rig, desk = SimulatedRig(spec, None), Desk()
    rig.reference.start()
    rig.secondary.start()
    rig.trigger.start()
    try:
        read_in_order_until(
            rig.reference, rig.secondary, desk.intake, lambda: len(desk.seqs("reference")) >= reference_frames
        )
    finally:
        rig.reference.stop()
        rig.secondary.stop()
    return desk


def test_both_streams_come_whole_and_in_time() -> None:
    """The plain case: nothing lost, nothing counted, times that rise."""
    desk = film(small(), 45)
    assert desk.drops == []
    for camera in ("reference", "secondary"):
        seqs = desk.seqs(camera)  # type: ignore[arg-type]
        assert seqs == list(range(len(seqs)))
        times = [s.t_ns for s in desk.frames if s.frame.camera == camera]
        assert times == sorted(set(times))
    assert len(desk.seqs("secondary")) in (21, 22, 23)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_loss_is_counted_once_by_its_cause(seed: int) -> None:
    """Frames lost per hour is a published figure; it must be neither flattered nor doubled."""
    faults = Faults(lost_share=0.15, incomplete_share=0.1)
    spec = small(seed, faults, faults)
    desk = film(spec, 60)
    for name in ("reference", "secondary"):
        camera: CameraName = name  # type: ignore[assignment]
        last = max(desk.seqs(camera))
        fates = {seq: frame_fate(spec.camera(camera), spec.seed, camera, seq) for seq in range(last + 1)}
        first = min(seq for seq, fate in fates.items() if fate is not Fate.LOST)  # before it, nobody can know
        assert desk.seqs(camera) == [s for s, fate in fates.items() if fate is Fate.DELIVERED]
        assert [s for s in desk.counted("lost", camera) if s <= last] == [
            s for s, fate in fates.items() if fate is Fate.LOST and s > first
        ]
        assert [s for s in desk.counted("incomplete", camera) if s <= last] == [
            s for s, fate in fates.items() if fate is Fate.INCOMPLETE
        ]
    assert {cause for cause, *_ in desk.drops} == {"lost", "incomplete"}


def test_a_silent_secondary_does_not_hold_the_reference_up() -> None:
    """From half a second on one cable is dead, for good."""
    desk = film(small(secondary=Faults(silences=((0.5, 1e9),))), 60)
    assert desk.seqs("reference") == list(range(60))
    assert desk.seqs("secondary") == list(range(8))
    assert desk.drops == [], "it is silent, which is no loss that a sequence number could show"


def test_a_secondary_that_is_silent_from_the_start_costs_no_frame() -> None:
    """A camera that was never plugged in."""
    desk = film(small(secondary=Faults(silences=((0.0, 1e9),))), 30)
    assert desk.seqs("reference") == list(range(30))


def test_a_silence_that_ends_is_a_counted_gap() -> None:
    """A loose plug: after it both cameras are together again, in one time."""
    desk = film(small(secondary=Faults(silences=((0.5, 1.5),))), 75)
    assert desk.seqs("reference") == list(range(75))
    back = desk.counted("lost", "secondary")
    assert back == list(range(8, 23))
    first = next(s for s in desk.frames if s.frame.seq == 23 and s.frame.camera == "secondary")
    assert first.t_ns == pytest.approx(23 / 15 * SECOND + 16e6, abs=1e6)


def test_a_secondary_that_is_gone_is_named_and_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Its error must not end the recording of the other camera."""
    desk = film(small(secondary=Faults(gone_at_s=0.5)), 45)
    assert desk.seqs("reference") == list(range(45))
    assert len([r for r in caplog.records if "secondary" in r.message and "gone" in r.message]) == 1


def test_without_the_reference_there_is_no_video() -> None:
    """That error is passed on, so that somebody restarts the recorder."""
    with pytest.raises(CameraLostError, match="reference"):
        film(small(reference=Faults(gone_at_s=0.5)), 45)


@pytest.mark.parametrize("ratio", [10.0, 0.694])
def test_wrong_ticks_cost_no_frame(ratio: float) -> None:
    """A known firmware fault, found within three frames that wait meanwhile."""
    spec = small()
    clock = DeviceClock(91_450_000_000, -21.0, ratio)
    desk = film(replace(spec, secondary=replace(spec.secondary, clock=clock)), 30)
    assert desk.seqs("reference") == list(range(30))
    assert desk.drops == []
    for s in desk.frames:
        if s.frame.camera == "secondary":
            half_us = s.frame.exposure.exposure_us / 2
            assert s.t_ns == pytest.approx(s.frame.seq / 15 * SECOND + half_us * 1e3, abs=1e6)


def test_the_end_of_a_recording_is_an_end() -> None:
    """Replaying must not fail at its last frame, nor lose the secondary frames behind it."""
    items = [a.frame for a in arrivals(rig_spec(), 1.0)]
    desk = Desk()
    read_in_order(
        Played("reference", items), Played("secondary", items), desk.intake, threading.Event(), lambda: None
    )
    assert desk.seqs("reference") == [f.seq for f in items if f.camera == "reference"]
    assert desk.seqs("secondary") == [f.seq for f in items if f.camera == "secondary"]
    read_live(Played("reference", items), Desk().intake, threading.Event(), lambda: None)


class Played:
    """A camera that plays a list of frames."""

    def __init__(
        self, name: CameraName, frames: Sequence[Frame], end: type[Exception] = EndOfRecordingError
    ) -> None:
        self._frames = [f for f in frames if f.camera == name]
        self._end = end
        self.beats = 0

    @property
    def info(self) -> CameraInfo:
        raise AssertionError("reading needs no more than frames")

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def set_exposures(self, exposures: Sequence[Exposure]) -> None: ...

    def read(self, timeout_s: float) -> Frame | None:
        if not self._frames:
            raise self._end("played")
        return self._frames.pop(0)


def test_frames_come_in_order_of_arrival_over_both_cameras() -> None:
    """Pairing decides by what has arrived; one camera ahead of the other would change the pairs."""
    items = [a.frame for a in arrivals(rig_spec(), 2.0)]
    desk = Desk()
    read_in_order(
        Played("reference", items), Played("secondary", items), desk.intake, threading.Event(), lambda: None
    )
    got = [s.frame.t_host_ns for s in desk.frames]
    assert got == sorted(got)


def test_reading_never_waits_for_the_camera_that_is_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread reads both: waiting for one keeps the other from going on, and both stand still."""
    from hw.simulator.clock import SimulatedClock

    original = SimulatedClock.wait_until
    blocked_s: list[float] = []

    def spy(self: SimulatedClock, camera: str, due_ns: int, timeout_s: float) -> bool:
        due = original(self, camera, due_ns, timeout_s)
        blocked_s.append(0.0 if due else max(0.0, timeout_s))
        return due

    monkeypatch.setattr(SimulatedClock, "wait_until", spy)
    faults = Faults(lost_share=0.15)
    film(small(1, faults, faults), 60)
    assert sum(blocked_s) < 0.2, "and no more than a short turn where frames of both are lost"


def test_stopping_ends_both_ways_of_reading_and_every_round_beats() -> None:
    """The supervisor must see a stage alive that waits for a camera."""
    items = [a.frame for a in arrivals(rig_spec(), 2.0)]
    for read in (
        lambda stop, beat: read_live(Played("reference", items), Desk().intake, stop, beat),
        lambda stop, beat: read_in_order(
            Played("reference", items), Played("secondary", items), Desk().intake, stop, beat
        ),
    ):
        stopping, beats = threading.Event(), 0

        def beat(stopping: threading.Event = stopping) -> None:
            nonlocal beats
            beats += 1
            if beats == 7:
                stopping.set()

        run: Callable[..., None] = read
        run(stopping, beat)
        assert beats == 7


def test_a_live_camera_that_is_gone_says_so() -> None:
    """Whoever runs the thread decides what that means."""
    with pytest.raises(CameraLostError):
        read_live(Played("secondary", [], CameraLostError), Desk().intake, threading.Event(), lambda: None)


def test_two_threads_keep_each_cameras_order() -> None:
    """A frame of one camera may release waiting frames of the other: they must not overtake."""
    items = [a.frame for a in arrivals(rig_spec(), 20.0)]
    for _ in range(5):
        desk = Desk()
        threads = [
            threading.Thread(
                target=read_live, args=(Played(name, items), desk.intake, threading.Event(), lambda: None)
            )
            for name in ("reference", "secondary")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        for camera in ("reference", "secondary"):
            seqs = desk.seqs(camera)  # type: ignore[arg-type]
            assert seqs == sorted(seqs)
            given_up = desk.counted("no_time", camera)  # type: ignore[arg-type]
            assert sorted(seqs + given_up) == [f.seq for f in items if f.camera == camera]


def test_a_camera_that_counts_anew_has_lost_nothing_we_know_of() -> None:
    """After a restart the numbers fall; a negative count would corrupt the totals."""
    desk = Desk()
    ms = 10**6
    for number, seq in enumerate([5, 6, 7, 0, 1, 3]):
        stamp = number * 33 * ms
        desk.intake.take(frame("reference", seq, t_device_ns=stamp + 1, t_host_ns=stamp))
    assert desk.drops == [("lost", "reference", 2, 1)]


def test_an_incomplete_frame_never_reaches_the_line() -> None:
    """Its image is empty; its number still counts."""
    desk = Desk()
    for seq, status in enumerate([FrameStatus.OK, FrameStatus.INCOMPLETE, FrameStatus.OK, FrameStatus.OK]):
        stamp = seq * 33_000_000
        desk.intake.take(frame("reference", seq, t_device_ns=stamp + 1, t_host_ns=stamp, status=status))
    assert desk.drops == [("incomplete", "reference", 1, 1)]
