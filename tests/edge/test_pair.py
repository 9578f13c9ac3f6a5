"""Which low and high frame go with which reference frame: a wrong choice is a ghost or a lost frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.frames import Exposure, Group
from edge.pair import (
    KEPT_NS,
    MAX_PENDING,
    Pair,
    Pairer,
    Stamped,
    is_decided,
    is_low,
    make_group,
    nearest_pair,
)
from hw.simulator.spec import Faults
from tests.edge.streams import HIGH, LOW, REFERENCE, arrivals, frame, rig_spec

MS = 1_000_000
READOUT_NS = 8 * MS


def stamped(camera: str, seq: int, t_ns: int, exposure: Exposure | None = None) -> Stamped:
    return Stamped(frame(camera, seq, exposure), t_ns)  # type: ignore[arg-type]


def pair_at(t_ns: int, seq: int = 0) -> Pair:
    """A pair whose middle is ``t_ns``, 66 ms long."""
    return Pair(stamped("secondary", seq, t_ns - 33 * MS), stamped("secondary", seq + 1, t_ns + 33 * MS))


def regular(
    fps: tuple[float, float], seconds: float, lost: frozenset[tuple[str, int]] = frozenset(), phase: int = 0
) -> list[tuple[int, Stamped]]:
    """(arrival, frame) of two regular cameras; ``phase`` 1 begins with the high exposure."""
    out = []
    for camera, rate in (("reference", fps[0]), ("secondary", fps[1])):
        for seq in range(int(seconds * rate)):
            exposure = REFERENCE if camera == "reference" else (LOW, HIGH)[(seq + phase) % 2]
            begin, half = round(seq * 1e9 / rate), round(exposure.exposure_us * 500)
            if (camera, seq) not in lost:
                out.append((begin + 2 * half + READOUT_NS, stamped(camera, seq, begin + half, exposure)))
    return sorted(out, key=lambda one: one[0])


def run(pairer: Pairer, items: Iterable[tuple[int, Stamped]]) -> list[Group]:
    groups = []
    for now_ns, item in items:
        pairer.add(item, now_ns)
        groups += pairer.groups(now_ns)
    return groups + pairer.flush()


def oracle_pairs(items: Sequence[tuple[int, Stamped]]) -> list[Pair]:
    """All pairs of neighbours, each frame used once."""
    pairs: list[Pair] = []
    single: Stamped | None = None
    for _, item in items:
        if item.frame.camera == "reference":
            continue
        if single is None or is_low(single.frame.exposure, REFERENCE) == is_low(
            item.frame.exposure, REFERENCE
        ):
            single = item
            continue
        low, high = (single, item) if is_low(single.frame.exposure, REFERENCE) else (item, single)
        pairs.append(Pair(low, high))
        single = None
    return pairs


losses = st.frozensets(
    st.tuples(st.sampled_from(["reference", "secondary"]), st.integers(0, 60)), max_size=25
)
anything = st.lists(
    st.tuples(
        st.booleans(),
        st.integers(-(10**9), 10**10),
        st.sampled_from([LOW, HIGH, REFERENCE, Exposure(8_500.0)]),
        st.integers(0, 200 * MS),
    ),
    max_size=150,
)


@settings(max_examples=80, deadline=None)
@given(anything, st.one_of(st.none(), st.integers(0, 300 * MS)), st.integers(1, 500 * MS))
def test_every_reference_frame_comes_out_once_and_in_order(
    steps: list[tuple[bool, int, Exposure, int]], wait_ns: int | None, max_age_ns: int
) -> None:
    """A frame that pairing swallows is a stutter; one that it repeats breaks the file."""
    pairer, now_ns = Pairer(max_age_ns, wait_ns), 0
    out: list[Group] = []
    sent: list[int] = []
    accounted = 0
    for seq, (is_reference, t_ns, exposure, step) in enumerate(steps):
        now_ns += step
        item = stamped("reference" if is_reference else "secondary", seq, t_ns, exposure)
        lost = pairer.add(item, now_ns)
        assert all(f.camera == "secondary" for _, f in lost)
        accounted += len(lost)
        out += pairer.groups(now_ns)
        sent += [seq] if is_reference else []
        assert len(pairer) == len(sent) - len(out)
        assert len(pairer) <= MAX_PENDING
    out += pairer.flush()
    assert [g.reference.seq for g in out] == sent
    assert accounted <= len(steps) - len(sent)
    for group in out:
        for age_ns, member in ((group.low_age_ns, group.low), (group.high_age_ns, group.high)):
            assert (age_ns is None) == (member is None)
            assert age_ns is None or abs(age_ns) <= max_age_ns


@settings(max_examples=60, deadline=None)
@given(
    losses,
    st.sampled_from([0, 1]),
    st.sampled_from([(30.0, 15.0), (30.0, 30.0), (10.0, 30.0), (24.0, 15.0), (60.0, 15.0)]),
)
def test_the_nearest_pair_is_chosen_whatever_was_lost(
    lost: frozenset[tuple[str, int]], phase: int, fps: tuple[float, float]
) -> None:
    """An older pair than needed means more motion between the exposures."""
    items = regular(fps, 2.0, lost, phase)
    pairs = [p for p in oracle_pairs(items) if abs(p.low.t_ns - p.high.t_ns) <= 2 * 10**9]
    times = {item.frame.seq: item.t_ns for _, item in items if item.frame.camera == "reference"}
    pairer = Pairer(10**9, None)
    groups = []
    for now_ns, item in items:
        pairer.add(item, now_ns)
        groups += pairer.groups(now_ns)
    assert len(groups) + len(pairer) == len(times)
    for group in groups:
        best = min(abs(p.t_ns - group.t_ns) for p in pairs)
        assert group.low is not None
        assert group.high is not None
        chosen = group.t_ns - (group.low_age_ns + group.high_age_ns) // 2  # type: ignore[operator]
        assert abs(chosen - group.t_ns) <= best + 1
        assert group.low.exposure == LOW
        assert group.high.exposure == HIGH


@settings(max_examples=60, deadline=None)
@given(st.floats(5, 60), st.floats(1, 31), st.sampled_from([0, 1]), st.floats(0, 1))
def test_a_decision_of_a_regular_stream_is_never_regretted(
    reference_fps: float, secondary_fps: float, phase: int, offset: float
) -> None:
    """Deciding early is what makes the latency short; it must not cost the nearest pair."""
    pairs = oracle_pairs(regular((reference_fps, secondary_fps), 20.0 / secondary_fps, frozenset(), phase))
    for count in range(1, len(pairs)):
        t_ns = round(pairs[count - 1].t_ns + offset * 2e9 / secondary_fps)
        if is_decided(t_ns, pairs[:count]):
            assert abs(pairs[count].t_ns - t_ns) >= abs(pairs[count - 1].t_ns - t_ns) - 2


def test_four_reference_frames_share_a_pair_at_30_and_15() -> None:
    """What depends on the pair alone is computed once for four frames; twice would halve the speed."""
    groups = run(Pairer(150 * MS, 150 * MS), regular((30, 15), 4.0))
    ids = [group.pair_id for group in groups]
    assert None not in ids[:-4]
    shares = [ids.count(pair) for pair in dict.fromkeys(ids)]
    assert set(shares[1:-2]) == {4}
    changes = sum(a != b for a, b in pairwise(ids))
    assert changes == len(shares) - 1, "a pair that comes back would be computed again"


def test_real_stamps_do_not_split_a_pair() -> None:
    """Jitter of arrivals and drift of clocks must not decide which pair a frame gets."""
    from edge.timing.timebase import TimeBase

    base, items = TimeBase(), []
    for arrival in arrivals(rig_spec(drift_ppm=(100.0, -100.0)), 6.0):
        items += [(f.t_host_ns, Stamped(f, t_ns)) for f, t_ns in base.stamp(arrival.frame)]
    ids = [group.pair_id for group in run(Pairer(150 * MS, 150 * MS), items)]
    assert ids.count(None) <= 4, "only the end has no pair"
    assert len(set(ids)) == pytest.approx(len(ids) / 4, abs=2)


@pytest.mark.parametrize("gone", [4, 5])
def test_one_lost_frame_costs_one_pair_and_flips_the_parity(gone: int) -> None:
    """After a loss the pairs are (high, low); reading them by number would swap the exposures."""
    items = regular((30, 15), 4.0, frozenset({("secondary", gone)}))
    pairer = Pairer(150 * MS, None)
    lost = [(cause, f.seq) for now_ns, item in items for cause, f in pairer.add(item, now_ns)]
    assert lost == ([] if gone == 4 else [("no_partner", 4)])
    groups = run(Pairer(150 * MS, None), items)
    for group in groups[2:-4]:
        if group.pair_id is not None:
            assert group.low is not None
            assert group.low.exposure == LOW
            assert group.high is not None
            assert group.high.exposure == HIGH
    assert sum(group.pair_id is None for group in groups) <= 4


def test_the_frame_without_partner_is_the_one_that_is_named() -> None:
    """The loss in the sidecar must name the frame that was not used, not its successor that was."""
    pairer = Pairer(150 * MS, None)
    pairer.add(stamped("reference", 0, 4 * MS), 0)
    assert pairer.add(stamped("secondary", 0, 1 * MS, LOW), 0) == []
    lost = pairer.add(stamped("secondary", 2, 134 * MS, LOW), 0)
    assert [(cause, f.seq) for cause, f in lost] == [("no_partner", 0)]
    near = pairer.add(stamped("secondary", 3, 200 * MS, Exposure(8_500.0)), 0)
    assert [(cause, f.seq) for cause, f in near] == [("exposure_near_reference", 3)]


@pytest.mark.parametrize("often", [LOW, HIGH])
def test_a_frame_taken_twice_in_a_row_is_paired_twice(often: Exposure) -> None:
    """Else taking the exposure that is needed more often would only throw more of it away."""
    pairer = Pairer(250 * MS, None)
    lost: list[str] = []
    used: set[int] = set()
    for seq in range(60):
        pairer.add(stamped("reference", seq, seq * 66 * MS), 0)
        exposure = (HIGH if often == LOW else LOW) if seq % 3 == 2 else often
        lost += [cause for cause, _ in pairer.add(stamped("secondary", seq, seq * 66 * MS + MS, exposure), 0)]
        for group in pairer.groups(0):
            member = group.low if often == LOW else group.high
            used |= set() if member is None else {member.seq}
    assert len(lost) <= 1, "only the first frame of all has no partner"
    assert len(used) >= 36, "two of three frames, the ends aside"


def test_frames_on_both_sides_of_a_silence_are_no_pair() -> None:
    """A low frame from before and a high one from after it would pair two different scenes."""
    pairer = Pairer(150 * MS, None)
    pairer.add(stamped("reference", 0, 4 * MS), 0)
    pairer.add(stamped("secondary", 0, 1 * MS, LOW), 0)
    lost = pairer.add(stamped("secondary", 151, 10_016 * MS, HIGH), 0)
    assert [f.seq for _, f in lost] == [0]
    assert pairer.add(stamped("secondary", 152, 10_067 * MS, LOW), 0) == []
    assert [p.low.frame.seq for p in pairer._pairs] == [152]


def test_silence_of_the_secondary_costs_the_pair_after_its_age_not_the_frame() -> None:
    """One dead camera must not end the recording of the other, nor show its last picture for ever."""
    items = [one for one in regular((30, 15), 3.0) if one[1].frame.camera == "reference" or one[0] < 10**9]
    groups = run(Pairer(150 * MS, 150 * MS), items)
    assert len(groups) == 90
    without = [group.t_ns for group in groups if group.pair_id is None]
    assert 1_000 * MS < min(without) < 1_200 * MS
    assert all(group.pair_id is None for group in groups if group.t_ns > 1_200 * MS)


@pytest.mark.parametrize("wait_ms", [0, 40, 80, 150])
def test_nobody_waits_longer_than_allowed(wait_ms: int) -> None:
    """Latency is a promise: the best pair at hand then has to do."""
    pairer = Pairer(150 * MS, wait_ms * MS)
    arrived: dict[int, int] = {}
    waited = []
    items = [
        one for one in regular((30, 15), 3.0) if one[1].frame.camera == "reference" or one[0] < 2 * 10**9
    ]
    for now_ns, item in items:
        pairer.add(item, now_ns)
        if item.frame.camera == "reference":
            arrived[item.frame.seq] = now_ns
        waited += [now_ns - arrived[g.reference.seq] for g in pairer.groups(now_ns)]
    assert len(waited) >= 80
    assert max(waited) <= wait_ms * MS + 34 * MS, "a late frame goes with the next arrival"


def test_a_frame_that_cannot_wait_takes_the_newest_of_each_kind() -> None:
    """A low frame that has just come is better than the one of the last pair."""
    pairer = Pairer(300 * MS, 0)
    for seq, t_ns in ((0, 0), (1, 67 * MS), (2, 133 * MS)):
        pairer.add(stamped("secondary", seq, t_ns), 0)
    pairer.add(stamped("reference", 4, 140 * MS), 200 * MS)
    (group,) = pairer.groups(200 * MS)
    assert group.pair_id == (2, 1)


def test_early_low_frames_wait_for_the_first_reference_frame() -> None:
    """A short low exposure arrives before the reference frame of the same edge: it is not lost."""
    items = regular((30, 15), 1.0)
    assert items[0][1].frame.camera == "secondary"
    groups = run(Pairer(150 * MS, 150 * MS), items)
    assert groups[0].pair_id == (0, 1)


def test_without_a_reference_early_frames_are_counted_out() -> None:
    """A dead reference camera must not fill the memory, nor lose frames that nobody counts."""
    pairer = Pairer(150 * MS, 150 * MS)
    lost = [one for seq in range(50) for one in pairer.add(stamped("secondary", seq, seq * 67 * MS), 0)]
    assert {cause for cause, _ in lost} == {"before_reference"}
    assert [f.seq for _, f in lost] == list(range(42))


def test_memory_stays_small_while_the_reference_is_silent() -> None:
    """Raw frames are megabytes: pairs that nobody asks for must go."""
    pairer = Pairer(150 * MS, None)
    for now_ns, item in regular((30, 60), 12.0):
        if item.frame.camera == "secondary" or now_ns < 10**9:
            pairer.add(item, now_ns)
            pairer.groups(now_ns)
    span_ns = pairer._pairs[-1].t_ns - pairer._pairs[0].t_ns
    assert span_ns < KEPT_NS + 200 * MS


def test_a_slow_reference_finds_its_pair_among_many() -> None:
    """A long exposure arrives long after its middle; the pair of that moment must still be there."""
    long, low, high = Exposure(900_000.0), Exposure(2_000.0), Exposure(5_000.0, gain_db=60.0)
    items = [
        (seq * 10**9 + 908 * MS, stamped("reference", seq, seq * 10**9 + 450 * MS, long)) for seq in range(4)
    ]
    for seq in range(400):
        t_ns = seq * 10 * MS + (1, 3)[seq % 2] * MS
        items.append((t_ns + 4 * MS, stamped("secondary", seq, t_ns, (low, high)[seq % 2])))
    items.sort(key=lambda one: one[0])
    groups = run(Pairer(150 * MS, None), items)
    assert len(groups) == 4
    for group in groups[1:]:  # until the first has come, nobody knows what low and high are
        assert group.low_age_ns is not None
        assert group.high_age_ns is not None
        assert abs(group.low_age_ns + group.high_age_ns) // 2 <= 10 * MS


def test_a_changed_reference_exposure_does_not_swap_low_and_high() -> None:
    """Auto exposure may move the reference past the low one between two frames."""
    pairer = Pairer(150 * MS, None)
    pairer.add(stamped("reference", 0, 0), 0)
    pairer.add(stamped("secondary", 0, 1 * MS, LOW), 0)
    pairer.add(stamped("reference", 1, 33 * MS, LOW), 0)
    lost = pairer.add(stamped("secondary", 1, 83 * MS, HIGH), 0)
    assert [f.seq for _, f in lost] == [0], "what was low is now near the reference: neither"
    assert pairer.flush()[1].low is None


def test_ties_and_ages() -> None:
    """Of two equally near pairs the earlier: the network has its features already."""
    early, late = pair_at(0), pair_at(100 * MS, 2)
    assert nearest_pair(50 * MS, [late, early]) is early
    assert nearest_pair(0, []) is None
    group = make_group(stamped("reference", 9, 120 * MS), early, 100 * MS)
    assert (group.low, group.high_age_ns, group.pair_id) == (None, 87 * MS, None)
    assert make_group(stamped("reference", 9, 0), early, 33 * MS).pair_id == (0, 1)


def test_simulated_losses_never_leave_a_pair_upside_down() -> None:
    """Lost and late exposures together: low must stay below high in every group."""
    from edge.timing.timebase import TimeBase

    base = TimeBase()
    spec = rig_spec(3, faults=Faults(lost_share=0.1, late_exposure_share=0.1))
    items = []
    for arrival in arrivals(spec, 20.0):
        items += [(f.t_host_ns, Stamped(f, t_ns)) for f, t_ns in base.stamp(arrival.frame)]
    groups = run(Pairer(150 * MS, 150 * MS), items)
    paired = [g for g in groups if g.low is not None and g.high is not None]
    assert len(paired) > 0.6 * len(groups)
    assert all(g.low.exposure == LOW and g.high.exposure == HIGH for g in paired)  # type: ignore[union-attr]
