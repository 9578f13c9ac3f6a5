"""Large files over HTTP: in pieces, at a bounded rate, read on threads of their own, and resumable.

The rate is bounded over all downloads together, because the recording writes to the same disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tarfile
from collections.abc import Iterable
from email.utils import formatdate
from pathlib import Path
from typing import Final
from urllib.parse import quote

from aiohttp import hdrs, web

from edge.web.disk import DiskThreads
from edge.web.files import OpenFile, SessionFile, open_file, read_at
from edge.web.streams import Places, UntilGone, write

PIECE_BYTES: Final = 256 * 1024
TAR_BLOCK: Final = 512
KINDS: Final = {
    ".mp4": "video/mp4",
    ".mkv": "video/x-matroska",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".avif": "image/avif",
    ".exr": "image/x-exr",
}
PLAIN: Final = "application/octet-stream"


class Pace:
    """Lets ``bytes_s`` pass, over all that share it. ``take`` answers how long to wait first."""

    def __init__(self, bytes_s: float) -> None:
        self._bytes_s = bytes_s
        self._free_s = 0.0

    def take(self, size: int, now_s: float) -> float:
        """Book ``size`` bytes at ``now_s``; returns the seconds until they may go."""
        begin_s = max(self._free_s, now_s)
        self._free_s = begin_s + size / self._bytes_s
        return begin_s - now_s


class Downloads:
    """Sends files. ``most`` downloads at once, ``bytes_s`` together."""

    def __init__(self, threads: DiskThreads, *, most: int, bytes_s: float) -> None:
        self._threads = threads
        self._places = Places("downloads", most)
        # Of their own: a list of recordings keeps its pictures while somebody copies files.
        self._small = Places("pictures", 2 * most)
        self._pace = Pace(bytes_s)

    async def file(
        self, request: web.Request, folder: Path, path: str, *, small: bool = False
    ) -> web.StreamResponse:
        """The file, or the range of it that was asked for."""
        found = await self._threads.ask(open_file, folder, path)
        if found is None:
            raise web.HTTPNotFound(text="no such file in this session\n")
        try:
            with (self._small if small else self._places).one():
                return await self._file(request, found, path)
        finally:
            os.close(found.fd)

    async def tar(
        self, request: web.Request, folder: Path, name: str, files: Iterable[SessionFile]
    ) -> web.StreamResponse:
        """All ``files`` as one tar, each as long as when listed; its length is known from the start."""
        files = list(files)
        heads = [_tar_head(f"{name}/{file.path}", file.size_bytes) for file in files]
        padded = [-(-file.size_bytes // TAR_BLOCK) * TAR_BLOCK for file in files]
        length = sum(map(len, heads)) + sum(padded) + 2 * TAR_BLOCK
        response = web.StreamResponse(headers=_headers(f"{name}.tar", "application/x-tar"))
        response.content_length = length
        if request.method == hdrs.METH_HEAD:
            return response
        with self._places.one():
            await response.prepare(request)
            with UntilGone(request):
                for file, head, size in zip(files, heads, padded, strict=True):
                    await write(response, head)
                    await self._member(response, folder, file)
                    await write(response, bytes(size - file.size_bytes))
                await write(response, bytes(2 * TAR_BLOCK))
        return response

    async def _file(self, request: web.Request, found: OpenFile, path: str) -> web.StreamResponse:
        etag = f'"{found.modified_s:x}-{found.size_bytes:x}"'
        headers = _headers(Path(path).name, KINDS.get(Path(path).suffix, PLAIN))
        headers |= {
            hdrs.ACCEPT_RANGES: "bytes",
            hdrs.ETAG: etag,
            hdrs.LAST_MODIFIED: formatdate(found.modified_s, usegmt=True),
        }
        span = _range(request, found.size_bytes, etag)
        begin, end = span or (0, found.size_bytes)
        response = web.StreamResponse(status=206 if span else 200, headers=headers)
        response.content_length = end - begin
        if span:
            response.headers[hdrs.CONTENT_RANGE] = f"bytes {begin}-{end - 1}/{found.size_bytes}"
        if request.method == hdrs.METH_HEAD:
            return response
        await response.prepare(request)
        with UntilGone(request):
            await self._send(response, found.fd, begin, end)
        return response

    async def _member(self, response: web.StreamResponse, folder: Path, file: SessionFile) -> None:
        opened = await self._threads.ask(open_file, folder, file.path)
        if opened is None:
            raise ConnectionAbortedError(f"{file.path} was deleted during its download")
        try:
            await self._send(response, opened.fd, 0, file.size_bytes)
        finally:
            os.close(opened.fd)

    async def _send(self, response: web.StreamResponse, fd: int, begin: int, end: int) -> None:
        """Bytes ``begin`` to ``end``. Raises ConnectionAbortedError, which drops the connection, if they end
        early: the length was promised, and a cut is what the other side notices.
        """
        loop = asyncio.get_running_loop()
        while begin < end:
            size = min(PIECE_BYTES, end - begin)
            await asyncio.sleep(self._pace.take(size, loop.time()))
            # A copy, because a download that is cancelled closes fd while the thread may still read it.
            data = await self._threads.ask(_read_and_close, os.dup(fd), size, begin)
            if not data:
                raise ConnectionAbortedError("the file was deleted or cut during its download")
            await write(response, data)
            begin += len(data)


def _read_and_close(fd: int, size: int, offset: int) -> bytes:
    try:
        return read_at(fd, size, offset)
    finally:
        os.close(fd)


def _headers(name: str, kind: str) -> dict[str, str]:
    # RFC 6266: the name in UTF-8, percent-encoded, so that nothing in it can end the header.
    return {
        hdrs.CONTENT_TYPE: kind,
        hdrs.CONTENT_DISPOSITION: f"attachment; filename*=UTF-8''{quote(name, safe='')}",
    }


def _range(request: web.Request, size: int, etag: str) -> tuple[int, int] | None:
    """The one range (RFC 9110, section 14) that was asked for; None for the whole file.

    Another unit, several ranges, or a range of a version that is gone ask for the whole file.
    """
    if request.headers.get(hdrs.IF_RANGE, etag) != etag or "," in request.headers.get(hdrs.RANGE, ""):
        return None
    try:
        asked = request.http_range
    except ValueError:
        return None
    if asked.start is None and asked.stop is None:
        return None
    begin = size + asked.start if (asked.start or 0) < 0 else asked.start or 0
    begin, end = max(0, begin), min(size, size if asked.stop is None else asked.stop)
    if begin >= end:
        headers = {hdrs.CONTENT_RANGE: f"bytes */{size}"}
        raise web.HTTPRequestRangeNotSatisfiable(headers=headers, text=f"the file has {size} bytes\n")
    return begin, end


def _tar_head(name: str, size: int) -> bytes:
    about = tarfile.TarInfo(name)
    about.size, about.mode = size, 0o644
    with contextlib.suppress(ValueError):
        return about.tobuf(tarfile.PAX_FORMAT)
    raise web.HTTPNotFound(text="a file of this session cannot be told in a tar\n")
