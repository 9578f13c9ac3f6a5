"""Who is logged in, and how often somebody may guess. Pure: every time is an argument, in nanoseconds."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

S: Final = 1_000_000_000
IDLE_NS: Final = 30 * 60 * S
LONGEST_NS: Final = 12 * 3600 * S
MOST_LOGINS: Final = 16

FREE_GUESSES: Final = 5
LONGEST_WAIT_S: Final = 300.0
FORGOTTEN_NS: Final = 3600 * S
MOST_ADDRESSES: Final = 1024
GUESSES_IN_ALL: Final = 20
REFILL_S: Final = 5.0
"""All addresses together guess at most every so many seconds, once `GUESSES_IN_ALL` are used up."""


@dataclass(slots=True)
class Login:
    """One login. ``csrf`` must come back with every change; ``password`` is the line it was made with."""

    csrf: str
    password: str
    since_ns: int
    used_ns: int


class Logins:
    """The logins of one server: in memory only, so a restart ends them all."""

    def __init__(self) -> None:
        self._logins: OrderedDict[bytes, Login] = OrderedDict()

    def open(self, password: str, now_ns: int) -> tuple[str, Login]:
        """A new login made with the password file's line, and the secret of its cookie."""
        secret = secrets.token_urlsafe(32)
        login = Login(secrets.token_urlsafe(24), password, now_ns, now_ns)
        self._logins[_digest(secret)] = login
        while len(self._logins) > MOST_LOGINS:
            self._logins.popitem(last=False)
        return secret, login

    def find(self, secret: str, password: str | None, now_ns: int) -> Login | None:
        """The login of a cookie, if it is still good: not too old, and the password has not changed since."""
        login = self._logins.get(_digest(secret))
        if login is None:
            return None
        idle, age = now_ns - login.used_ns, now_ns - login.since_ns
        if login.password != password or idle > IDLE_NS or age > LONGEST_NS:
            self.close(secret)
            return None
        login.used_ns = now_ns
        return login

    def close(self, secret: str) -> None:
        """End a login. Of no effect where there is none."""
        self._logins.pop(_digest(secret), None)


def same(given: str, wanted: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell how far."""
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())


@dataclass(slots=True)
class _Guesses:
    count: int
    last_ns: int


class Guesses:
    """How long who must wait before the next password is looked at.

    Per address (of IPv6 the /64 that one customer has): `FREE_GUESSES` at once, then twice as long each time.
    In all: a bucket, so that many addresses guess no faster than a few. Who comes from this machine itself
    needs not share that bucket, so a stranger's guessing cannot lock the owner out of an SSH tunnel.
    """

    def __init__(self) -> None:
        self._by_address: OrderedDict[str, _Guesses] = OrderedDict()
        self._left, self._filled_ns = float(GUESSES_IN_ALL), 0

    def wait_s(self, address: str, now_ns: int) -> float:
        """Seconds until ``address`` may try again; 0 where it may now."""
        own = self._by_address.get(_who(address))
        waits = 0.0
        if own is not None and own.count >= FREE_GUESSES and now_ns - own.last_ns < FORGOTTEN_NS:
            pause_s = min(2.0 ** (own.count - FREE_GUESSES), LONGEST_WAIT_S)
            waits = max(0.0, pause_s - (now_ns - own.last_ns) / S)
        if not _is_here(address):
            self._fill(now_ns)
            waits = max(waits, 0.0 if self._left >= 1 else (1 - self._left) * REFILL_S)
        return waits

    def guessed(self, address: str, now_ns: int) -> None:
        """``address`` tries a password; counts before it is looked at, or guesses side by side were free."""
        who = _who(address)
        own = self._by_address.pop(who, None)
        count = 0 if own is None or now_ns - own.last_ns >= FORGOTTEN_NS else own.count
        self._by_address[who] = _Guesses(count + 1, now_ns)
        while len(self._by_address) > MOST_ADDRESSES:
            self._by_address.popitem(last=False)
        if not _is_here(address):
            self._fill(now_ns)
            self._left = max(0.0, self._left - 1)

    def wrong(self, address: str, now_ns: int) -> None:
        """The password was not the right one: the wait begins now, however long looking at it took."""
        own = self._by_address.get(_who(address))
        if own is not None:
            own.last_ns = now_ns

    def right(self, address: str) -> None:
        """The password was the right one."""
        self._by_address.pop(_who(address), None)
        if not _is_here(address):
            self._left = min(float(GUESSES_IN_ALL), self._left + 1)

    def _fill(self, now_ns: int) -> None:
        if self._filled_ns:
            more = (now_ns - self._filled_ns) / S / REFILL_S
            self._left = min(float(GUESSES_IN_ALL), self._left + max(0.0, more))
        self._filled_ns = now_ns


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _who(text: str) -> str:
    address = _address(text)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address or text)


def _is_here(text: str) -> bool:
    address = _address(text)
    return address is not None and address.is_loopback
