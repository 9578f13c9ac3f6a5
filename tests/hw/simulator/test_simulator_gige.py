"""The simulated GigE Vision camera, part by part, without a network."""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.frames import Exposure
from hw.simulator.gige import gvcp
from hw.simulator.gige import memory as at
from hw.simulator.gige.device import Device
from hw.simulator.gige.exposures import Program, Programs, SequencerSet
from hw.simulator.gige.features import Abilities, table
from hw.simulator.gige.film import FilmSpec, Noise, picture_at
from hw.simulator.gige.genicam import description
from hw.simulator.gige.gvsp import Leader, packets
from hw.simulator.gige.options import Clock, Options
from hw.simulator.gige.pixels import PIXEL_FORMATS
from hw.simulator.gige.shutter import Plan, Shutter, Starts
from hw.simulator.sensor import Sensor, expose

LOW, HIGH = Exposure(2000.0), Exposure(32000.0)
HOST, OTHER = ("10.0.0.1", 50000), ("10.0.0.2", 50000)
S = 1_000_000_000


def camera(**able: object) -> Device:
    """A camera whose clock stands at one second."""
    abilities = Abilities(64, 48, **able)  # type: ignore[arg-type]
    film = FilmSpec(width=64, height=48)
    return Device(Options("127.0.0.2", "REF01", film, abilities), monotonic_ns=lambda: S)


def ask(control: gvcp.Control, command: int, body: bytes, peer: gvcp.Peer = HOST, now_ns: int = S) -> tuple:
    """(status, reply) of one request."""
    answer = control.answer(struct.pack(">BBHHH", 0x42, 1, command, len(body), 7) + body, peer, now_ns)
    assert answer is not None
    status, kind, length, number = struct.unpack_from(">HHHH", answer)
    assert (kind, number, length) == (command + 1, 7, len(answer) - 8)
    return status, answer[8:]


def write(control: gvcp.Control, address: int, value: int, peer: gvcp.Peer = HOST, now_ns: int = S) -> int:
    return int(ask(control, gvcp.WRITE_REGISTER, struct.pack(">II", address, value), peer, now_ns)[0])


def test_a_second_controller_is_refused_until_the_first_falls_silent() -> None:
    """Else no test could show what a recorder does when another application holds its camera."""
    device = camera()
    control = gvcp.Control(device.memory, device)
    assert write(control, at.STREAM_PORT, 4000) == gvcp.ACCESS_DENIED
    assert write(control, at.CONTROL_PRIVILEGE, at.PRIVILEGE_CONTROL) == gvcp.SUCCESS
    assert write(control, at.STREAM_PORT, 4000) == gvcp.SUCCESS
    assert write(control, at.CONTROL_PRIVILEGE, at.PRIVILEGE_CONTROL, OTHER) == gvcp.ACCESS_DENIED
    assert write(control, at.STREAM_PORT, 5000, OTHER) == gvcp.ACCESS_DENIED
    assert ask(control, gvcp.READ_REGISTER, struct.pack(">I", at.CONTROL_PRIVILEGE), OTHER)[0] == gvcp.SUCCESS
    assert not control.check_heartbeat(4 * S)
    assert control.check_heartbeat(5 * S)
    assert device.route() is None
    assert write(control, at.CONTROL_PRIVILEGE, at.PRIVILEGE_EXCLUSIVE, OTHER, 5 * S) == gvcp.SUCCESS
    status, _ = ask(control, gvcp.READ_REGISTER, struct.pack(">I", at.CONTROL_PRIVILEGE), HOST, 5 * S)
    assert status == gvcp.ACCESS_DENIED


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600), st.booleans())
def test_garbage_is_answered_or_ignored(noise: bytes, with_header: bool) -> None:
    """Else one stray packet ends the camera in the middle of a test."""
    device = camera(sequencer=True, chunks=True)
    control = gvcp.Control(device.memory, device)
    write(control, at.CONTROL_PRIVILEGE, at.PRIVILEGE_CONTROL)
    request = b"\x42\x01" + noise if with_header else noise
    answer = control.answer(request, HOST, S)
    assert answer is None or len(answer) >= 8


def test_values_out_of_range_are_refused() -> None:
    """Else a driver that writes nonsense passes here and fails on a real camera."""
    device = camera()
    control = gvcp.Control(device.memory, device)
    write(control, at.CONTROL_PRIVILEGE, at.PRIVILEGE_CONTROL)
    rows = {row.name: row for row in table(device.options.abilities)}
    assert write(control, rows["Width"].at(), 30) == gvcp.SUCCESS
    for name, value in (("Width", 31), ("Width", 66), ("PixelFormat", 5), ("SensorWidth", 64)):
        assert write(control, rows[name].at(), value) != gvcp.SUCCESS, name
    body = struct.pack(">Id", rows["ExposureTime"].at(), 1.0)
    assert ask(control, gvcp.WRITE_MEMORY, body)[0] == gvcp.INVALID_PARAMETER
    assert device.settings.whole("PayloadSize") == 30 * 48
    write(control, rows["AcquisitionStart"].at(), 1)
    assert write(control, rows["Width"].at(), 64) == gvcp.ACCESS_DENIED


ALL = {"hdr": "HDRShutter", "sequencer": True, "chunks": True}


@pytest.mark.parametrize("able", [{}, {"hdr": None}, ALL])
def test_every_name_in_the_description_leads_somewhere(able: dict[str, object]) -> None:
    """Else a client reads the XML and finds a node that points nowhere."""
    root = ET.fromstring(description(table(Abilities(64, 48, **able)), vendor="V W", model="M-1"))  # type: ignore[arg-type]
    nodes = {node.get("Name") for node in root.iter() if node.get("Name")}
    for node in root.iter():
        kind = node.tag.split("}")[1]
        if kind.startswith("p") and kind[1:2].isupper():
            assert node.text in nodes, f"{kind} {node.text}"
    assert ("HDREnable" in nodes) == (able.get("hdr", "HDRShuter") is not None)


def unpack(name: str, data: np.ndarray) -> np.ndarray:
    """Counts again, written from the formats' definitions bit by bit."""
    bits = np.unpackbits(data, bitorder="little")
    row = PIXEL_FORMATS[name]
    if not name.endswith("Packed"):
        return (
            bits.reshape(-1, row.pixel_bits)[:, : row.bit_depth] @ (1 << np.arange(row.bit_depth))
        ).astype(int)
    high = row.bit_depth - 8
    groups = data.reshape(-1, 3).astype(int)
    mask = (1 << high) - 1
    first = (groups[:, 0] << high) | (groups[:, 1] & mask)
    second = (groups[:, 2] << high) | (groups[:, 1] >> 4 & mask)
    return np.stack((first, second), 1).reshape(-1)


@pytest.mark.parametrize("name", PIXEL_FORMATS)
def test_pixel_formats_carry_every_count(name: str) -> None:
    """Else a driver that unpacks rightly would be called wrong."""
    row = PIXEL_FORMATS[name]
    counts = np.random.default_rng(1).integers(0, 1 << row.bit_depth, (6, 8)).astype(np.uint16)
    data = row.pack(counts)
    assert data.size == counts.size * row.pixel_bits // 8
    assert (unpack(name, data) == counts.reshape(-1)).all()


def test_packets_carry_the_frame_and_count_from_zero() -> None:
    """Else the receiver reports losses that never happened."""
    payload = bytes(range(256)) * 40
    whole = packets(Leader(65535, 1 << 40, 0x01080009, 64, 160, 0, 0, False), memoryview(payload), 1036)
    heads = [struct.unpack(">HHI", head) for head, _ in whole]
    assert [info & 0xFFFFFF for _, _, info in heads] == list(range(len(whole)))
    assert [info >> 24 for _, _, info in heads] == [1, *[3] * (len(whole) - 2), 2]
    assert {block for _, block, _ in heads} == {65535}
    assert b"".join(bytes(data) for _, data in whole[1:-1]) == payload
    assert max(len(head) + len(data) + 28 for head, data in whole) == 1036


def begins(shutter: Shutter, until_ns: int) -> list[int]:
    out = []
    while (begin := shutter.next_begin()) is not None and begin < until_ns:
        out.append(begin)
        shutter.took(begin)
    return out


def test_one_edge_starts_two_cameras_in_the_same_instant() -> None:
    """Else the start skew of the simulated rig would be that of two processes."""
    fast, slow = Shutter(), Shutter()
    fast.start(10, Plan(Starts.RUN, source=0, period_ns=100))
    slow.start(70, Plan(Starts.RUN, source=0, period_ns=200))
    assert begins(fast, 10_000) == []
    for shutter in (fast, slow):
        assert shutter.edge(0, 500)
        assert not shutter.edge(0, 510)
    assert begins(fast, 1000) == [500, 600, 700, 800, 900]
    assert begins(slow, 1000) == [500, 700, 900]


def test_triggers_start_frames_bursts_or_nothing() -> None:
    """Else a driver that arms the wrong trigger would seem to work."""
    shutter = Shutter()
    shutter.start(0, Plan(Starts.FRAME, source=0, delay_ns=5, period_ns=100))
    assert not shutter.edge(7, 100)
    assert shutter.edge(0, 100)
    assert shutter.edge(0, 130)
    assert begins(shutter, 1000) == [105, 135]
    shutter.start(0, Plan(Starts.BURST, source=0, period_ns=100, burst=3))
    shutter.edge(0, 50)
    assert begins(shutter, 10_000) == [50, 150, 250]
    shutter.edge(0, 1000)
    assert begins(shutter, 10_000) == [1000, 1100, 1200]
    shutter.start(0, Plan(Starts.RUN, source=0, period_ns=100))
    shutter.replan(40, Plan(period_ns=100))
    assert shutter.next_begin() == 40


def test_a_camera_that_stood_still_goes_on_in_step() -> None:
    """Else a paused camera hands out a burst that no real one makes."""
    shutter = Shutter()
    shutter.start(0, Plan(period_ns=100))
    assert begins(shutter, 250) == [0, 100, 200]
    assert shutter.skip_to(1000) == 7
    assert begins(shutter, 1150) == [1000, 1100]


def test_exposures_land_late_where_they_are_told_to() -> None:
    """Else drivers are tested on a camera kinder than any that is sold."""
    programs = Programs(lag=1)
    programs.record(0, Program(LOW))
    programs.record(150, Program(HIGH))
    used = [programs.for_frame(begin, late=False).constant for begin in (0, 100, 200, 300)]
    assert used == [LOW, LOW, LOW, HIGH]
    prompt = Programs(lag=0)
    prompt.record(0, Program(LOW))
    prompt.record(150, Program(HIGH))
    frames = ((100, False), (200, True), (300, False))
    used = [prompt.for_frame(begin, late).constant for begin, late in frames]
    assert used == [LOW, LOW, HIGH]


def test_polling_and_sequencer_cycle() -> None:
    """Else the alternation of a whole recording is not what the driver asked for."""
    polling = Program(LOW, polling=(LOW, HIGH))
    assert [polling.of(n, phase=1) for n in range(3)] == [HIGH, LOW, HIGH]
    sets = (SequencerSet(LOW, 1), SequencerSet(HIGH, 0), SequencerSet(LOW, None))
    assert [Program(LOW, sets=sets, first_set=1).of(n, 0) for n in range(4)] == [HIGH, LOW, HIGH, LOW]
    assert [Program(LOW, sets=sets, first_set=2).of(n, 0) for n in (0, 5)] == [LOW, LOW]


def test_the_clock_ticks_as_wrongly_as_it_is_told() -> None:
    """Else the known firmware faults (x10, x0.694) were never tried."""
    assert Clock(5, 0.0, 10.0).at(S) == 5 + 10 * S
    assert Clock(0, 20.0).at(S) == S + 20_000
    assert 1.0 / Clock(0, 20.0).true_per_own == pytest.approx(1.00002)


def test_noise_is_the_sensors_own() -> None:
    """Else the cheap noise of the camera and the simulator's would be two sensors."""
    flat = np.full((256, 256), 0.25, np.float16)
    cheap = Noise(Sensor(), 1).expose(flat, 2.0, 1.0, 12).astype(float)
    three = np.repeat(flat.astype(np.float32)[..., None], 3, axis=2)
    exact = expose(three, Sensor(), 2.0, 0.0, np.random.default_rng(2)).astype(float)
    assert cheap.mean() == pytest.approx(exact.mean(), abs=0.5)
    assert cheap.std() == pytest.approx(exact.std(), rel=0.03)


def test_the_film_has_no_cut() -> None:
    """Else every loop shows a jump that no scene makes."""
    spec = FilmSpec(pictures=5, step_s=0.1)
    shown = [picture_at(round(n * 1e8), spec) for n in range(12)]
    assert shown == [0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3]
