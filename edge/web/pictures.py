"""The pictures over HTTP: single JPEGs, sets of one instant, and motion JPEG."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Collection, Iterable
from typing import Final

from aiohttp import hdrs, web

from edge.viewfinder.preview import Picture, PreviewHub
from edge.web.routing import TEXT, Answer, Parameter, Route
from edge.web.streams import Places, UntilGone, write

WAIT_S: Final = 1.0
FRESH_NS: Final = 1_000_000_000
SEND_BUFFER_BYTES: Final = 256 * 1024
"""The kernel would queue megabytes for a slow reader: pictures of seconds ago."""


class PictureRoutes:
    """Handlers that read a `PreviewHub`. ``clock_ns`` is the clock its pictures are stamped with."""

    def __init__(self, previews: PreviewHub, clock_ns: Callable[[], int], max_streams: int) -> None:
        self._previews, self._clock_ns = previews, clock_ns
        self._boundary = secrets.token_hex(12)
        self.streams = Places("video", max_streams)

    def routes(self) -> Iterable[Route]:
        """One picture, moving pictures, and sets of one instant."""
        stream = {"stream": Parameter("which picture", values=self._previews.streams)}
        missing = Answer("no such stream", TEXT)
        none_yet = Answer(
            "no picture yet, or no place for another reader; Retry-After tells the seconds", TEXT
        )
        yield Route(
            "GET",
            "/preview/{stream}.jpg",
            self.picture,
            "The newest picture of a stream",
            {
                200: Answer("a picture; X-Picture-Age-Ms tells its age", "image/jpeg"),
                404: missing,
                503: none_yet,
            },
            parameters=stream,
        )
        yield Route(
            "GET",
            "/preview/{stream}.mjpg",
            self.video,
            "A stream as motion JPEG",
            {200: Answer("picture after picture", "multipart/x-mixed-replace"), 404: missing, 503: none_yet},
            parameters=stream,
        )
        yield Route(
            "GET",
            "/preview/set",
            self.picture_set,
            "The newest pictures of several streams, of one instant",
            {
                200: Answer("one part per stream", "multipart/form-data"),
                204: Answer("nothing newer within a second", ""),
                400: Answer("no such stream, or no number", TEXT),
            },
            parameters={
                "streams": Parameter("streams, with commas", "query"),
                "after": Parameter("the number of the last set, 0 at first", "query", required=False),
            },
        )

    async def picture(self, request: web.Request) -> web.StreamResponse:
        """The newest JPEG of one stream: at most a second old, or what there is after waiting a second."""
        stream = self._stream(request)
        found = (await self._fresh([stream], 0)).get(stream)
        if found is None:
            raise web.HTTPServiceUnavailable(
                text=f"no picture of {stream} yet\n", headers={hdrs.RETRY_AFTER: "1"}
            )
        return web.Response(body=found.jpeg, content_type="image/jpeg", headers=self._about([found]))

    async def picture_set(self, request: web.Request) -> web.StreamResponse:
        """The newest JPEGs of several streams, of one instant: ?streams=fused,reference&after=NUMBER.

        Waits up to a second for pictures above ``after`` and answers 204 if none came. The body is
        multipart/form-data, one part per stream: what ``Response.formData()`` of a browser reads.
        """
        streams = request.query.get("streams", "").split(",")
        after = request.query.get("after", "0")
        if not set(streams) <= set(self._previews.streams) or not (after.isdecimal() and len(after) < 20):
            known = ", ".join(self._previews.streams)
            raise web.HTTPBadRequest(text=f"/preview/set?streams=A,B&after=NUMBER with A, B of {known}\n")
        found = await self._fresh(streams, int(after))
        if not found:
            return web.Response(status=204)
        headers = self._about(found.values())
        headers[hdrs.CONTENT_TYPE] = f"multipart/form-data; boundary={self._boundary}"
        return web.Response(body=_form(found, self._boundary), headers=headers)

    async def video(self, request: web.Request) -> web.StreamResponse:
        """Motion JPEG of one stream, for players and other software; every reader skips what it misses."""
        stream = self._stream(request)
        kind = f"multipart/x-mixed-replace; boundary={self._boundary}"
        if request.method == hdrs.METH_HEAD:
            return web.Response(headers={hdrs.CONTENT_TYPE: kind})
        with self.streams.one():
            _shrink_send_buffer(request)
            response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: kind})
            await response.prepare(request)
            with UntilGone(request):
                await write(response, f"--{self._boundary}\r\n".encode())
                number = 0
                while True:
                    found = (await self._newer([stream], number)).get(stream)
                    if found is not None:
                        number = found.number
                        await write(response, self._part(found.jpeg))
            return response

    def _part(self, jpeg: bytes) -> bytes:
        # A browser shows a part only when the next boundary has come: send that along.
        head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
        return head.encode() + jpeg + f"\r\n--{self._boundary}\r\n".encode()

    async def _newer(self, streams: Collection[str], after: int) -> dict[str, Picture]:
        self._previews.ask(streams, self._clock_ns())
        return await self._previews.newer(streams, after, WAIT_S)

    async def _fresh(self, streams: Collection[str], after: int) -> dict[str, Picture]:
        """As `_newer`, but pictures from before anybody looked are only a last resort.

        A reader that outlived a restart of the server counts from its first number again.
        """
        now_ns = self._clock_ns()
        after = after if after <= self._previews.number else 0
        there = self._previews.latest(streams, after)
        stale = [picture.number for picture in there.values() if now_ns - picture.t_ns > FRESH_NS]
        if not stale:
            return await self._newer(streams, after)
        return await self._newer(streams, max(stale)) or there

    def _about(self, pictures: Collection[Picture]) -> dict[str, str]:
        oldest_ns = min(picture.t_ns for picture in pictures)
        return {
            "X-Picture-Number": str(max(picture.number for picture in pictures)),
            "X-Picture-Age-Ms": str(max(0, (self._clock_ns() - oldest_ns) // 1_000_000)),
        }

    def _stream(self, request: web.Request) -> str:
        stream = request.match_info["stream"]
        if stream not in self._previews.streams:
            raise web.HTTPNotFound(text=f"no such stream; there are {', '.join(self._previews.streams)}\n")
        return stream


def _form(pictures: dict[str, Picture], boundary: str) -> bytes:
    parts = []
    for stream, picture in pictures.items():
        named = f'Content-Disposition: form-data; name="{stream}"; filename="{stream}.jpg"'
        parts.append(f"--{boundary}\r\n{named}\r\nContent-Type: image/jpeg\r\n\r\n".encode())
        parts.append(picture.jpeg + b"\r\n")
    return b"".join([*parts, f"--{boundary}--\r\n".encode()])


def _shrink_send_buffer(request: web.Request) -> None:
    transport = request.transport
    sock = None if transport is None else transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
