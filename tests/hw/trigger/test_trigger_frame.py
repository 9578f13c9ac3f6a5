"""Frames of the trigger protocol on the host, and the two generated halves of its definition."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.trigger import generate
from hw.trigger.codes import IDENTITY, LONGEST_FRAME, Command
from hw.trigger.frame import Reply, ReplyReader, crc16, decode, encode

FUZZ_BYTES = 1_000_000

WORDS = st.integers(0, 0xFFFFFFFF)
REPLIES = st.builds(
    Reply, st.none() | st.integers(0, 255), st.just(True), st.lists(WORDS, max_size=5).map(tuple)
) | st.builds(
    Reply, st.none() | st.integers(0, 255), st.just(False), st.lists(WORDS, min_size=1, max_size=3).map(tuple)
)


def sent(reply: Reply) -> bytes:
    """A reply as the board sends it."""
    number = "--" if reply.sequence is None else f"{reply.sequence:02X}"
    words = [number, "OK" if reply.ok else "ER", *(f"{value:X}" for value in reply.values)]
    body = " ".join(words).encode()
    return b"=%s*%04X\n" % (body, crc16(body))


def test_the_checksum_is_the_catalogued_one() -> None:
    """Host and board would agree with each other and with no third implementation."""
    assert crc16(b"123456789") == 0x29B1


def test_a_request_has_its_documented_spelling() -> None:
    """Somebody who types a request into a terminal would find the document wrong."""
    assert encode(10, Command.START, (2000,)) == b":0A START 7D0*%04X\n" % crc16(b"0A START 7D0")
    longest = encode(255, Command.PACE, (20_000_000,) * 4 + (5_000,))
    assert len(longest) <= LONGEST_FRAME


@pytest.mark.parametrize(("sequence", "argument"), [(256, 0), (-1, 0), (0, -1), (0, 1 << 32)])
def test_what_does_not_fit_is_refused(sequence: int, argument: int) -> None:
    """It would arrive as another number."""
    with pytest.raises(ValueError, match="do not fit"):
        encode(sequence, Command.START, (argument,))


@given(st.lists(REPLIES, max_size=6), st.data())
def test_replies_arrive_whole_however_they_are_cut(replies: list[Reply], data: st.DataObject) -> None:
    """A USB chip hands bytes on as it likes."""
    stream = b"".join(map(sent, replies))
    reader, got = ReplyReader(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        got += list(reader.feed(stream[:size]))
        stream = stream[size:]
    assert got == replies
    assert reader.rejected == 0


@given(st.binary(max_size=200), REPLIES)
def test_noise_costs_no_reply_that_follows(noise: bytes, reply: Reply) -> None:
    """The board would have to be replugged after a burst on the wire."""
    reader = ReplyReader()
    assert list(reader.feed(noise + sent(reply)))[-1] == reply


@given(st.binary(max_size=100))
def test_anything_can_be_decoded_to_nothing(body: bytes) -> None:
    """Noise would end the recorder with a traceback."""
    reply = decode(body)
    if reply is not None:
        assert sent(reply)[1:-1].split(b"*")[0].split()[0] in (body[:2], b"--")


def test_a_long_noise_brings_nothing_and_hides_nothing() -> None:
    """One byte sequence in a million that passes for a reply would be the edge's time."""
    rng = random.Random(5)
    reader, taken, number = ReplyReader(), 0, 0
    alphabet = b"=*\n -0123456789ABCDEFOKER"
    while taken < FUZZ_BYTES:
        size = rng.randrange(1, 400)
        noise = rng.randbytes(size) if rng.random() < 0.5 else bytes(rng.choices(alphabet, k=size))
        taken += size
        number += 1
        reply = Reply(number % 256, True, (number,))
        assert list(reader.feed(noise + sent(reply))) == [reply]


def test_no_two_flipped_bits_pass() -> None:
    """The checksum sees every one and two flips; hexadecimal digits must not make it weaker."""
    good = sent(Reply(0x2C, True, (1, 0x7D0)))[1:-1]
    bits = range(8 * len(good))
    for flips in itertools.chain(itertools.combinations(bits, 1), itertools.combinations(bits, 2)):
        damaged = bytearray(good)
        for bit in flips:
            damaged[bit // 8] ^= 1 << bit % 8
        assert decode(bytes(damaged)) is None


def test_both_ends_are_made_from_the_protocol_file() -> None:
    """Board and host would greet each other as equals and mean different things."""
    source = generate.SOURCE.read_bytes()
    assert generate.HEADER.read_text() == generate.header(source), "run python -m hw.trigger.generate"
    assert generate.MODULE.read_text() == generate.module(source, generate.VERSION.read_text())
    assert generate.identity(source) == IDENTITY
    assert generate.identity(source + b" ") != IDENTITY
