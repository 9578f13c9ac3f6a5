"""The decisions of the GigE client: ids, exposures, watchdog, who is meant, who is in control."""

from __future__ import annotations

import socket
import struct
import sys
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from edge.capture.reader import Intake
from edge.errors import UnavailableError
from edge.frames import CameraName, Exposure, Frame, FrameStatus
from edge.pair import Stamped
from hw.camera import CameraError, CameraInfo, CameraLostError
from hw.gige import gvcp, watch
from hw.gige.aravis import load
from hw.gige.discovery import Found, Selector, pick
from hw.gige.identify import Holder, LevelFinder, OneExposure, PhaseFinder, Seen
from hw.gige.ids import FrameIds
from hw.gige.quirks import Quirks, gain_db, gain_value, quirks_of
from hw.gige.receive import Delivery, Receiver, Settings, Source
from hw.gige.setup import Latched, tick_ratio

LOW, HIGH = Exposure(2000.0), Exposure(32000.0)
CYCLE = (LOW, HIGH)
PERIOD_NS = 66_666_667
INFO = CameraInfo("secondary", "m", "s", 48, 32, "bayer_rggb", 12, 64, 4095, 66_666.667)


def test_ids_wrap_past_zero_and_count_what_was_lost() -> None:
    """65535 is followed by 1: an honest modulus would lose or invent a frame every 36 minutes."""
    ids = FrameIds()
    assert [ids.count(i) for i in (65533, 65534, 65535, 1, 2, 5)] == [0, 1, 2, 3, 4, 7]
    wide = FrameIds(narrow=False)
    assert [wide.count(i) for i in (0, 1, 65535, 65536)] == [0, 1, 65535, 65536]
    grown = FrameIds()
    assert [grown.count(i) for i in (65534, 65535, 65536, 65537)] == [0, 1, 2, 3]


def scene(exposure: Exposure, brightness: float = 1.0) -> Seen:
    """Samples of a scene of four stops around the middle, as one exposure shows it."""
    radiance = np.geomspace(0.02, 2.0, 400, dtype=np.float32) * brightness
    return Seen(0, np.clip(radiance * exposure.exposure_us / 8000.0, 0.0, 1.0).astype(np.float32))


def run(finder: Holder[int], seen: Sequence[tuple[int, Seen]]) -> list[tuple[int, Exposure | None]]:
    out: list[tuple[int, Exposure | None]] = []
    for count, what in seen:
        out += finder.add(count, Seen(count, what.samples))
    return out + finder.rest()


@pytest.mark.parametrize("phase", [0, 1])
@pytest.mark.parametrize("lost", [set(), {1}, {3}, {2, 3}])
def test_the_phase_is_seen_wherever_it_began(phase: int, lost: set[int]) -> None:
    """The first frame may be missing: a parity that is assumed fuses low as high, all night."""
    truth = {n: CYCLE[(n + phase) % 2] for n in range(12) if n not in lost}
    found = run(Holder(PhaseFinder(CYCLE)), [(n, scene(e)) for n, e in truth.items()])
    assert found == list(truth.items()), "every frame, the first ones too"


def test_a_phase_outlives_the_dark_and_a_covered_lens_has_none() -> None:
    """At night no level shows anything; what was known stays, what was not is not guessed."""
    frames = [(n, scene(CYCLE[n % 2], 1.0 if n < 6 else 1e-5)) for n in range(30)]
    found = run(Holder(PhaseFinder(CYCLE)), frames)
    assert all(exposure in (None, CYCLE[n % 2]) for n, exposure in found)
    assert [n for n, exposure in found if exposure is None] in ([6], [7], [6, 7]), "as the light goes out"
    dark = [(n, scene(CYCLE[n % 2], 1e-5)) for n in range(30)]
    assert run(Holder(PhaseFinder(CYCLE)), dark) == [(n, None) for n in range(30)]


def test_a_frame_that_contradicts_is_unknown_and_two_begin_anew() -> None:
    """A camera that slips in its cycle must not be believed for ever; one flash is not a slip."""
    truth = [CYCLE[n % 2] if n < 12 else CYCLE[(n + 1) % 2] for n in range(24)]
    found = run(Holder(PhaseFinder(CYCLE)), [(n, scene(e)) for n, e in enumerate(truth)])
    assert [n for n, _ in found] == list(range(24))
    wrong = [n for n, exposure in found if exposure not in (None, truth[n])]
    unknown = [n for n, exposure in found if exposure is None]
    assert wrong == []
    assert 1 <= len(unknown) <= 3
    assert all(12 <= n <= 15 for n in unknown)


def test_late_writes_are_told_from_the_level_alone() -> None:
    """A host that writes each exposure cannot know when it takes effect."""
    truth = [LOW, LOW, HIGH, LOW, HIGH, HIGH, LOW, HIGH, LOW, LOW, HIGH]
    found = run(Holder(LevelFinder(CYCLE)), [(n, scene(e)) for n, e in enumerate(truth)])
    assert found == list(enumerate(truth))


def delivery(frame_id: int, host_ns: int, exposure: Exposure | None, bad: bool = False) -> Delivery:
    status = FrameStatus.INCOMPLETE if bad else FrameStatus.OK
    image = np.full((32, 48), 500, np.uint16)
    return Delivery(status, frame_id, 1_000 + frame_id * PERIOD_NS, host_ns, image, exposure, 0)


def receiver(exposures: Sequence[Exposure]) -> tuple[Receiver, Source, Settings]:
    source = Source(INFO, Quirks(), 10.0, narrow_ids=True)
    finder = OneExposure(exposures) if len(exposures) == 1 else PhaseFinder(exposures)
    return Receiver("secondary", PERIOD_NS), source, Settings(exposures, finder)


def test_a_camera_that_came_back_goes_on_in_number_and_begins_anew_in_time() -> None:
    """Its ids and its clock start at zero; the recording must neither run backwards nor hide the hole."""
    received, source, settings = receiver(CYCLE)
    received.begin(source, settings)
    frames = [f for n in range(5) for f in received.take(delivery(n + 1, n * PERIOD_NS, CYCLE[n % 2]))]
    frames += received.end()
    received.begin(source, settings)
    back_ns = 4 * PERIOD_NS + 3_000_000_000
    for n in range(5):
        frames += received.take(delivery(n + 1, back_ns + n * PERIOD_NS, CYCLE[n % 2], bad=n == 2))
    assert [f.seq for f in frames] == [0, 1, 2, 3, 4, 49, 50, 51, 52, 53]
    assert [f.epoch for f in frames] == [0] * 5 + [1] * 5
    assert frames[5].gap_cause == "camera_lost"
    assert {f.gap_cause for f in frames if f is not frames[5]} == {"lost"}
    assert frames[7].status is FrameStatus.INCOMPLETE
    assert frames[7].image.size == 0
    assert frames[0].t_device_ns == 1_000 + PERIOD_NS + 10_000_000, "half of 2 ms in a clock that counts x10"


def test_the_intake_counts_the_hole_once_and_keeps_one_time() -> None:
    """A device clock that jumped forwards after a power cycle must not be taken for time that passed."""
    stamped: list[Stamped] = []
    drops: list[tuple[str, CameraName, int, int]] = []
    intake = Intake(stamped.append, lambda *drop: drops.append(drop))
    image = np.zeros((2, 2), np.uint16)
    base_ns, away = 50_000_000_000, 40
    for n in range(120):
        host_ns = base_ns + n * PERIOD_NS
        for name in ("reference", "secondary"):
            camera: CameraName = name  # type: ignore[assignment]
            gone = camera == "secondary" and 40 <= n < 40 + away
            epoch = int(camera == "secondary" and n >= 40 + away)
            if gone:
                continue
            # in its second life the clock stands later than it would have: no step back gives it away
            device_ns = n * PERIOD_NS + (777_000_000 if epoch else 0)
            cause = "camera_lost" if n == 40 + away and epoch else "lost"
            intake.take(
                Frame(
                    camera, n, device_ns, host_ns + 5_000_000, LOW, image, "bayer_rggb", 12,
                    epoch=epoch, gap_cause=cause,
                )
            )  # fmt: skip
    assert drops == [("camera_lost", "secondary", 40, away)]
    by_seq = {(s.frame.camera, s.frame.seq): s.t_ns for s in stamped}
    off_ms = [
        abs(by_seq["reference", n] - by_seq["secondary", n]) / 1e6 for n in range(120) if not 40 <= n < 80
    ]
    assert max(off_ms) < 1.0


def test_an_exposure_that_is_being_changed_is_not_claimed() -> None:
    """Between the write and its effect nobody knows; small steps of a regulator do not matter."""
    settings = Settings([Exposure(8000.0)], OneExposure([Exposure(8000.0)]))
    settings.changed(1000, 2000, [Exposure(16000.0)])
    assert settings.at(0, 900, 500) == Exposure(8000.0)
    assert settings.at(0, 1500, 500) is None
    assert settings.at(0, 2400, 500) is None
    assert settings.at(0, 2500, 500) == Exposure(16000.0)
    settings.changed(5000, 5100, [Exposure(16200.0)])
    assert settings.at(0, 5050, 500) == Exposure(16200.0)


def test_the_watchdog_bites_within_a_second_and_not_before_the_edge() -> None:
    """A camera that waits for its start is not lost; one that fell silent is, before a second has passed."""
    second = 1_000_000_000
    armed = watch.Watched(0, None, armed=True, edge_given=False)
    assert watch.judge(armed, 3600 * second, PERIOD_NS) is watch.Verdict.ARMED
    given = watch.Watched(0, None, armed=True, edge_given=True)
    assert watch.judge(given, second, PERIOD_NS) is watch.Verdict.FINE
    assert watch.judge(given, 3 * second, PERIOD_NS) is watch.Verdict.NO_EDGE
    films = watch.Watched(0, 10 * second, armed=True, edge_given=True)
    assert watch.judge(films, 10 * second + 500_000_000, PERIOD_NS) is watch.Verdict.FINE
    assert watch.judge(films, 11 * second, PERIOD_NS) is watch.Verdict.SILENT
    slow = watch.Watched(0, 10 * second, armed=False, edge_given=False)
    assert watch.judge(slow, 12 * second, second) is watch.Verdict.FINE, "at one frame a second"


def test_one_camera_is_meant_or_the_error_says_what_there_is() -> None:
    """Two of a kind must never be exchanged."""
    one = Found("a", "GigEVision", "Hikrobot", "MV", "REF01", "10.0.0.2", "00:11:22:33:44:55")
    two = Found("b", "GigEVision", "Hikrobot", "MV", "SEC01", "10.0.0.3", "00:11:22:33:44:66")
    both = [one, two]
    assert pick(both, Selector(serial="SEC01"), "x") is two
    assert pick(both, Selector(mac="00:11:22:33:44:55"), "x") is one
    assert pick(both, Selector(serial="ref01", ip="10.0.0.2"), "x") is one
    with pytest.raises(CameraLostError, match=r"no camera with serial REF01, ip 10.0.0.3; there is .*SEC01"):
        pick(both, Selector(serial="REF01", ip="10.0.0.3"), "reference camera")
    with pytest.raises(CameraError, match=r"2 cameras fit no identity .*set its serial number"):
        pick(both, Selector(), "reference camera")


def test_gains_are_decibels_whatever_the_node_counts() -> None:
    """A raw gain taken for dB puts the radiance off by stops."""
    basler = quirks_of("Basler", "acA1300-60gc")
    raw = gain_value("GainRaw", 6.0, basler)
    assert raw == pytest.approx(167.1, abs=0.1)
    assert gain_db("GainRaw", raw, basler) == pytest.approx(6.0)
    assert gain_value("Gain", 6.0, basler) == 6.0
    assert quirks_of("Hikrobot", "MV-CS032-10GC") == Quirks()


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[int, int]]:
    """A control channel on a local port: answers READREG from a table, and what it cannot, with an error."""
    registers: dict[int, int] = {}
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.bind(("127.0.0.1", 0))
    monkeypatch.setattr(gvcp, "PORT", link.getsockname()[1])

    def serve() -> None:
        while True:
            request, peer = link.recvfrom(64)
            if len(request) < 12:
                return
            _, _, command, _, number, register = struct.unpack(">BBHHHI", request[:12])
            link.sendto(struct.pack(">HHHH", 0, command + 1, 4, number - 1), peer)  # somebody else's answer
            if register in registers:
                reply = struct.pack(">HHHHI", 0, command + 1, 4, number, registers[register])
            else:
                reply = struct.pack(">HHHH", 0x8003, command + 1, 0, number)
            link.sendto(reply, peer)

    thread = threading.Thread(target=serve)
    thread.start()
    yield registers
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ending:
        ending.sendto(b"", link.getsockname())
    thread.join(5)
    link.close()


def test_who_holds_a_camera_is_asked_without_opening_it(device: dict[int, int]) -> None:
    """Opening a camera that is held blocks for seconds; and its user wants to know which program it is."""
    device[0x0A00] = 0
    assert gvcp.controller("127.0.0.1") is None
    device[0x0A00] = 2
    assert str(gvcp.controller("127.0.0.1")) == "another application (the camera does not say which)"
    device |= {0x0A14: 0x0A000007, 0x0A04: 50123}
    assert str(gvcp.controller("127.0.0.1")) == "another application at 10.0.0.7 port 50123"


def test_nobody_answers_where_nothing_is() -> None:
    """A camera that is away costs a packet, not seconds."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        assert gvcp.ask("127.0.0.1", 0.05) is None
    assert gvcp.act(["127.0.0.1"], 0.05) == ["127.0.0.1"]


def test_without_aravis_one_error_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the user of a fresh machine reads a traceback about a module called gi."""
    monkeypatch.setitem(sys.modules, "gi", None)
    with pytest.raises(UnavailableError, match=r"sudo apt install gir1.2-aravis-0.8 python3-gi"):
        load()


@pytest.mark.parametrize("ratio", [1.0, 0.694, 10.0])
def test_a_clock_is_judged_by_what_the_host_can_know(ratio: float) -> None:
    """A host that was held up must look again, not take a wrong clock for a right one."""
    ms = 1_000_000
    begin = Latched(5e9, 0, ms)
    assert tick_ratio(begin, Latched(5e9 + 100 * ms * ratio, 100 * ms, 101 * ms)) == ratio
    assert tick_ratio(begin, Latched(5e9 + 100 * ms * ratio, 60 * ms, 160 * ms)) in (None, ratio)
    assert tick_ratio(begin, Latched(5e9 + 100 * ms * 0.8, 100 * ms, 101 * ms)) is None
