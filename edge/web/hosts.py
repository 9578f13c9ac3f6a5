"""By which names the page may be called, and from where it can be reached. Pure."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from typing import Final

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


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


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
