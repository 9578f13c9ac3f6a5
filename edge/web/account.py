"""Logging in and out over HTTP, and the question who asks."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from aiohttp import hdrs, web

from edge.web import password
from edge.web.disk import DiskThreads
from edge.web.logins import IDLE_NS, LONGEST_NS, Guesses, Login, Logins, same
from edge.web.routing import TEXT, Access, Answer, Message, Route, answer, body_of

log = logging.getLogger(__name__)

TOKEN_HEADER: Final = "X-CSRF-Token"
READ_ONLY: Final = "this page is read-only: no password is set; on the device: sudo twinhdr password\n"


class Password(Message):
    """What a login hands in."""

    password: str


class Account(Message):
    """Whether changes are possible here, and whether the asker may make them.

    ``csrf`` goes into the header X-CSRF-Token of every change. A login ends after ``idle_s`` without use.
    """

    password_set: bool
    logged_in: bool
    csrf: str | None
    idle_s: int


class AccountRoutes:
    """Logins against the password in ``file`` (None: there never is one). ``secure``: the page has TLS."""

    def __init__(
        self, file: Path | None, clock_ns: Callable[[], int], threads: DiskThreads, *, secure: bool
    ) -> None:
        self._file, self._clock_ns, self._threads = file, clock_ns, threads
        self._secure = secure
        # A __Host- cookie can be set by nobody but this host over TLS; browsers refuse the prefix without.
        self.cookie = "__Host-twinhdr" if secure else "twinhdr"
        self._logins, self._guesses = Logins(), Guesses()
        self._one_hash = asyncio.Lock()

    def routes(self) -> Iterable[Route]:
        """Asking, logging in, logging out."""
        known = Answer("who is logged in, and the token for changes", model=Account)
        yield Route("GET", "/api/account", self.account, "Whether changes are possible", {200: known})
        yield Route(
            "POST",
            "/api/login",
            self.login,
            "Log in; sets a cookie and gives the token for changes",
            {
                200: known,
                401: Answer("not the password", TEXT),
                403: Answer("no password is set, or the request is from another site", TEXT),
                429: Answer("too many guesses; Retry-After tells the seconds", TEXT),
            },
            Access.LOGIN,
            body=Password,
            body_limit=2048,
        )
        yield Route(
            "POST", "/api/logout", self.logout, "End this login", {204: Answer("done", "")}, Access.CHANGE
        )

    async def login_of(self, request: web.Request) -> Login | None:
        """The login that the request's cookie names, if it is still good."""
        secret = request.cookies.get(self.cookie)
        if not secret:
            return None
        return self._logins.find(secret, await self._line(), self._clock_ns())

    def may_change(self, request: web.Request, login: Login) -> bool:
        """Whether the request brings the token of ``login``: another site's page cannot know it."""
        return same(request.headers.get(TOKEN_HEADER, ""), login.csrf)

    async def account(self, request: web.Request) -> web.StreamResponse:
        line = await self._line()
        login = await self.login_of(request)
        return answer(self._about(line is not None, login))

    async def login(self, request: web.Request) -> web.StreamResponse:
        """The password is looked at one request after the other: hashing is made to be expensive."""
        given = body_of(request, Password)
        address = request.remote or ""
        line = await self._line()
        if line is None:
            raise web.HTTPForbidden(text=READ_ONLY)
        self._refuse_hasty(address)
        self._guesses.guessed(address, self._clock_ns())
        async with self._one_hash:
            right = await self._threads.ask(password.fits, given.password, line)
        if not right:
            self._guesses.wrong(address, self._clock_ns())
            log.warning("page: a wrong password from %s", address)
            raise web.HTTPUnauthorized(text="not the password\n")
        self._guesses.right(address)
        secret, login = self._logins.open(line, self._clock_ns())
        log.info("page: login from %s", address)
        response = answer(self._about(True, login))
        response.set_cookie(
            self.cookie,
            secret,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=self._secure,
            max_age=LONGEST_NS // 10**9,
        )
        return response

    async def logout(self, request: web.Request) -> web.StreamResponse:
        self._logins.close(request.cookies.get(self.cookie, ""))
        response = web.Response(status=204)
        response.del_cookie(self.cookie, path="/", secure=self._secure, httponly=True, samesite="Strict")
        return response

    def _about(self, password_set: bool, login: Login | None) -> Account:
        return Account(
            password_set=password_set,
            logged_in=login is not None,
            csrf=None if login is None else login.csrf,
            idle_s=IDLE_NS // 10**9,
        )

    def _refuse_hasty(self, address: str) -> None:
        waits = self._guesses.wait_s(address, self._clock_ns())
        if waits > 0:
            seconds = max(1, math.ceil(waits))
            raise web.HTTPTooManyRequests(
                text=f"too many guesses; wait {seconds} s\n", headers={hdrs.RETRY_AFTER: str(seconds)}
            )

    async def _line(self) -> str | None:
        return None if self._file is None else await self._threads.ask(password.read, self._file)
