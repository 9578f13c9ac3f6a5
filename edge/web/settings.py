"""The page's layer of the configuration over HTTP: read, judged and saved by the validator of every file."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from aiohttp import web

from edge.config.layers import LoadedConfig
from edge.errors import ConfigError, Fault
from edge.settings import edit
from edge.settings.files import FileError
from edge.settings.live import When, differing, when
from edge.web.disk import DiskThreads
from edge.web.routing import TEXT, Access, Answer, Message, Route, answer, body_of

log = logging.getLogger(__name__)

BODY_LIMIT: Final = 128 * 1024


class ConfigText(Message):
    """The page's layer as text, and the file it stands in."""

    text: str
    file: str


class NewText(Message):
    """The page's layer as it shall be; empty: without one."""

    text: str


class FaultLine(Message):
    """One fault; ``line`` counts from 1 and is None where it is not in this text."""

    line: int | None
    text: str


class ChangedKey(Message):
    """A key that would change, what it would be, and from when on that counts."""

    key: str
    value: str
    counts: str
    restart: bool


class Verdict(Message):
    """What the validator says of a text; ``changes`` against the files as they are.

    ``reloaded``: the recorder was told. One at a terminal cannot be: there SIGHUP means that it is closed.
    """

    faults: list[FaultLine]
    changes: list[ChangedKey]
    saved: bool
    reloaded: bool


def hang_up() -> bool:
    """Ask this process to reload, if it listens: without a handler the signal would end it."""
    listens = callable(signal.getsignal(signal.SIGHUP))
    if listens:
        os.kill(os.getpid(), signal.SIGHUP)
    return listens


class SettingsRoutes:
    """The layer beside ``main`` (None: the device's own). ``reload`` is called after a change is on disk."""

    def __init__(self, main: Path | None, threads: DiskThreads, reload: Callable[[], bool] = hang_up) -> None:
        self._main, self._threads, self._reload = main, threads, reload
        self._file = edit.layer_path(edit.PAGE_LAYER, main)
        self._one = asyncio.Lock()

    def routes(self) -> Iterable[Route]:
        """Cameras may have passwords in their addresses, so that reading needs a login too."""
        verdict = Answer("what the validator says", model=Verdict)
        bad = Answer("not such a body", TEXT)
        broken = Answer("the file cannot be read or written", TEXT)
        yield Route(
            "GET",
            "/api/config",
            self.read,
            "The page's layer of the configuration",
            {200: Answer("it", model=ConfigText), 503: broken},
            Access.OWNER,
        )
        yield Route(
            "POST",
            "/api/config/check",
            self.check,
            "Judge a text without saving it",
            {200: verdict, 400: bad},
            Access.CHANGE,
            body=NewText,
            body_limit=BODY_LIMIT,
        )
        yield Route(
            "PUT",
            "/api/config",
            self.save,
            "Save the page's layer if it is good, and reload",
            {
                200: verdict,
                400: bad,
                422: Answer("it has faults; nothing was saved", model=Verdict),
                503: broken,
            },
            Access.CHANGE,
            body=NewText,
            body_limit=BODY_LIMIT,
        )

    async def read(self, _: web.Request) -> web.StreamResponse:
        text = await self._threads.ask(edit.read_text, self._main)
        return answer(ConfigText(text=text, file=str(self._file)))

    async def check(self, request: web.Request) -> web.StreamResponse:
        wanted = body_of(request, NewText)
        return answer(await self._threads.ask(self._judge, wanted.text))

    async def save(self, request: web.Request) -> web.StreamResponse:
        wanted = body_of(request, NewText)
        async with self._one:
            verdict: Verdict = await self._threads.ask(self._judge, wanted.text)
            if verdict.faults:
                return answer(verdict, 422)
            try:
                await self._threads.ask(edit.save, wanted.text, self._main)
            except FileError as error:
                raise web.HTTPServiceUnavailable(text=f"{error}\n") from error
        keys = ", ".join(change.key for change in verdict.changes) or "nothing"
        log.info("page: configuration saved, asked by %s; changed: %s", request.remote, keys)
        return answer(verdict.model_copy(update={"saved": True, "reloaded": self._reload()}))

    def _judge(self, text: str) -> Verdict:
        try:
            wanted = edit.load_layers(self._main, {self._file: text if text.strip() else None})
        except ConfigError as error:
            faults = [_fault(fault, str(self._file)) for fault in error.faults]
            return Verdict(faults=faults, changes=[], saved=False, reloaded=False)
        return Verdict(faults=[], changes=_changes(self._now(), wanted), saved=False, reloaded=False)

    def _now(self) -> LoadedConfig | None:
        try:
            return edit.load_layers(self._main)
        except ConfigError:
            return None  # the files are broken, and the new text mends them


def _fault(fault: Fault, file: str) -> FaultLine:
    said = f"{fault.key}: {fault.problem}" if fault.key else fault.problem
    return (
        FaultLine(line=fault.line, text=said) if fault.file == file else FaultLine(line=None, text=str(fault))
    )


def _changes(now: LoadedConfig | None, wanted: LoadedConfig) -> list[ChangedKey]:
    before = {} if now is None else now.values
    return [
        ChangedKey(
            key=key, value=str(wanted.values[key]), counts=when(key).value, restart=when(key) is When.RESTART
        )
        for key in differing(before, wanted.values)
    ]
