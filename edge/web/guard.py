"""What the page's server refuses, and the headers it sends with everything.

One danger is another web page in the same browser. A foreign name made to point at 127.0.0.1 (DNS rebinding)
is met by checking the Host header, embedding by the cross-origin headers, script that got into the page by a
content security policy without inline script, and a form or script that changes something in the name of who
is logged in by the cookie's SameSite, the Origin of the request and a token that only the page knows. The
other is a stranger on the network: what changes anything needs a login, and a body is read only after that.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.http import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware
from pydantic import ValidationError

from edge.errors import TwinhdrError
from edge.web.account import AccountRoutes
from edge.web.disk import Busy
from edge.web.hosts import host_allowed
from edge.web.routing import BODY, JSON, Access, Message, Route, RouteTable

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Server": "twinhdr",
}
BODY_TIMEOUT_S: Final = 10.0


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """For `Application.on_response_prepare`: streams and errors get the headers too."""
    response.headers.update(HEADERS)
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")


def guard(table: RouteTable, account: AccountRoutes, bound_to: str, allowed: Collection[str]) -> Middleware:
    """The middleware in front of every handler; see the module."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = table.of(request)
        if route is None and request.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
            raise web.HTTPMethodNotAllowed(request.method, table.methods(request))
        if not host_allowed(request.headers.get(hdrs.HOST, ""), bound_to, allowed):
            raise web.HTTPMisdirectedRequest(text="this name is not served here; use the address\n")
        if request.can_read_body and (route is None or route.body is None):
            raise web.HTTPRequestEntityTooLarge(0, 1, text="requests here have no body\n")
        fetch_mode = request.headers.get("Sec-Fetch-Mode")
        if request.headers.get("Sec-Fetch-Site") == "cross-site" and fetch_mode != "navigate":
            raise web.HTTPForbidden(text="not for use inside other sites\n")
        try:
            if route is not None:
                await _admit(route, request, account)
            return await handler(request)
        except (TwinhdrError, Busy) as error:
            raise web.HTTPServiceUnavailable(text=f"{error}\n", headers={hdrs.RETRY_AFTER: "5"}) from error

    return check


async def _admit(route: Route, request: web.Request, account: AccountRoutes) -> None:
    """Refuse who may not use ``route``; then read its body. Nothing is read for a stranger but a password."""
    if route.access.guarded and not same_origin(request):
        raise web.HTTPForbidden(text="changes are made from the page itself\n")
    if route.access in (Access.OWNER, Access.CHANGE):
        login = await account.login_of(request)
        if login is None:
            raise web.HTTPUnauthorized(text="log in first: POST /api/login\n")
        if route.access is Access.CHANGE and not account.may_change(request, login):
            raise web.HTTPForbidden(text="the header X-CSRF-Token is not that of this login\n")
    if route.body is not None:
        request[BODY] = await _body(request, route.body, route.body_limit)


def same_origin(request: web.Request) -> bool:
    """Whether a browser would say that the request comes from our own page. Others need not say anything.

    The scheme is left out: behind a proxy with TLS the page's is another than the one that arrives here.
    """
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return False
    origins = request.headers.getall(hdrs.ORIGIN, [])
    host = request.headers.get(hdrs.HOST, "").lower()
    try:
        return len(origins) <= 1 and all(urlsplit(origin).netloc.lower() == host for origin in origins)
    except ValueError:
        return False


async def _body(request: web.Request, model: type[Message], limit: int) -> Message:
    """The request's body as ``model``; at most ``limit`` bytes, and not at a trickle."""
    if request.content_type != JSON:
        raise web.HTTPUnsupportedMediaType(text=f"the body must be {JSON}\n")
    if (request.content_length or 0) > limit:
        raise _too_long(limit)
    try:
        data = await asyncio.wait_for(_read(request, limit), BODY_TIMEOUT_S)
    except asyncio.TimeoutError as error:
        raise web.HTTPRequestTimeout(text="the body did not arrive in time\n") from error
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "body"
        raise web.HTTPBadRequest(text=f"{json.dumps(where)}: {first['msg']}\n") from error


async def _read(request: web.Request, limit: int) -> bytes:
    data = bytearray()
    async for piece in request.content.iter_any():
        data += piece
        if len(data) > limit:
            raise _too_long(limit)
    return bytes(data)


def _too_long(limit: int) -> web.HTTPRequestEntityTooLarge:
    return web.HTTPRequestEntityTooLarge(limit, limit + 1, text=f"at most {limit} bytes here\n")


class BugsOnly(logging.Filter):
    """Keeps out of the log what a stranger can cause: requests that are no HTTP."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)
