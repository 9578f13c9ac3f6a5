"""PreviewHub: the live picture must be the newest one and must never hold the recorder up."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from edge.viewfinder.preview import LINGER_NS, PreviewHub

JPEG = b"\xff\xd8 picture \xff\xd9"


def test_readers_get_the_newest_picture_only() -> None:
    """A reader that comes late sees now, not the backlog."""
    hub = PreviewHub()
    for i in range(100):
        hub.publish({"fused": b"%d" % i}, t_ns=i)
    picture = hub.latest(["fused"])["fused"]
    assert (picture.jpeg, picture.number, picture.t_ns) == (b"99", 100, 99)
    assert hub.latest(["fused"], after=100) == {}
    assert hub.latest(["reference"]) == {}


def test_pictures_of_one_instant_stay_together() -> None:
    """The split shows reference and fused of the same frame, or moving things would tear at the line."""
    hub = PreviewHub()
    stop = threading.Event()

    def produce() -> None:
        i = 0
        while not stop.is_set():
            i += 1
            hub.publish({"fused": b"%d" % i, "reference": b"%d" % i}, t_ns=i)

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        while hub.number < 1000:
            found = hub.latest(["fused", "reference"])
            assert len({picture.jpeg for picture in found.values()}) <= 1
    finally:
        stop.set()
        producer.join()


def test_a_stream_the_hub_does_not_have_is_an_error_of_the_producer() -> None:
    """A misspelt stream would otherwise be encoded and never seen."""
    with pytest.raises(KeyError, match="fusde"):
        PreviewHub().publish({"fusde": JPEG}, 0)


def test_nobody_looking_means_nothing_to_encode() -> None:
    """The daemon skips the JPEG of unwatched streams; watching lapses by itself when a reader disappears."""
    hub = PreviewHub()
    assert not hub.wanted("fused", 0)
    hub.ask(["fused", "nonsense"], 1000)
    assert hub.wanted("fused", 1000 + LINGER_NS)
    assert not hub.wanted("fused", 1001 + LINGER_NS)
    assert not hub.wanted("low", 1000)


def test_waiting_ends_with_the_next_picture() -> None:
    """The page shows a frame as soon as it is there, not at the next poll."""
    hub = PreviewHub()
    hub.publish({"fused": b"old"}, 1)

    async def wait() -> tuple[bytes, float]:
        asyncio.get_running_loop().call_later(0.05, hub.publish, {"fused": b"new"}, 2)
        begin = time.monotonic()
        found = await hub.newer(["fused"], after=1, timeout_s=30)
        return found["fused"].jpeg, time.monotonic() - begin

    jpeg, waited = asyncio.run(wait())
    assert jpeg == b"new"
    assert waited < 10


def test_waiting_for_several_streams_waits_for_all_and_gives_up_in_time() -> None:
    """A set is shown whole; a stream that stands still costs a moment, not the picture."""
    hub = PreviewHub()
    hub.publish({"fused": b"f"}, 1)

    async def wait() -> dict[str, bytes]:
        found = await hub.newer(["fused", "reference"], after=0, timeout_s=0.05)
        return {stream: picture.jpeg for stream, picture in found.items()}

    assert asyncio.run(wait()) == {"fused": b"f"}


def test_a_slow_reader_skips_and_the_producer_does_not_notice() -> None:
    """A hundred readers, one of them asleep, cost the producer microseconds; all end with the newest."""
    hub = PreviewHub()
    published = 150
    costs: list[float] = []

    async def reader(pause_s: float) -> list[int]:
        seen = [0]
        while seen[-1] < published:
            found = await hub.newer(["fused"], after=seen[-1], timeout_s=10)
            seen.append(found["fused"].number)
            await asyncio.sleep(pause_s)
        return seen

    def produce() -> None:
        for i in range(published):
            begin = time.thread_time()
            hub.publish({"fused": JPEG}, i)
            costs.append(time.thread_time() - begin)
            time.sleep(0.002)

    async def watch() -> list[list[int]]:
        readers = [asyncio.create_task(reader(0.2 if i == 0 else 0.0)) for i in range(100)]
        producer = asyncio.create_task(asyncio.to_thread(produce))
        seen = await asyncio.gather(*readers)
        await producer
        return list(seen)

    slow, *fast = asyncio.run(watch())
    assert len(slow) < published / 10
    assert all(seen == sorted(set(seen)) and seen[-1] == published for seen in [slow, *fast])
    assert sum(costs) / len(costs) < 0.002


def test_readers_that_give_up_leave_nothing_behind() -> None:
    """A viewer that comes and goes all day must not grow the process."""
    hub = PreviewHub()

    async def come_and_go() -> None:
        for _ in range(50):
            task = asyncio.create_task(hub.newer(["fused"], after=0, timeout_s=60))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await hub.newer(["fused"], after=0, timeout_s=0) == {}

    asyncio.run(come_and_go())
    assert hub._waiting == {}


def test_a_server_that_went_away_does_not_disturb_the_producer() -> None:
    """The page's event loop may close between two frames; the daemon goes on."""
    hub = PreviewHub()
    loop = asyncio.new_event_loop()
    hub._waiting[loop] = {loop.create_future()}
    loop.close()
    hub.publish({"fused": JPEG}, 1)
    assert hub.latest(["fused"])["fused"].jpeg == JPEG
