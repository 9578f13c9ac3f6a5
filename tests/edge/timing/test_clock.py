"""One time for both cameras: pairs are chosen by it, so an error here is a ghost in every frame."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.frames import CameraName, Frame
from edge.timing.clock import MAX_BUCKETS, ClockLine
from edge.timing.ticks import KNOWN_TICK_RATIOS, snap_tick_ratio
from edge.timing.timebase import MAX_WAITING, TimeBase
from hw.simulator.spec import Faults
from tests.edge.streams import Arrival, arrivals, delayed, frame, rig_spec

EPOCH_NS = rig_spec().host_epoch_ns


@dataclass
class Placed:
    """What a TimeBase made of a stream: computed and true times in ns, per camera, in the order given."""

    times: dict[CameraName, list[tuple[int, int]]]
    ratios: set[tuple[float | None, float | None]]
    given_up: int
    base: TimeBase

    def residual_ms(self) -> tuple[np.ndarray, np.ndarray]:
        """True times (s) of the secondary frames, and how far each is misplaced against the reference."""
        reference = np.array(self.times["reference"])
        secondary = np.array(self.times["secondary"])
        nearest = np.abs(reference[:, 1] - secondary[:, 1, None]).argmin(1)
        error = (secondary - reference[nearest]) @ np.array([1, -1])
        return secondary[:, 1] / 1e9, error / 1e6


def place(items: Iterable[Arrival]) -> Placed:
    base, true_ns = TimeBase(), {}
    times: dict[CameraName, list[tuple[int, int]]] = {"reference": [], "secondary": []}
    ratios = set()
    given_up = 0
    for item in items:
        true_ns[item.frame.camera, item.frame.seq] = item.true_ns
        for placed, t_ns in base.stamp(item.frame):
            times[placed.camera].append((t_ns, true_ns[placed.camera, placed.seq]))
        given_up += len(base.given_up())
        lines = (base.reference.line, base.secondary.line)
        ratios.add(tuple(None if line is None else line.tick_ratio for line in lines))
    return Placed(times, ratios, given_up, base)


def assert_good(placed: Placed, early_ms: float = 3.0, late_ms: float = 1.0) -> None:
    """The published figures, and time that never runs backwards."""
    at_s, error_ms = placed.residual_ms()
    assert np.abs(error_ms[at_s < 3]).max(initial=0) <= early_ms
    assert np.percentile(np.abs(error_ms[at_s >= 3]), 99) <= late_ms
    for times in placed.times.values():
        assert (np.diff([t for t, _ in times]) > 0).all()


@pytest.mark.parametrize("drift_ppm", [(12.0, -21.0), (100.0, -100.0), (-100.0, 100.0)])
@pytest.mark.parametrize("ratio", [1.0, 10.0, 0.694])
def test_frames_of_two_clocks_are_placed_within_a_millisecond(
    drift_ppm: tuple[float, float], ratio: float
) -> None:
    """Else the nearest pair is not the nearest, and what moves leaves a double edge."""
    for seed, faults in enumerate(
        (Faults(), Faults(lost_share=0.1), Faults(lost_seqs=(0,), lost_share=0.02))
    ):
        spec = rig_spec(seed, drift_ppm=drift_ppm, tick_ratio=(1.0, ratio), faults=faults)
        stream = arrivals(spec, 8.0)
        placed = place(stream)
        assert_good(placed)
        assert sum(len(times) for times in placed.times.values()) == len(stream)


@pytest.mark.parametrize("ratio", [10.0, 0.694, 1 / 0.694, 0.1, 1000.0, 0.001])
@pytest.mark.parametrize("camera", [0, 1])
def test_known_wrong_ticks_are_found_at_once_and_kept(ratio: float, camera: int) -> None:
    """Else the first seconds of every recording with such a camera have no pairs."""
    ticks = (ratio, 1.0) if camera == 0 else (1.0, ratio)
    placed = place(arrivals(rig_spec(tick_ratio=ticks), 5.0))
    assert {pair[camera] for pair in placed.ratios} == {None, ratio}
    assert placed.times["secondary"][0][1] < 10e6, "the very first frame has its time"
    assert_good(placed)


@pytest.mark.parametrize("ratio", [1.05, 2.0, 0.125, 0.08, 20.0])
def test_an_unknown_tick_rate_is_measured(ratio: float) -> None:
    """Else a camera of the next make is recorded without pairs."""
    placed = place(arrivals(rig_spec(tick_ratio=(1.0, ratio)), 8.0))
    assert_good(placed, early_ms=10.0)
    line = placed.base.secondary.line
    assert line is not None
    assert line.tick_ratio == pytest.approx(ratio, rel=3e-3)


def test_drift_is_told_with_its_sign() -> None:
    """The page shows it; a wrong sign sends people after the wrong camera."""
    placed = place(arrivals(rig_spec(drift_ppm=(30.0, -50.0), fps=(10.0, 5.0)), 40.0))
    assert placed.base.drift_ppm() == pytest.approx(-80.0, abs=3.0)


STALLS = {
    "first frame 20 ms late": lambda f: 20e6 if f.seq == 0 else 0,
    "a busy start": lambda f: max(0, EPOCH_NS + 0.2e9 - f.t_host_ns),
    "one second of backlog": lambda f: max(0, EPOCH_NS + 1.0e9 - f.t_host_ns),
    "one camera starts three seconds late": lambda f: (
        max(0, EPOCH_NS + 3.0e9 - f.t_host_ns) if f.camera == "secondary" else 0
    ),
    "held up from 0.5 to 2.5 s": lambda f: (
        max(0, EPOCH_NS + 2.5e9 - f.t_host_ns) if f.t_host_ns > EPOCH_NS + 0.5e9 else 0
    ),
    "held up from 5 to 6 s": lambda f: (
        max(0, EPOCH_NS + 6e9 - f.t_host_ns) if f.t_host_ns > EPOCH_NS + 5e9 else 0
    ),
    "every seventh 100 ms late": lambda f: 100e6 if f.t_host_ns % 7 == 0 else 0,
}


@pytest.mark.parametrize("stall", STALLS)
def test_a_held_up_host_does_not_move_frames_in_time(stall: str) -> None:
    """Arrival is no frame time: a full disk for a second must not tear the pairs apart."""
    placed = place(delayed(arrivals(rig_spec(), 12.0), STALLS[stall]))
    assert_good(placed)
    assert {ratio for pair in placed.ratios for ratio in pair} == {None, 1.0}


@pytest.mark.parametrize("seed", range(4))
def test_a_busy_host_does_not_move_one_camera_against_the_other(seed: int) -> None:
    """The encoder loads the host in waves, and the two cameras' packets suffer unequally: a mean over
    arrivals would put low and high milliseconds away from where they were taken."""
    rng = random.Random(seed)

    def late_ns(f: Frame) -> float:
        busy = int((f.t_host_ns - EPOCH_NS) / 2.5e9) % 3 != 0
        return rng.uniform(0.0, 12e6 if f.camera == "reference" else 4e6) if busy else rng.uniform(0, 0.2e6)

    placed = place(delayed(arrivals(rig_spec(), 40.0), late_ns))
    _, error_ms = placed.residual_ms()
    assert np.percentile(np.abs(error_ms[len(error_ms) // 4 :]), 99) < 0.5


@pytest.mark.parametrize("busy", ["reference", "secondary"])
def test_a_host_that_becomes_busy_for_good_is_no_slow_clock(busy: CameraName) -> None:
    """A second program is started beside the recorder, and from then on no packet of one camera is in time:
    a line that follows the arrivals would part the cameras by as much."""
    rng = random.Random(3)

    def late_ns(f: Frame) -> float:
        return rng.uniform(4e6, 7e6) if f.camera == busy and f.t_host_ns > EPOCH_NS + 20e9 else 0.0

    placed = place(delayed(arrivals(rig_spec(drift_ppm=(12.0, -21.0), fps=(10.0, 5.0)), 200.0), late_ns))
    assert_good(placed)


def test_a_camera_that_warms_up_is_followed() -> None:
    """A rate that is held on to too firmly would part the cameras in the first ten minutes on a cold roof."""
    ppm_per_s = 0.02

    def warmed(f: Frame) -> Frame:
        t_s = (f.t_host_ns - EPOCH_NS) / 1e9
        slow_ns = round(0.5 * ppm_per_s * 1e3 * t_s**2) if f.camera == "secondary" else 0
        return replace(f, t_device_ns=f.t_device_ns + slow_ns)

    stream = arrivals(rig_spec(drift_ppm=(12.0, -21.0), fps=(4.0, 2.0)), 600.0)
    assert_good(place([Arrival(warmed(f), true_ns) for f, true_ns in stream]))


@pytest.mark.parametrize("seed", range(6))
def test_a_start_on_a_busy_machine_is_no_wrong_clock(seed: int) -> None:
    """Arrivals that fit no rate are no evidence of a rate: or pairs are torn apart, and the page blames the
    camera's clock. What no early arrival tells, the first frames may be misplaced by."""
    lateness = random.Random(seed)
    late = delayed(
        arrivals(rig_spec(), 8.0),
        lambda f: lateness.uniform(0, 200e6) if f.t_host_ns < EPOCH_NS + 1.5e9 else 0,
    )
    placed = place(late)
    lines = (placed.base.reference.line, placed.base.secondary.line)
    assert [line and line.tick_ratio for line in lines] == [1.0, 1.0]
    assert_good(placed, early_ms=300.0)


@pytest.mark.parametrize("camera", ["reference", "secondary"])
@pytest.mark.parametrize("jump_s", [-20.0, -5.0, 3600.0])
def test_a_restarted_camera_goes_on_in_session_time(camera: CameraName, jump_s: float) -> None:
    """Else a camera that came back after a brown-out is dropped for good as "before the start"."""
    stream = [
        Arrival(replace(f, t_device_ns=f.t_device_ns + round(jump_s * 1e9)), true_ns)
        if f.camera == camera and true_ns > 6e9
        else Arrival(f, true_ns)
        for f, true_ns in arrivals(rig_spec(), 12.0)
    ]
    placed = place(stream)
    assert_good(placed)
    assert sum(len(times) for times in placed.times.values()) == len(stream)
    absolute = np.array(placed.times["reference"]) @ np.array([1, -1])
    assert np.abs(absolute).max() < 2e6


def test_an_hour_stays_accurate_and_small() -> None:
    """Else drift eats the pairing, or memory the device, long after everybody went home."""
    spec = rig_spec(drift_ppm=(100.0, -100.0), fps=(1.0, 0.5))
    placed = place(arrivals(spec, 3600.0))
    at_s, error_ms = placed.residual_ms()
    assert np.percentile(np.abs(error_ms[at_s >= 3]), 99) <= 1.0
    for fit in (placed.base.reference, placed.base.secondary):
        assert all(len(v) <= MAX_BUCKETS for v in vars(fit).values() if isinstance(v, list))
    assert placed.base._waiting == []


def test_frames_wait_for_a_clock_but_not_without_end() -> None:
    """Else a dead reference camera fills the memory with frames of the other one."""
    stream = [a for a in arrivals(rig_spec(), 30.0) if a.frame.camera == "secondary"]
    placed = place(stream)
    assert placed.given_up == len(stream) - MAX_WAITING
    assert len(placed.base._waiting) == MAX_WAITING


def test_a_stuck_device_clock_gives_frames_up_by_name() -> None:
    """Else a camera without a clock loses frames that nobody counts."""
    stream = [
        Arrival(replace(f, t_device_ns=5), t) if f.camera == "secondary" else Arrival(f, t)
        for f, t in arrivals(rig_spec(), 5.0)
    ]
    placed = place(stream)
    assert placed.times["secondary"] == []
    assert placed.given_up == sum(a.frame.camera == "secondary" for a in stream) - 1
    assert len(placed.times["reference"]) == 150


@pytest.mark.parametrize("alone_from_s", [0.0, 5.0])
def test_the_reference_does_not_wait_for_a_camera_that_is_not_there(alone_from_s: float) -> None:
    """A missing secondary costs the rung, never a frame or its time."""
    stream = [
        a
        for a in arrivals(rig_spec(), 8.0)
        if a.frame.camera == "reference" or a.true_ns < alone_from_s * 1e9
    ]
    placed = place(stream)
    error_ns = np.array(placed.times["reference"]) @ np.array([1, -1])
    assert len(error_ns) == sum(a.frame.camera == "reference" for a in stream)
    assert np.abs(error_ns).max() < 2e6


def test_the_first_reference_frames_can_have_a_pair() -> None:
    """Else every recording begins with a few frames on the lowest rung."""
    base = TimeBase()
    first = next(placed for a in arrivals(rig_spec(), 2.0) if (placed := base.stamp(a.frame)))
    assert {f.camera for f, _ in first} == {"reference", "secondary"}
    assert [f.t_host_ns for f, _ in first] == sorted(f.t_host_ns for f, _ in first)


def test_a_lost_first_reference_frame_does_not_cost_secondary_frames() -> None:
    """The edge is when the cameras began, not when the first frame got through."""
    faults = Faults(lost_seqs=(0, 1))
    spec = rig_spec()
    spec = replace(spec, reference=replace(spec.reference, faults=faults))
    placed = place(arrivals(spec, 5.0))
    assert placed.times["secondary"][0][0] == pytest.approx(1e6, abs=1e5)
    assert placed.times["reference"][0][0] == pytest.approx(70.67e6, abs=1e6)
    assert_good(placed)


def test_session_time_begins_with_the_first_reference_exposure() -> None:
    """Both wires get one edge: that instant is zero in every file."""
    placed = place(arrivals(rig_spec(), 1.0))
    assert placed.times["reference"][0][0] == pytest.approx(4e6, abs=1)
    assert placed.times["secondary"][0][0] == pytest.approx(1e6, abs=1e6)


@given(
    st.integers(0, 2**63),
    st.floats(0, 1e15),
    st.sampled_from(KNOWN_TICK_RATIOS),
    st.floats(-200, 200),
    st.floats(-1e12, 1e12),
)
def test_a_line_has_its_inverse(device0: int, host0: float, ratio: float, drift: float, ahead: float) -> None:
    """Secondary stamps go through one line and back through the other."""
    line = ClockLine(device0, host0, ratio, drift, 0.0)
    back = line.to_host(line.to_device(host0 + ahead))
    tolerance = 2 * max(math.ulp(float(device0)) / ratio, math.ulp(host0 + 1e12))
    assert back == pytest.approx(host0 + ahead, abs=tolerance + 1.0)


def test_ptp_stamps_since_1970_keep_their_precision() -> None:
    """Such stamps have no room for nanoseconds in a float."""
    stream = [
        Arrival(replace(f, t_device_ns=f.t_device_ns + 1_790_000_000 * 10**9), t)
        for f, t in arrivals(rig_spec(), 5.0)
    ]
    assert_good(place(stream))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(-(2**62), 2**62), st.integers(0, 2**62), st.integers(0, 400)),
        max_size=60,
    )
)
def test_no_stamps_break_it(stamps: Sequence[tuple[bool, int, int, int]]) -> None:
    """A camera gone mad costs its own frames; a traceback here would cost the recording."""
    base, out = TimeBase(), 0
    last: dict[CameraName, int] = {}
    for seq, (secondary, device_ns, host_ns, step) in enumerate(stamps):
        camera: CameraName = "secondary" if secondary else "reference"
        f = frame(camera, seq, t_device_ns=device_ns if step < 100 else step * seq * 10**6, t_host_ns=host_ns)
        for placed, t_ns in base.stamp(f):
            assert t_ns > last.get(placed.camera, -sys.maxsize * 10**20)
            last[placed.camera] = t_ns
            out += 1
        out += len(base.given_up())
    assert out + len(base._waiting) == len(stamps)


def test_snapping_knows_its_limits() -> None:
    """A ratio near a known one is that one; any other is what it is; nonsense is refused."""
    assert snap_tick_ratio(9.9) == 10.0
    assert snap_tick_ratio(0.6944) == 0.694
    assert snap_tick_ratio(1.05) == 1.05
    for nonsense in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="tick ratio"):
            snap_tick_ratio(nonsense)


def test_every_bit_of_arrival_jitter_is_kept_out_of_frame_time() -> None:
    """Reference times follow the device clock alone: even frames, whatever the host does."""
    rng = random.Random(1)
    placed = place(delayed(arrivals(rig_spec(), 6.0), lambda _f: rng.expovariate(1 / 3e6)))
    times = [t for t, _ in placed.times["reference"]]
    steps = np.diff(times)
    assert np.abs(steps - steps.mean()).max() < 10
