"""The recordings over HTTP: list, look, download, keep and delete."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from aiohttp import web

from edge.store.catalogue import (
    NoSuchSessionError,
    ProtectedSessionError,
    SessionEntry,
    delete_session,
    find_session,
    keep_session,
    list_sessions,
)
from edge.web.disk import DiskThreads
from edge.web.download import Downloads
from edge.web.files import SessionFile, list_files
from edge.web.routing import TEXT, Access, Answer, Message, Parameter, Route, answer, body_of

log = logging.getLogger(__name__)

PICTURE: Final = "contact.jpg"
FRESH_NS: Final = 2_000_000_000
"""Many pages ask for the list; the disk is asked once in this time."""
NAME: Final = MappingProxyType({"name": Parameter("name of the session")})


class Session(Message):
    """One recording, as `edge.store.catalogue.SessionEntry`; ``picture`` tells whether it has one."""

    name: str
    started_utc: str | None
    seconds: float | None
    size_bytes: int
    state: Literal["recording", "clean", "torn", "unreadable"]
    kept: bool
    picture: bool


class SessionList(Message):
    """All recordings, newest first."""

    sessions: list[Session]


class FileFacts(Message):
    """One file of a recording, its path relative to the session."""

    path: str
    size_bytes: int


class SessionFacts(Message):
    """One recording with its files."""

    session: Session
    files: list[FileFacts]


class Confirmation(Message):
    """Deleting asks for the session's name once more."""

    confirm: str


class Keep(Message):
    """Whether a session is kept from being deleted to make room."""

    kept: bool


class ArchiveRoutes:
    """The recordings below ``root``."""

    def __init__(
        self, root: Path, clock_ns: Callable[[], int], threads: DiskThreads, downloads: Downloads
    ) -> None:
        self._root, self._clock_ns, self._threads = root, clock_ns, threads
        self._downloads = downloads
        self._list: SessionList | None = None
        self._listed_ns = 0
        self._listing = asyncio.Lock()

    def routes(self) -> Iterable[Route]:
        """Reading first, then what changes something."""
        none = Answer("no such session", TEXT)
        no_file = Answer("no such session, or no such file in it", TEXT)
        busy = Answer("all places for downloads are taken; Retry-After tells the seconds", TEXT)
        yield Route(
            "GET", "/api/sessions", self.all, "All sessions", {200: Answer("them", model=SessionList)}
        )
        yield Route(
            "GET",
            "/api/sessions/{name}",
            self.one,
            "One session and its files",
            {200: Answer("it", model=SessionFacts), 404: none},
            parameters=NAME,
        )
        yield Route(
            "GET",
            "/api/sessions/{name}/picture.jpg",
            self.picture,
            "The contact picture of a session",
            {200: Answer("a picture", "image/jpeg"), 404: no_file, 503: busy},
            parameters=NAME,
        )
        yield Route(
            "GET",
            "/api/sessions/{name}/session.tar",
            self.tar,
            "A whole session",
            {200: Answer("a tar", "application/x-tar"), 404: none, 503: busy},
            parameters=NAME,
        )
        yield Route(
            "GET",
            "/api/sessions/{name}/files/{path:.+}",
            self.file,
            "One file of a session; takes a Range",
            {
                200: Answer("the file", "*/*"),
                206: Answer("the range of it that was asked for", "*/*"),
                404: no_file,
                416: Answer("the file is shorter", TEXT),
                503: busy,
            },
            parameters={**NAME, "path": Parameter("path of the file, with slashes")},
        )
        in_use = Answer("it is kept, or somebody records or reads it", TEXT)
        yield Route(
            "PUT",
            "/api/sessions/{name}/kept",
            self.keep,
            "Keep a session from being deleted to make room, or release it",
            {204: Answer("done", ""), 400: Answer("not such a body", TEXT), 404: none},
            Access.CHANGE,
            body=Keep,
            parameters=NAME,
        )
        yield Route(
            "DELETE",
            "/api/sessions/{name}",
            self.delete,
            "Delete a session for ever; its name stands in the body once more",
            {
                204: Answer("it is gone", ""),
                400: Answer("the body names another", TEXT),
                404: none,
                409: in_use,
            },
            Access.CHANGE,
            body=Confirmation,
            parameters=NAME,
        )

    async def all(self, _: web.Request) -> web.StreamResponse:
        async with self._listing:
            now_ns = self._clock_ns()
            if self._list is None or now_ns - self._listed_ns > FRESH_NS:
                self._list = await self._threads.ask(_listed, self._root)
                self._listed_ns = self._clock_ns()
            return answer(self._list)

    async def one(self, request: web.Request) -> web.StreamResponse:
        entry, files = await self._found(request)
        facts = [FileFacts(path=file.path, size_bytes=file.size_bytes) for file in files]
        return answer(SessionFacts(session=await self._threads.ask(_told, entry), files=facts))

    async def picture(self, request: web.Request) -> web.StreamResponse:
        return await self._downloads.file(request, (await self._entry(request)).path, PICTURE, small=True)

    async def file(self, request: web.Request) -> web.StreamResponse:
        entry = await self._entry(request)
        return await self._downloads.file(request, entry.path, request.match_info["path"])

    async def tar(self, request: web.Request) -> web.StreamResponse:
        entry, files = await self._found(request)
        return await self._downloads.tar(request, entry.path, entry.name, files)

    async def keep(self, request: web.Request) -> web.StreamResponse:
        wanted = body_of(request, Keep)
        name = (await self._entry(request)).name
        await self._threads.ask(keep_session, self._root, name, wanted.kept)
        log.info("page: session %s is %s, asked by %s", name, _kept(wanted.kept), request.remote)
        self._list = None
        return web.Response(status=204)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        wanted = body_of(request, Confirmation)
        name = (await self._entry(request)).name
        if wanted.confirm != name:
            raise web.HTTPBadRequest(text="to delete a session, confirm must be its name\n")
        try:
            await self._threads.ask(delete_session, self._root, name, patience_s=None)
        except ProtectedSessionError as error:
            raise web.HTTPConflict(text=f"{error}\n") from error
        log.info("page: session %s deleted, asked by %s", name, request.remote)
        self._list = None
        return web.Response(status=204)

    async def _entry(self, request: web.Request) -> SessionEntry:
        try:
            entry: SessionEntry = await self._threads.ask(
                find_session, self._root, request.match_info["name"]
            )
        except NoSuchSessionError as error:
            raise web.HTTPNotFound(text="no such session\n") from error
        return entry

    async def _found(self, request: web.Request) -> tuple[SessionEntry, list[SessionFile]]:
        entry = await self._entry(request)
        try:
            return entry, await self._threads.ask(list_files, entry.path)
        except OSError as error:  # it was deleted since, or cannot be read
            raise web.HTTPNotFound(text=f"{entry.name}: {error.strerror}\n") from error


def _listed(root: Path) -> SessionList:
    return SessionList(sessions=[_told(entry) for entry in reversed(list_sessions(root))])


def _kept(kept: bool) -> str:
    return "kept" if kept else "released"


def _told(entry: SessionEntry) -> Session:
    return Session(
        name=entry.name,
        started_utc=entry.started_utc,
        seconds=entry.seconds,
        size_bytes=entry.size_bytes,
        state=entry.state,
        kept=entry.kept,
        picture=(entry.path / PICTURE).is_file(),
    )
