"""What the page's server refuses, and the headers it sends with everything.

The page is read-only, so the danger is another web page in the same browser. A foreign name made to point at
127.0.0.1 (DNS rebinding) is met by checking the Host header, embedding by the cross-origin headers, and
script that got into the page by a content security policy without inline script.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Collection
from typing import Final

from aiohttp import hdrs, web
from aiohttp.http import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware

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
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """For `Application.on_response_prepare`: streams and errors get the headers too."""
    response.headers.update(HEADERS)
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")


def host_allowed(host: str, bound_to: str, allowed: Collection[str] = ()) -> bool:
    """Whether a Host header ("name", "name:port", "[v6]:port") may be answered by a server at ``bound_to``.

    Bound to loopback: only loopback names, with any port (an SSH tunnel has another one). Bound to the
    network: any address, since rebinding needs a name, and this machine's own name. ``allowed`` adds names.
    """
    name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    name = name.lower().rstrip(".")
    if name in LOOPBACK_NAMES or name in {a.lower() for a in allowed}:
        return True
    if is_loopback(bound_to):
        return False
    own, short = socket.gethostname().lower(), socket.gethostname().lower().partition(".")[0]
    return _is_address(name) or name in {own, short, f"{short}.local"}


def is_loopback(host: str) -> bool:
    """Whether an address or name to listen on is reachable from this machine only."""
    return host.lower() in LOOPBACK_NAMES or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def guard(bound_to: str, allowed_hosts: Collection[str]) -> Middleware:
    """The middleware: read-only methods, known hosts, no body, nothing for other sites' pages."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
            raise web.HTTPMethodNotAllowed(request.method, [hdrs.METH_GET, hdrs.METH_HEAD])
        if not host_allowed(request.headers.get(hdrs.HOST, ""), bound_to, allowed_hosts):
            raise web.HTTPMisdirectedRequest(text="this name is not served here; use the address\n")
        if request.can_read_body:
            raise web.HTTPRequestEntityTooLarge(0, 1, text="requests here have no body\n")
        fetch_mode = request.headers.get("Sec-Fetch-Mode")
        if request.headers.get("Sec-Fetch-Site") == "cross-site" and fetch_mode != "navigate":
            raise web.HTTPForbidden(text="not for use inside other sites\n")
        return await handler(request)

    return check


class BugsOnly(logging.Filter):
    """Keeps out of the log what a stranger can cause: requests that are no HTTP."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
