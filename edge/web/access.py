"""Who may see and change what through the page: one look for doctor and for the page itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edge.config.web import WebConfig
from edge.doctor.findings import Finding
from edge.web.hosts import is_loopback
from edge.web.password import PasswordError, read

NO_PASSWORD: Final = (
    "without a password the page is read-only; to change things from it: sudo twinhdr password"
)
SEEN_BY_ALL: Final = "whoever reaches it sees the pictures and the recordings"
IN_CLEAR: Final = "a password would cross the network in clear; set web.tls_certificate and web.tls_key"


def access_findings(web: WebConfig) -> Iterator[Finding]:
    """How the page can be reached, and whether that is safe."""
    try:
        line = None if web.password_file is None else read(web.password_file)
    except PasswordError as error:
        yield Finding("page password", "warn", str(error), "until then the page is read-only")
        return
    encrypted, alone = web.tls_certificate is not None, is_loopback(web.host)
    reached = "from this machine only" if alone else "from the network"
    said = f"{reached}, {'https' if encrypted else 'http'}, {'password set' if line else 'no password'}"
    if not alone and line and not encrypted:
        yield Finding("page access", "warn", said, IN_CLEAR)
    elif not alone:
        yield Finding("page access", "info", f"{said}; {SEEN_BY_ALL}", "" if line else NO_PASSWORD)
    else:
        yield Finding("page access", "ok" if line else "info", said, "" if line else NO_PASSWORD)
