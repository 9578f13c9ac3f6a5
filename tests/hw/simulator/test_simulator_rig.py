"""The simulated rig as the line sees it: frames, faults, truth, and the same bytes everywhere."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge.frames import Exposure, Frame, FrameStatus
from hw.camera import CameraError, CameraLostError, TriggerError
from hw.simulator.library import scene_world
from hw.simulator.motion import Motion
from hw.simulator.rig import SimulatedRig, true_homography, truth
from hw.simulator.scene import Stage
from hw.simulator.sensor import Sensor, mosaic
from hw.simulator.spec import CameraSpec, DeviceClock, Faults, Geometry, SimulatorSpec, SpecError

SMALL = SimulatorSpec(width=96, height=64, seed=4)


def with_faults(camera: str, faults: Faults, base: SimulatorSpec = SMALL) -> SimulatorSpec:
    spec = dataclasses.replace(getattr(base, camera), faults=faults)
    return dataclasses.replace(base, **{camera: spec})


def film(
    rig: SimulatedRig, until_s: float, on_frame: Callable[[Frame], None] | None = None
) -> dict[str, list[Frame]]:
    """Read both cameras, each in its own thread, until frames pass ``until_s``."""
    taken: dict[str, list[Frame]] = {"reference": [], "secondary": []}
    end_ns = rig.spec.host_epoch_ns + round(until_s * 1e9)
    cameras = (rig.reference, rig.secondary)

    def read_on(camera: object) -> None:
        while True:
            try:
                frame = camera.read(20.0)  # type: ignore[attr-defined]
            except CameraLostError:
                return
            if frame is None or frame.t_host_ns > end_ns:
                camera.stop()  # type: ignore[attr-defined]
                return
            taken[frame.camera].append(frame)
            if on_frame:
                on_frame(frame)

    for camera in cameras:
        camera.start()
    threads = [threading.Thread(target=read_on, args=(camera,)) for camera in cameras]
    for thread in threads:
        thread.start()
    rig.trigger.start()
    for thread in threads:
        thread.join(60.0)
    assert not any(thread.is_alive() for thread in threads)
    return taken


def digest(spec: SimulatorSpec) -> str:
    """SHA-256 of everything that comes out of half a second of filming, and of one truth."""
    rig = SimulatedRig(spec, None)
    taken, sha = film(rig, 0.5), hashlib.sha256()
    for frame in taken["reference"] + taken["secondary"]:
        sha.update(repr((frame.seq, frame.t_device_ns, frame.t_host_ns, frame.exposure)).encode())
        sha.update(frame.image.tobytes())
    sha.update(rig.truth(5).tobytes())
    return sha.hexdigest()


def test_both_cameras_film_at_their_own_pace_from_one_edge() -> None:
    """The whole line rests on this: periods, alternation, mid-exposure stamps on each camera's clock."""
    taken = film(SimulatedRig(SMALL, None), 1.0)
    reference, secondary = taken["reference"], taken["secondary"]
    assert [f.seq for f in reference] == list(range(len(reference)))
    assert 28 <= len(reference) <= 30
    assert 14 <= len(secondary) <= 15
    assert [f.exposure.exposure_us for f in secondary[:4]] == [2_000, 32_000, 2_000, 32_000]
    assert {f.exposure for f in reference} == {Exposure(8_000.0)}
    first = SMALL.reference.clock.offset_ns + 4_000_000
    assert reference[0].t_device_ns == pytest.approx(first, abs=100)
    steps = np.diff([f.t_device_ns for f in reference])
    assert np.allclose(steps, 1e9 / 30, atol=2)


def test_same_spec_same_bytes_in_another_process() -> None:
    """A session's ground truth is rendered later by another process; every byte must come back."""
    code = (
        "import json, sys; sys.path.insert(0, '.');"
        "from tests.hw.simulator.test_simulator_rig import digest, SimulatorSpec;"
        "print(digest(SimulatorSpec.from_dict(json.load(sys.stdin))))"
    )
    spec = with_faults("secondary", Faults(lost_share=0.2))
    there = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(spec.to_dict()),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert there.stdout.strip() == digest(spec), there.stderr
    assert digest(dataclasses.replace(spec, seed=5)) != digest(spec)


def test_truth_is_what_the_reference_frame_shows() -> None:
    """Every PSNR the demo prints compares with this picture; a frame off would cost decibels."""
    quiet = Sensor(full_well_e=1e12, read_noise_e=0.0)
    spec = dataclasses.replace(SMALL, reference=dataclasses.replace(SMALL.reference, sensor=quiet))
    rig = SimulatedRig(spec, None)
    for frame in film(rig, 0.4)["reference"][::5]:
        value = (frame.image.astype(float) - quiet.black) / (quiet.white - quiet.black)
        expected = np.minimum(mosaic(rig.truth(frame.seq), quiet), 1.0)
        assert np.abs(value - expected).max() < 1.0 / (quiet.white - quiet.black)


def test_truth_after_a_change_of_exposure_is_in_the_new_unit() -> None:
    """1.0 always saturates the reference as taken; otherwise auto exposure would look like an error."""
    spec = dataclasses.replace(SMALL, motion=Motion(0.0, 0.0, 0.0, 0.0, 0.0))
    world = scene_world(spec.scene, spec.width, spec.height, spec.seed, spec.stage, spec.motion)
    longer = truth(spec, world, 3, Exposure(16_000.0))
    assert np.allclose(longer, 2.0 * truth(spec, world, 3), rtol=1e-5)


def test_true_homography_rectifies_the_secondary() -> None:
    """The demo's calibration file is written from it."""
    still = Motion(0.0, 0.0, 0.0, 0.0, 0.0)
    spec = dataclasses.replace(
        SMALL,
        width=320,
        height=192,
        stage=Stage(zoom=0.6, objects=0, background_depth_m=3.0),
        motion=still,
        secondary=CameraSpec(1e6 / 30, (Exposure(8_000.0),)),
        geometry=Geometry(baseline_m=0.08),
    )
    taken = film(SimulatedRig(spec, None), 0.1)
    views = [
        cv2.demosaicing(taken[name][0].image, cv2.COLOR_BayerBG2RGB).astype(np.float32)
        for name in ("reference", "secondary")
    ]
    matrix = true_homography(spec)
    assert np.abs(matrix - np.eye(3))[:2, 2].max() > 3.0
    rectified = cv2.warpPerspective(views[1], matrix, (320, 192))
    inner = (slice(24, -24), slice(24, -24))
    aligned = np.abs(rectified[inner] - views[0][inner]).mean()
    assert aligned < 0.4 * np.abs(views[1][inner] - views[0][inner]).mean()
    level = dataclasses.replace(spec, geometry=Geometry(rectified=True))
    assert np.array_equal(true_homography(level), np.eye(3))


def test_lost_frames_leave_gaps_in_the_numbers() -> None:
    """Drops are counted by sequence number; a silent renumbering would hide them."""
    spec = with_faults("reference", Faults(lost_seqs=(0, 3, 4)))
    taken = film(SimulatedRig(spec, None), 0.4)["reference"]
    assert [f.seq for f in taken[:4]] == [1, 2, 5, 6]


def test_incomplete_frames_say_so_and_carry_no_image() -> None:
    """A torn picture must never be fused."""
    spec = with_faults("secondary", Faults(incomplete_seqs=(1,)))
    frames = film(SimulatedRig(spec, None), 0.4)["secondary"]
    assert [f.status for f in frames[:3]] == [FrameStatus.OK, FrameStatus.INCOMPLETE, FrameStatus.OK]
    assert frames[1].image.size == 0


def test_late_exposure_is_filmed_and_told() -> None:
    """A frame labelled with the wish instead of the fact would be fused at 16 times its light."""
    spec = with_faults("secondary", Faults(late_exposure_seqs=(1,)))
    frames = film(SimulatedRig(spec, None), 0.4)["secondary"]
    assert [f.exposure.exposure_us for f in frames[:4]] == [2_000, 2_000, 2_000, 32_000]
    assert frames[1].image.mean() < 1.3 * frames[0].image.mean() < 0.5 * frames[3].image.mean()


def test_silence_is_a_gap_and_does_not_stop_the_other_camera() -> None:
    """The reference video must go on while the secondary is away."""
    spec = with_faults("secondary", Faults(silences=((0.3, 0.8),)))
    taken = film(SimulatedRig(spec, None), 1.0)
    times = [f.seq / 15 for f in taken["secondary"]]
    assert [t for t in times if 0.3 <= t < 0.8] == []
    assert max(times) >= 0.8
    assert len(taken["reference"]) >= 28


def test_silence_lets_read_time_out() -> None:
    """A watchdog must see that nothing comes, at any pace."""
    for pace in (None, 1.0):
        rig = SimulatedRig(with_faults("secondary", Faults(silences=((0.0, 1e9),))), pace)
        rig.secondary.start()
        rig.trigger.start()
        assert rig.secondary.read(0.05) is None


def test_a_camera_that_is_gone_says_so_on_every_call() -> None:
    """The supervisor rebuilds a camera only on CameraLostError."""
    rig = SimulatedRig(with_faults("secondary", Faults(gone_at_s=0.3)), None)
    taken = film(rig, 0.6)
    assert 2 <= len(taken["secondary"]) <= 5
    assert len(taken["reference"]) >= 16
    for call in (lambda: rig.secondary.read(0.0), lambda: rig.secondary.set_exposures([Exposure(1e3)])):
        with pytest.raises(CameraLostError, match=r"secondary camera: gone since 0\.3 s"):
            call()


def test_wrong_ticks_and_drift_show_in_the_stamps() -> None:
    """Finding a wrong tick rate can only be tested on a camera that has one."""
    clock = DeviceClock(0, 0.0, 0.694)
    spec = dataclasses.replace(SMALL, secondary=dataclasses.replace(SMALL.secondary, clock=clock))
    frames = film(SimulatedRig(spec, None), 0.6)["secondary"]
    low = [f.t_device_ns for f in frames[::2]]
    assert np.allclose(np.diff(low), 0.694 * 2e9 / 15, atol=2)


def test_new_exposures_take_hold_after_the_lag() -> None:
    """Auto exposure must reckon with frames already under way."""
    spec = dataclasses.replace(SMALL, reference=dataclasses.replace(SMALL.reference, exposure_lag_frames=2))
    rig = SimulatedRig(spec, None)

    def brighten(frame: Frame) -> None:
        if frame.camera == "reference" and frame.seq == 3:
            rig.reference.set_exposures([Exposure(16_000.0)])

    taken = film(rig, 0.5, brighten)["reference"]
    used = [f.exposure.exposure_us for f in taken]
    assert used[:8] == [8_000.0] * 6 + [16_000.0] * 2
    assert taken[6].image.astype(int).mean() > 1.2 * taken[5].image.mean()


def test_exposures_set_before_the_edge_hold_from_the_first_frame() -> None:
    """A session's first frames would otherwise be taken with some other setting."""
    rig = SimulatedRig(SMALL, None)
    rig.reference.set_exposures([Exposure(5_000.0)])
    assert film(rig, 0.1)["reference"][0].exposure.exposure_us == 5_000.0


@pytest.mark.parametrize("exposures", [[], [Exposure(40_000.0)], [Exposure(0.0)]])
def test_exposures_that_cannot_be_taken_are_refused(exposures: list[Exposure]) -> None:
    """A camera that silently halved its frame rate would look like lost frames."""
    with pytest.raises(CameraError, match="reference"):
        SimulatedRig(SMALL, None).reference.set_exposures(exposures)


def test_no_frame_comes_earlier_than_the_pace_allows() -> None:
    """At half pace half a second of scene must take a second."""
    begun = time.monotonic()
    taken = film(SimulatedRig(SMALL, 2.0), 0.5)
    assert len(taken["reference"]) >= 13
    assert time.monotonic() - begun >= 0.22


def test_a_slow_reader_loses_nothing() -> None:
    """On a slow machine the simulated world waits; loss belongs to the fault knobs alone."""
    gate = threading.Event()
    taken = film(SimulatedRig(SMALL, 1000.0), 0.5, lambda frame: gate.wait(0.01) and None)
    assert [f.seq for f in taken["reference"]] == list(range(len(taken["reference"])))


def test_nothing_comes_before_the_edge_or_after_stop() -> None:
    """Frames from before the common start have no partner."""
    rig = SimulatedRig(SMALL, None)
    assert rig.reference.read(0.0) is None
    rig.reference.start()
    assert rig.reference.read(0.01) is None
    rig.trigger.start()
    assert rig.reference.read(10.0) is not None
    rig.reference.stop()
    rig.reference.stop()
    assert rig.reference.read(10.0) is None


def test_a_failing_trigger_is_told() -> None:
    """Without the edge no camera films; the daemon must be able to say why."""
    with pytest.raises(TriggerError, match="trigger_fails"):
        SimulatedRig(dataclasses.replace(SMALL, trigger_fails=True)).trigger.start()


def test_info_describes_the_frames() -> None:
    """Development subtracts the black level that is written here."""
    spec = dataclasses.replace(
        SMALL, reference=dataclasses.replace(SMALL.reference, sensor=Sensor(bit_depth=10))
    )
    info = SimulatedRig(spec, None).reference.info
    assert (info.width, info.height, info.bit_depth) == (96, 64, 10)
    assert (info.black_level, info.white_level) == (16, 1023)


def test_spec_survives_json() -> None:
    """A session stores it; a field that came back different would render another truth."""
    spec = with_faults("secondary", Faults(lost_seqs=(1, 2), silences=((0.5, 1.0),), gone_at_s=3.0))
    spec = dataclasses.replace(spec, stage=Stage(object_levels=(1.0, 2.0)), motion=Motion())
    assert SimulatorSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("width",), "wide", "width"),
        (("width",), 97, "97x64"),
        (("colour",), 1, "unknown key colour"),
        (("reference", "sensor", "iso"), 100, r"unknown key reference\.sensor\.iso"),
        (("secondary", "exposures"), [], "secondary: no exposure"),
    ],
)
def test_a_spoilt_spec_is_one_clear_error(path: tuple[str, ...], value: object, told: str) -> None:
    """A session edited by hand must say what is wrong with it."""
    data = json.loads(json.dumps(SMALL.to_dict()))
    node = data
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    with pytest.raises(SpecError, match=told):
        SimulatorSpec.from_dict(data)
