"""What answers need that last: a bounded number of places, patience with slow readers, and an end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Final

from aiohttp import hdrs, web

WRITE_TIMEOUT_S: Final = 10.0
"""A reader that takes nothing for so long has gone and gives its place back."""


class Places:
    """A bounded number of long-lived answers of one kind."""

    def __init__(self, what: str, limit: int) -> None:
        self._what, self._limit = what, limit
        self.taken = 0

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Take a place, or answer 503 when all are taken."""
        if self.taken >= self._limit:
            text = f"all {self._limit} places for {self._what} are taken; close a viewer and try again\n"
            raise web.HTTPServiceUnavailable(text=text, headers={hdrs.RETRY_AFTER: "5"})
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


async def write(response: web.StreamResponse, data: bytes) -> None:
    """Send ``data``, waiting for a slow reader; for use inside `UntilGone`."""
    await asyncio.wait_for(response.write(data), WRITE_TIMEOUT_S)


class UntilGone:
    """Around a stream: its reader leaving, or no longer reading, is its end and drops the connection."""

    def __init__(self, request: web.Request) -> None:
        self._request = request

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        gone = kind is not None and issubclass(kind, (ConnectionError, asyncio.TimeoutError))
        if gone and self._request.transport is not None:
            self._request.transport.abort()
        return gone
