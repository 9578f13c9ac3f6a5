"""The newest preview picture of each stream, for any number of readers of any speed.

The producer puts pictures in and goes on; it never learns how many read them or how slowly. A reader always
gets the newest picture, so a slow one skips. `PreviewHub.wanted` tells the producer whether anybody would see
the picture it is about to encode.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

PICTURES: Final = ("fused", "reference", "low", "high")
MARKS: Final = {f"{picture}-clipped": picture for picture in PICTURES}
"""Streams of marks, white where the picture clips, with the picture that each belongs to."""
STREAMS: Final = (*PICTURES, *MARKS)
LINGER_NS: Final = 2_500_000_000
"""A stream stays wanted for so long after somebody asked: longer than the wait of one reader's request."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One JPEG (bytes, as encoded). ``number`` grows from one `publish` to the next, over all streams.

    ``t_ns`` is when it was published, on the host's monotonic clock.
    """

    number: int
    t_ns: int
    jpeg: bytes


class PreviewHub:
    """Latest-value store of pictures by stream. Every method may be called from any thread."""

    def __init__(self, streams: Collection[str] = STREAMS) -> None:
        self.streams = tuple(streams)
        self._lock = threading.Lock()
        self._latest: dict[str, Picture] = {}
        self._asked_ns: dict[str, int] = {}
        self._number = 0
        self._waiting: dict[asyncio.AbstractEventLoop, set[asyncio.Future[None]]] = {}

    @property
    def number(self) -> int:
        """Of the last `publish`; 0 before the first."""
        return self._number

    def publish(self, pictures: Mapping[str, bytes], t_ns: int) -> None:
        """Replace the pictures of some streams at once: those of one instant go in one call.

        Never waits for a reader: one wake-up per event loop, however many readers it has.
        Raises KeyError for a stream the hub does not have.
        """
        unknown = set(pictures) - set(self.streams)
        if unknown:
            raise KeyError(f"no preview stream {sorted(unknown)}; there are {list(self.streams)}")
        with self._lock:
            self._number += 1
            for stream, jpeg in pictures.items():
                self._latest[stream] = Picture(self._number, t_ns, jpeg)
            waiting, self._waiting = self._waiting, {}
        for loop, futures in waiting.items():
            if not loop.is_closed():
                _wake_soon(loop, futures)

    def latest(self, streams: Collection[str], after: int = 0) -> dict[str, Picture]:
        """The newest pictures of ``streams`` with a number above ``after``; streams without one are left out.

        Taken in one moment: pictures published together are never mixed with older ones.
        """
        with self._lock:
            found = {stream: self._latest.get(stream) for stream in streams}
        return {stream: picture for stream, picture in found.items() if picture and picture.number > after}

    async def newer(self, streams: Collection[str], after: int, timeout_s: float) -> dict[str, Picture]:
        """As `latest`, once all ``streams`` have a picture above ``after`` or ``timeout_s`` have passed."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            woken: asyncio.Future[None] = loop.create_future()
            with self._lock:
                self._waiting.setdefault(loop, set()).add(woken)
            try:
                found = self.latest(streams, after)
                remaining = deadline - loop.time()
                if len(found) == len(streams) or remaining <= 0:
                    return found
                await asyncio.wait([woken], timeout=remaining)
            finally:
                self._forget(loop, woken)

    def ask(self, streams: Collection[str], now_ns: int) -> None:
        """Somebody looks at ``streams``: they are wanted for a while. Unknown streams are ignored."""
        with self._lock:
            for stream in streams:
                if stream in self.streams:
                    self._asked_ns[stream] = now_ns

    def wanted(self, stream: str, now_ns: int) -> bool:
        """Whether somebody asked for ``stream`` lately; if not, encoding its picture would be wasted."""
        asked_ns = self._asked_ns.get(stream)
        return asked_ns is not None and now_ns - asked_ns <= LINGER_NS

    def _forget(self, loop: asyncio.AbstractEventLoop, woken: asyncio.Future[None]) -> None:
        with self._lock:
            waiting = self._waiting.get(loop)
            if waiting is not None:
                waiting.discard(woken)
                if not waiting:
                    del self._waiting[loop]


def _wake_soon(loop: asyncio.AbstractEventLoop, futures: set[asyncio.Future[None]]) -> None:
    def wake() -> None:
        for future in futures:
            if not future.done():
                future.set_result(None)

    try:
        loop.call_soon_threadsafe(wake)
    except RuntimeError:
        # The loop closed between the question and the call; its readers went with it.
        if not loop.is_closed():
            raise
