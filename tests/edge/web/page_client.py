"""A recorder's page over real sockets, with sessions and a configuration of its own, and a client for it."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edge.config.layers import load
from edge.health.health import Health
from edge.store.lock import hold
from edge.viewfinder.preview import PreviewHub
from edge.web import password
from edge.web.appliance import page_server
from edge.web.server import WebServer

PASSWORD = "correct horse battery"
LINE = password.hashed(PASSWORD)
CAMERA = {"width": 64, "height": 64, "pixel_format": "bayer_rggb", "bit_depth": 12}
HEADER = {
    "format": "twinhdr-session",
    "version": 1,
    "cameras": {"reference": CAMERA, "secondary": CAMERA},
    "exposures": {
        "reference": [{"exposure_us": 8000.0, "gain_db": 0.0}],
        "secondary": [{"exposure_us": 2000.0, "gain_db": 0.0}, {"exposure_us": 32000.0, "gain_db": 0.0}],
    },
    "started_utc": "2026-07-22T18:42:12+00:00",
}
VIDEO = bytes(range(256)) * 4096
"""One MiB whose every place can be told."""


def make_session(root: Path, name: str, *, ended: bool = True, picture: bool = True) -> Path:
    """A session as small as one can be, with a file of `VIDEO`."""
    folder = root / name
    (folder / "hdr").mkdir(parents=True)
    (folder / "session.json").write_text(json.dumps(HEADER))
    lines = [{"kind": "hdr", "t_ns": t, "seq": t} for t in (0, 5_000_000_000)]
    text = "".join(json.dumps(line) + "\n" for line in [*lines, *([{"kind": "end"}] if ended else [])])
    (folder / "frames.jsonl").write_text(text)
    (folder / "hdr" / "000000.mp4").write_bytes(VIDEO)
    if picture:
        (folder / "contact.jpg").write_bytes(b"\xff\xd8 contact \xff\xd9")
    return folder


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Appliance:
    """The page of a recorder, running, with what it serves; also the client, logged in or not."""

    server: WebServer
    health: Health
    hub: PreviewHub
    root: Path
    main: Path
    secret: str | None = None
    token: str | None = None
    certificate: Path | None = None
    sessions: dict[str, Path] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return urlsplit(self.server.url).port or 0

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        anonymous: bool = False,
        **headers: str | None,
    ) -> Answer:
        """One request on a connection of its own. ``body``: bytes as they are, else JSON. Headers of None are
        left out, others take the place of those that a logged-in page sends.
        """
        sent: dict[str, str | None] = {} if anonymous else {**self._own_headers()}
        data = body
        if body is not None and not isinstance(body, bytes):
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = self.connect()
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                # A refused body is not read to its end; the answer is there all the same.
                given = {name: value for name, value in sent.items() if value is not None}
                connection.request(method, path, body=data, headers=given)
            got = connection.getresponse()
            return Answer(got.status, got.headers, got.read())
        finally:
            connection.close()

    def connect(self) -> http.client.HTTPConnection:
        if self.certificate is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        trusted = ssl.create_default_context(cafile=str(self.certificate))
        return http.client.HTTPSConnection("localhost", self.port, timeout=20, context=trusted)

    def log_in(self, given: str = PASSWORD) -> Answer:
        answer = self.ask("POST", "/api/login", {"password": given}, anonymous=True)
        if answer.status == 200:
            cookie = answer.headers["Set-Cookie"].partition(";")[0]
            self.secret, self.token = cookie, answer.json["csrf"]
        return answer

    def _own_headers(self) -> dict[str, str]:
        if self.secret is None or self.token is None:
            return {}
        return {"Cookie": self.secret, "X-CSRF-Token": self.token}

    def snapshot(self) -> dict[str, bytes]:
        """Every file that the page could change, with its content."""
        folders = (self.root, self.main.parent)
        return {
            str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()
        }


@contextlib.contextmanager
def appliance(
    folder: Path,
    *,
    web: str = "",
    with_password: bool = True,
    clock_ns: Callable[[], int] = time.monotonic_ns,
) -> Iterator[Appliance]:
    """A running page with the sessions one (ended), two (broken off) and live (being recorded)."""
    root, main = folder / "sessions", folder / "etc" / "config.yaml"
    root.mkdir(parents=True)
    main.parent.mkdir()
    if with_password:
        password.write(folder / "page-password", LINE)
    main.write_text(
        f"version: 1\nstore:\n  root: {root}\n"
        f"web:\n  port: 0\n  password_file: {folder / 'page-password'}\n{web}"
    )
    sessions = {name: make_session(root, name, ended=name == "one") for name in ("one", "two", "live")}
    health, hub = Health(), PreviewHub()
    hub.publish(dict.fromkeys(hub.streams, b"\xff\xd8 picture \xff\xd9"), time.monotonic_ns())
    with (sessions["live"] / "frames.jsonl").open("a") as live:
        assert hold(live.fileno())
        with page_server(load(main).config, health, hub, main, clock_ns) as server:
            yield Appliance(server, health, hub, root, main, sessions=sessions)
