"""The trigger board's firmware on an emulated ATmega328P, every pin edge with its CPU cycle."""

from __future__ import annotations

import os
import random

import pytest

from hw.trigger.codes import IDENTITY, LONGEST_FRAME, Command, ErrorCode, Fault, Mode
from hw.trigger.frame import crc16, encode
from tests.hw.trigger.trigger_board import (
    CYCLES_PER_MS,
    CYCLES_PER_TICK,
    NEEDS_EMULATOR,
    Build,
    Record,
    ask,
    run_script,
    rx,
)

pytestmark = NEEDS_EMULATOR

HELLO = "run 20000\n" + ask(0, Command.HELLO, IDENTITY)
FUZZ_BYTES = 100_000
FUZZ_RUNS = 10 if os.environ.get("TWINHDR_LONG") else 1
STARTS = 1000


def skews(record: Record) -> list[int]:
    """CPU cycles from each rise of the reference's line to that of the secondary's."""
    return [b - a for a, b in zip(record.rises(0), record.rises(1), strict=True)]


def started(build: Build, count: int, mutant: str = "") -> Record:
    """A board that was told to start so often, with pulses of 100 us."""
    orders = [ask(1 + i, Command.START, 200) for i in range(count)]
    return run_script(build, HELLO + "".join(orders), mutant)


# --- the edge ---------------------------------------------------------------------------------------------


def test_both_lines_rise_in_the_same_cycle(trigger_build: Build) -> None:
    """Skew between the wires is skew between the cameras: pairs would be older than they say."""
    record = started(trigger_build, STARTS)
    assert skews(record) == [0] * STARTS
    falls = [edge.cycle for edge in record.edges if not edge.level]
    assert falls[0::2] == falls[1::2], "they fall together, too"
    width = [fall - rise for rise, fall in zip(record.rises(0), falls[0::2], strict=True)]
    assert min(width) >= 200 * CYCLES_PER_TICK - 2 * CYCLES_PER_TICK
    assert max(width) <= 200 * CYCLES_PER_TICK + 12 * CYCLES_PER_TICK
    assert record.replies[-1].values == (STARTS,)


def test_one_write_after_the_other_is_seen(trigger_build: Build) -> None:
    """The test above could not fail: two writes are two cycles apart, 125 ns."""
    assert set(skews(started(trigger_build, 10, "MUTANT_TWO_WRITES"))) == {2}


def test_a_line_that_is_held_falls_at_stop(trigger_build: Build) -> None:
    """A camera gated by the level would film on, or not at all."""
    record = run_script(
        trigger_build, HELLO + ask(1, Command.START, 0, cycles=60 * CYCLES_PER_MS) + ask(2, Command.STOP)
    )
    assert [(edge.line, edge.level) for edge in record.edges] == [(0, 1), (1, 1), (0, 0), (1, 0)]
    assert record.edges[2].cycle == record.edges[3].cycle
    assert record.edges[2].cycle - record.edges[0].cycle > 60 * CYCLES_PER_MS


def test_a_repeated_request_gives_no_second_edge(trigger_build: Build) -> None:
    """A reply lost on the way back would start cameras that run already: a second first frame."""
    record = run_script(
        trigger_build,
        HELLO
        + ask(7, Command.START, 200)
        + ask(7, Command.START, 200)
        + rx(b":garbage*0000\n")
        + ask(7, Command.START, 200)
        + ask(8, Command.START, 200),
    )
    assert len(record.rises(0)) == 2
    assert [reply.values for reply in record.replies if reply.ok and reply.sequence == 7] == [(1,)] * 3


# --- paced ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("periods", "widths"),
    [
        ((66_667, 133_334), (2_000, 2_000)),  # 30 and 15 fps
        ((33_333, 41_667), (1_000, 32_768)),  # 60 and 48 fps
        ((65_536, 131_072), (16_384, 65_536)),  # the timer's own lap and its multiples
        ((49_152, 49_153), (100, 49_053)),  # at the longest hop, and one above; the shortest gap
        ((200, 8_333), (100, 100)),  # the fastest line there is
        ((2_000_000, 500_000), (60_000, 400_000)),  # once a second
    ],
)
def test_paced_lines_keep_their_ticks(
    trigger_build: Build, periods: tuple[int, int], widths: tuple[int, int]
) -> None:
    """A tick lost in every period is a drift of 7 ppm at 15 fps: the lines would part, as free cameras do."""
    seconds = 1 if min(periods) < 1_000 else 4
    requests = [arg for pair in zip(periods, widths, strict=True) for arg in pair]
    orders = HELLO + ask(1, Command.PACE, *requests, 1000, cycles=CYCLES_PER_MS)
    for i in range(seconds * 4):
        orders += ask(2 + i, Command.PING, cycles=250 * CYCLES_PER_MS)
    record = run_script(trigger_build, orders)
    assert record.edges[0].cycle == record.edges[1].cycle, "the first rise is common"
    late = []
    for line in (0, 1):
        edges = [edge for edge in record.edges if edge.line == line]
        count = seconds * 2_000_000 // periods[line]
        ticks = [tick for i in range(count) for tick in (i * periods[line], i * periods[line] + widths[line])]
        assert len(edges) >= len(ticks)
        assert [edge.level for edge in edges[: len(ticks)]] == [1, 0] * count
        late += [edge.cycle - tick * CYCLES_PER_TICK for edge, tick in zip(edges, ticks, strict=False)]
    # The emulator notices a match when the instruction during which it falls has ended.
    assert max(late) - min(late) < CYCLES_PER_TICK, "every edge is on its own tick"


def test_the_fastest_lines_keep_their_ticks_under_traffic(trigger_build: Build) -> None:
    """Requests on the wire would cost an edge: at the limit, both lines need the processor at once."""
    pings = b"".join(encode(i % 256, Command.PING) for i in range(2_000))
    pace = rx(encode(1, Command.PACE, (200, 100, 200, 100, 1000)))
    record = run_script(
        trigger_build, HELLO + pace + rx(pings) + f"run {9 * CYCLES_PER_MS}\n" + ask(2, Command.STOP)
    )
    first = record.edges[0].cycle
    for line in (0, 1):
        cycles = [edge.cycle - first for edge in record.edges if edge.line == line]
        late = [cycle - i * 100 * CYCLES_PER_TICK for i, cycle in enumerate(cycles[:-1])]
        assert len(cycles) > 10_000
        assert max(late) - min(late) < CYCLES_PER_TICK
    assert record.replies[-1].sequence == 2
    assert [reply.values[1] for reply in record.replies if len(reply.values) == 4][-1] == Fault.NONE


def test_an_interrupt_that_comes_too_late_is_told_and_drops_the_lines(trigger_build: Build) -> None:
    """A line would stay up for a whole lap of the timer, 33 ms, in mid-recording."""
    pace = ask(1, Command.PACE, 200, 100, 8_000, 100, 1000)
    record = run_script(trigger_build, HELLO + pace + ask(2, Command.PING), "MUTANT_SLOW_INTERRUPT")
    assert record.replies[-1].values[:2] == (Mode.IDLE, Fault.LATE)
    assert sum(1 if edge.level else -1 for edge in record.edges) == 0


def test_paced_lines_drop_when_the_host_is_silent(trigger_build: Build) -> None:
    """A recorder that was killed would leave the cameras filming for nobody, and a shutter or a lamp on."""
    pace = ask(1, Command.PACE, 40_000, 20_000, 80_000, 20_000, 300, cycles=1000 * CYCLES_PER_MS)
    record = run_script(trigger_build, HELLO + pace + ask(2, Command.PING))
    silent_for = record.edges[-1].cycle - record.edges[0].cycle
    assert 290 * CYCLES_PER_MS <= silent_for <= 400 * CYCLES_PER_MS
    assert record.edges[-1].level == 0
    assert record.replies[-1].values[:2] == (Mode.IDLE, Fault.SILENCE)


def test_a_watchdog_that_is_off_is_seen(trigger_build: Build) -> None:
    """The test above could not fail."""
    pace = ask(1, Command.PACE, 40_000, 20_000, 80_000, 20_000, 300, cycles=1000 * CYCLES_PER_MS)
    record = run_script(trigger_build, HELLO + pace, "MUTANT_NO_SILENCE_WATCHDOG")
    assert record.edges[-1].cycle - record.edges[0].cycle > 900 * CYCLES_PER_MS


def test_a_host_that_speaks_keeps_the_lines_up(trigger_build: Build) -> None:
    """The watchdog would end recordings of healthy hosts."""
    orders = HELLO + ask(1, Command.PACE, 40_000, 20_000, 80_000, 20_000, 300)
    orders += "".join(ask(2 + i, Command.PING, cycles=250 * CYCLES_PER_MS) for i in range(12))
    record = run_script(trigger_build, orders)
    assert len(record.rises(0)) >= 150
    assert record.replies[-1].values[:2] == (Mode.PACED, Fault.NONE)


def test_noise_is_no_host(trigger_build: Build) -> None:
    """A broken cable that hums would keep the lines alive."""
    orders = HELLO + ask(1, Command.PACE, 40_000, 20_000, 80_000, 20_000, 300)
    orders += (rx(b":02 PING*0000\n") + f"run {100 * CYCLES_PER_MS}\n") * 8
    record = run_script(trigger_build, orders + ask(3, Command.PING))
    assert record.replies[-1].values[:2] == (Mode.IDLE, Fault.SILENCE)


# --- the link ---------------------------------------------------------------------------------------------


def noise(rng: random.Random, sequence: int) -> bytes:
    """One piece of what a broken cable, a wrong program or another baud rate may send."""
    request = rng.choice(
        (
            encode(sequence, Command.START, (rng.choice((0, 200, 2_000)),)),
            encode(sequence, Command.PACE, (40_000, 2_000, 80_000, 2_000, 1_000)),
            encode(sequence, Command.MEASURE, (200, 0)),
        )
    )
    kind = rng.randrange(5)
    if kind == 0:
        return rng.randbytes(rng.randrange(1, 120))
    if kind == 1:
        return bytes(rng.choices(b":=*\n -0123456789ABCDEFSTARTPING", k=rng.randrange(1, 120)))
    if kind == 2:  # flipped bits
        damaged = bytearray(request)
        for bit in rng.sample(range(8 * (len(damaged) - 1)), rng.randrange(1, 4)):
            damaged[bit // 8] ^= 1 << bit % 8
        return bytes(damaged)
    if kind == 3:  # cut off
        return request[: rng.randrange(len(request))]
    begin = rng.randrange(1, len(request) - 2)  # a hole
    return request[:begin] + request[rng.randrange(begin + 1, len(request) - 1) :]


def fuzz(seed: int, count: int) -> tuple[str, list[int]]:
    """Orders that send so many bytes of noise, each piece followed by a PING; the PINGs' numbers."""
    rng = random.Random(seed)
    orders, pings, sent = [HELLO], [], 0
    while sent < count:
        sequence = len(pings) % 256
        piece = noise(rng, (sequence + 128) % 256)
        sent += len(piece)
        orders.append(
            ask(sequence, Command.PING, cycles=2 * CYCLES_PER_MS).replace("rx ", f"rx {piece.hex()}", 1)
        )
        pings.append(sequence)
    return "".join(orders), pings


@pytest.mark.parametrize("seed", range(20, 20 + FUZZ_RUNS))
def test_noise_never_moves_a_line_and_costs_no_request(trigger_build: Build, seed: int) -> None:
    """A loose plug would start the cameras, or the host would have to replug the board to be heard again."""
    orders, pings = fuzz(seed, FUZZ_BYTES)
    record = run_script(trigger_build, orders)
    assert record.edges == ()
    answered = [reply.sequence for reply in record.replies if reply.ok and len(reply.values) == 4]
    assert answered == pings
    assert record.resets == ()


def test_a_checksum_that_is_ignored_is_seen(trigger_build: Build) -> None:
    """The test above could not fail."""
    orders, _ = fuzz(20, 20_000)
    assert run_script(trigger_build, orders, "MUTANT_CRC_IGNORED").edges != ()


def test_noise_before_a_host_moves_nothing(trigger_build: Build) -> None:
    """What is not paired obeys nothing but HELLO and STOP, not even a good frame."""
    orders, _ = fuzz(21, 20_000)
    unpaired = orders.replace(HELLO, "run 20000\n" + ask(5, Command.START, 200), 1)
    record = run_script(trigger_build, unpaired)
    assert record.edges == ()
    assert record.replies[0].values == (ErrorCode.UNPAIRED,)


@pytest.mark.parametrize(
    ("request_", "values"),
    [
        (encode(1, Command.HELLO, (IDENTITY ^ 1,)), (ErrorCode.IDENTITY, IDENTITY, 1)),
        (encode(1, Command.START), (ErrorCode.ARGUMENTS, 1)),
        (encode(1, Command.START, (1, 2)), (ErrorCode.ARGUMENTS, 1)),
        (encode(1, Command.START, (99,)), (ErrorCode.RANGE, 1)),
        (encode(1, Command.START, (60_001,)), (ErrorCode.RANGE, 1)),
        (encode(1, Command.PACE, (199, 99, 400, 200, 1000)), (ErrorCode.RANGE, 1)),
        (encode(1, Command.PACE, (400, 99, 400, 200, 1000)), (ErrorCode.RANGE, 2)),
        (encode(1, Command.PACE, (400, 301, 400, 200, 1000)), (ErrorCode.RANGE, 2)),
        (encode(1, Command.PACE, (400, 200, 20_000_001, 200, 1000)), (ErrorCode.RANGE, 3)),
        (encode(1, Command.PACE, (400, 200, 400, 301, 1000)), (ErrorCode.RANGE, 4)),
        (encode(1, Command.PACE, (400, 200, 400, 200, 99)), (ErrorCode.RANGE, 5)),
        (encode(1, Command.PACE, (400, 200, 400, 200, 5_001)), (ErrorCode.RANGE, 5)),
        (encode(1, Command.MEASURE, (200, 2)), (ErrorCode.RANGE, 2)),
    ],
)  # fmt: skip
def test_a_wrong_request_is_refused_by_name(
    trigger_build: Build, request_: bytes, values: tuple[int, ...]
) -> None:
    """A host with a fault would move the lines in a way that nobody asked for."""
    record = run_script(trigger_build, HELLO + rx(request_) + "run 50000\n")
    assert record.replies[-1].values == values
    assert not record.replies[-1].ok
    assert record.edges == ()


def test_frames_that_are_none_are_told(trigger_build: Build) -> None:
    """The host would wait for its deadline instead of asking again at once."""
    unknown = frame_of(b"01 JUMP")
    spaced = frame_of(b"01  PING")
    lower = frame_of(b"0a PING")
    long = b":" + b"0" * LONGEST_FRAME + b"\n"
    orders = HELLO + "".join(
        rx(f) + "run 50000\n" for f in (unknown, spaced, lower, long, b":\n", b":01 P*\n")
    )
    codes = [reply.values[0] for reply in run_script(trigger_build, orders).replies[1:]]
    assert codes == [
        ErrorCode.UNKNOWN, ErrorCode.SYNTAX, ErrorCode.SYNTAX,
        ErrorCode.TOO_LONG, ErrorCode.CRC, ErrorCode.CRC,
    ]  # fmt: skip


def frame_of(body: bytes) -> bytes:
    """A frame with a right checksum around anything."""
    return b":%s*%04X\n" % (body, crc16(body))


def test_lines_in_use_are_not_started_again(trigger_build: Build) -> None:
    """Two hosts, or one in disorder, would give the cameras edges they do not expect."""
    paced = ask(1, Command.PACE, 40_000, 20_000, 80_000, 20_000, 1000)
    record = run_script(trigger_build, HELLO + paced + ask(2, Command.START, 200) + ask(3, Command.STOP))
    assert [reply.values for reply in record.replies[1:]] == [(1,), (ErrorCode.BUSY,), ()]
    assert record.edges[-1].level == 0


# --- reset and hang ---------------------------------------------------------------------------------------


def test_a_reset_drops_the_lines_and_the_pairing(trigger_build: Build) -> None:
    """After a power dip the board would go on in a state that the host does not know."""
    orders = HELLO + ask(1, Command.START, 0) + "reset\n" + "run 50000\n" + ask(2, Command.PING)
    record = run_script(trigger_build, orders)
    assert [edge.level for edge in record.edges] == [1, 1, 0, 0]
    assert record.replies[-1].values == (ErrorCode.UNPAIRED,)


def test_a_hang_ends_in_a_reset_with_low_lines(trigger_build: Build) -> None:
    """A firmware fault would hold the lines up until somebody pulls the plug."""
    orders = HELLO + ask(1, Command.START, 0, cycles=600 * CYCLES_PER_MS)
    record = run_script(trigger_build, orders, "MUTANT_HANG_AFTER_START")
    assert len(record.resets) == 1
    assert [edge.level for edge in record.edges] == [1, 1, 0, 0]
    assert record.edges[2].cycle - record.edges[0].cycle < 400 * CYCLES_PER_MS


# --- measure ----------------------------------------------------------------------------------------------


def measured(build: Build, delays: tuple[int, int], *, during: str = "") -> tuple[int, ...]:
    """Values of SKEW, strobes falling so many CPU cycles after their line's rise."""
    orders = HELLO + "".join(f"strobe {i} {delay}\n" for i, delay in enumerate(delays))
    orders += ask(1, Command.MEASURE, 200, 0, cycles=CYCLES_PER_MS) + during
    orders += f"run {100 * CYCLES_PER_MS}\n" + ask(2, Command.SKEW)
    return run_script(build, orders).replies[-1].values


@pytest.mark.parametrize("first", [3_200, 16_000, 523_000, 1_050_000])
def test_measure_times_both_strobes(trigger_build: Build, first: int) -> None:
    """The skew on the page would be the board's own error."""
    errors = []
    for apart in (-40_000, -1_600, -160, -80, -40, -16, -8, -4, 0, 4, 8, 16, 40, 80, 160, 1_600, 40_000):
        delays = (first, first + apart) if first + apart > 0 else (first - apart, first)
        seen, reference, secondary = measured(trigger_build, delays)
        assert seen == 3
        assert abs(reference - delays[0] / CYCLES_PER_TICK) <= 3
        errors.append((secondary - reference) - (delays[1] - delays[0]) / CYCLES_PER_TICK)
    assert -1 <= min(errors) <= max(errors) <= 1, errors
