"""Attacks on the page: strangers on the network, other sites in the owner's browser, and plain noise."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import edge.web.guard
import edge.web.server
from edge.web.logins import FREE_GUESSES
from edge.web.routing import Access, Route
from tests.edge.web.page_client import PASSWORD, Appliance, appliance

LONG = os.environ.get("TWINHDR_LONG") == "1"
CASES = 10_000 if LONG else 200
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get")
BODIES: dict[str, Any] = {
    "Password": {"password": "wrong"},
    "Keep": {"kept": True},
    "Confirmation": {"confirm": "one"},
    "NewText": {"text": "preview:\n  fps: 3\n"},
}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    """One page for all; no test here may succeed in changing it."""
    with appliance(tmp_path_factory.mktemp("page")) as running:
        running.log_in()
        yield running


@pytest.fixture(autouse=True)
def unchanged(page: Appliance) -> Iterator[None]:
    """Every file that the page could change is as before, and the page still answers."""
    before = page.snapshot()
    yield
    assert page.snapshot() == before
    assert page.ask("GET", "/api/account").status == 200


def path_of(route: Route) -> str:
    sample = {"name": "one", "path": "hdr/000000.mp4", "stream": "fused"}
    return re.sub(r"\{(\w+)\}", lambda found: sample[found[1]], route.template)


def test_a_stranger_can_change_nothing(page: Appliance) -> None:
    """Every method on every route, with the body that would do it: the fixture compares all files."""
    for route in page.server.table:
        for method in METHODS:
            body = BODIES[route.body.__name__] if route.body is not None else None
            if method == route.method and route.access in (Access.OPEN, Access.LOGIN):
                continue
            answer = page.ask(method, path_of(route), body, anonymous=True)
            assert answer.status in (200, 304, 400, 401, 404, 405, 413, 503), (method, route.path)
            if route.access in (Access.OWNER, Access.CHANGE) and method == route.method:
                assert answer.status == 401, (method, route.path)


@pytest.mark.parametrize(
    "secret",
    ["", "twinhdr=", "twinhdr=x", "twinhdr=" + "A" * 43, "twinhdr=%00", "__Host-twinhdr=x", "twinhdr=\xff"],
)
def test_a_made_up_cookie_opens_nothing(page: Appliance, secret: str) -> None:
    """A session is a secret of 256 bits, not a name."""
    headers = {"Cookie": secret, "X_CSRF_Token": page.token}
    assert page.ask("DELETE", "/api/sessions/one", {"confirm": "one"}, **headers).status in (400, 401)
    assert page.ask("GET", "/api/config", **headers).status in (400, 401)


@pytest.mark.parametrize("token", [None, "", "x", "0" * 32, "null", "undefined"])
def test_a_cookie_alone_changes_nothing(page: Appliance, token: str | None) -> None:
    """CSRF: a browser sends the cookie by itself, the token only our page knows."""
    for route in page.server.table:
        if route.access is Access.CHANGE:
            body = None if route.body is None else BODIES[route.body.__name__]
            answer = page.ask(route.method, path_of(route), body, X_CSRF_Token=token)
            assert answer.status == 403, route.path


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1.evil.example"},
        {"Origin": "http://[::1"},
        {"Origin": "file://"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "none"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"},
    ],
)
def test_another_site_changes_nothing_even_with_the_token(page: Appliance, headers: dict[str, str]) -> None:
    """A second lock: another program on the same machine, at another port, is another origin."""
    for route in page.server.table:
        if route.access.guarded:
            body = None if route.body is None else BODIES[route.body.__name__]
            assert page.ask(route.method, path_of(route), body, **headers).status == 403, route.path


def test_a_form_of_another_site_is_no_login(page: Appliance) -> None:
    """What a form can send without asking first is no JSON, so a login cannot be forged either."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = page.ask("POST", "/api/login", b'{"password": "x"}', anonymous=True, Content_Type=kind)
        assert answer.status == 415


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil"]
)
def test_a_rebound_name_gets_nothing(page: Appliance, host: str) -> None:
    """DNS rebinding: not even reading, and no change with a login from our own page."""
    for route in page.server.table:
        body = None if route.body is None else BODIES[route.body.__name__]
        assert page.ask(route.method, path_of(route), body, Host=host).status == 421, route.path


OUT = (
    "../one/session.json",
    "..%2fone%2fsession.json",
    "%2e%2e/%2e%2e/page-password",
    "..%252f..%252fpage-password",
    "hdr/../../../page-password",
    "hdr/%2e%2e/%2e%2e/%2e%2e/page-password",
    "....//....//page-password",
    "..\\..\\page-password",
    "..%5c..%5cpage-password",
    "%c0%ae%c0%ae/page-password",
    "%uff0e%uff0e/page-password",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "//etc/passwd",
    "file:///etc/passwd",
    "hdr%00.mp4",
    "session.json%00.jpg",
    "session.json/",
    "./session.json",
    "hdr/./000000.mp4",
    "hdr//000000.mp4",
    "link",
    "folder/passwd",
    "fifo",
    ".hidden",
    "hdr",
    "%0d%0aX-Injected:1",
    "a" * 300,
    "/".join(["a"] * 50),
)


@pytest.fixture(scope="module")
def traps(page: Appliance) -> Path:
    """Links and pipes in a session, as somebody with a shell might leave them."""
    folder = page.sessions["two"]
    (folder / "link").symlink_to(page.root.parent / "page-password")
    (folder / "folder").symlink_to("/etc")
    os.mkfifo(folder / "fifo")
    (folder / ".hidden").write_text("secret")
    (page.root / "linked").symlink_to(page.root.parent)
    return folder


@pytest.mark.parametrize("way", OUT)
def test_no_path_leads_out_of_a_session(page: Appliance, traps: Path, way: str) -> None:
    """The password's hash lies two folders above: no spelling of the way there works."""
    answer = page.ask("GET", f"/api/sessions/two/files/{way}")
    assert answer.status in (400, 404), answer.body[:100]
    assert b"scrypt" not in answer.body
    assert "X-Injected" not in answer.headers


@pytest.mark.parametrize(
    "name",
    ["..", "%2e%2e", ".", "linked", "..%2fsessions%2fone", "%2fetc", "one%00", "%0aone", "a" * 300],
)
def test_no_name_leads_out_of_the_recordings(page: Appliance, traps: Path, name: str) -> None:
    """Deleting above all: rm -r with somebody else's path."""
    for method, rest, body in (
        ("GET", "", None),
        ("GET", "/session.tar", None),
        ("GET", "/files/page-password", None),
        ("PUT", "/kept", {"kept": True}),
        ("DELETE", "", {"confirm": name}),
    ):
        answer = page.ask(method, f"/api/sessions/{name}{rest}", body)
        assert answer.status in (400, 404, 405), (method, rest, answer.status)
        assert b"scrypt" not in answer.body


def test_a_name_cannot_inject_a_header(page: Appliance) -> None:
    """A file's name goes into Content-Disposition."""
    evil = page.sessions["two"] / 'a"\r\nX-Injected: 1; ä.mp4'
    evil.write_bytes(b"x")
    try:
        answer = page.ask("GET", "/api/sessions/two/files/a%22%0d%0aX-Injected:%201;%20%C3%A4.mp4")
        assert "X-Injected" not in answer.headers
        assert answer.status in (200, 400, 404)
    finally:
        evil.unlink()


def test_a_body_is_only_as_long_as_it_may_be(page: Appliance) -> None:
    """With and without its length told, and where no body belongs at all."""
    for route in page.server.table:
        method, path = route.method, path_of(route)
        if route.body is None:
            if method == "GET" and "preview" not in path and "events" not in path:
                assert page.ask(method, path, b"x" * 2000).status == 413, path
            continue
        huge = b'{"text": "' + b"x" * (route.body_limit + 1) + b'"}'
        if route.access is Access.CHANGE:
            assert page.ask(method, path, huge, Content_Type="application/json").status == 413, path
    chunked = (
        (
            "PUT /api/config HTTP/1.1\r\nHost: localhost\r\n"
            f"Cookie: {page.secret}\r\nX-CSRF-Token: {page.token}\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        ).encode()
        + b"4000\r\n"
        + b" " * 0x4000
        + b"\r\n"
    )
    with socket.create_connection(("127.0.0.1", page.port), timeout=20) as raw:
        raw.sendall(chunked)
        with contextlib.suppress(ConnectionError):
            for _ in range(64):
                raw.sendall(b"4000\r\n" + b" " * 0x4000 + b"\r\n")
        with contextlib.suppress(ConnectionError):
            assert raw.recv(4096).startswith(b"HTTP/1.1 413")


def test_a_stranger_cannot_make_it_read_a_body(page: Appliance) -> None:
    """Refused before the first byte of a body is asked for."""
    with socket.create_connection(("127.0.0.1", page.port), timeout=20) as raw:
        raw.sendall(
            b"PUT /api/config HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100000\r\n\r\n"
        )
        assert raw.recv(4096).startswith(b"HTTP/1.1 401")


def test_two_lengths_are_one_too_many(page: Appliance) -> None:
    """Request smuggling: what two programs would read differently is refused."""
    for head in (
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length : 5\r\n",
    ):
        with socket.create_connection(("127.0.0.1", page.port), timeout=20) as raw:
            raw.sendall(b"POST /api/login HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n0\r\n\r\nGET")
            assert re.match(rb"HTTP/1\.[01] 4\d\d", raw.recv(4096)), head


@pytest.mark.parametrize("where", ["head", "body"])
def test_a_request_at_a_trickle_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Slowloris: a byte now and then does not keep a connection."""
    monkeypatch.setattr(edge.web.server, "IDLE_CONNECTION_S", 0.5)
    monkeypatch.setattr(edge.web.guard, "BODY_TIMEOUT_S", 0.5)
    with (
        appliance(tmp_path) as slow,
        socket.create_connection(("127.0.0.1", slow.port), timeout=20) as raw,
    ):
        head = b"POST /api/login HTTP/1.1\r\nHost: localhost\r\n"
        rest = b"Content-Type: application/json\r\nContent-Length: 2000\r\n\r\n"
        raw.sendall(head if where == "head" else head + rest)
        deadline = time.monotonic() + 30
        ended = b""
        raw.settimeout(0.1)
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                ended = raw.recv(4096)
                break
            try:
                raw.sendall(b"X" if where == "head" else b" ")
            except ConnectionError:
                break
        assert time.monotonic() < deadline
        assert where == "head" or ended.startswith(b"HTTP/1.1 408")


def test_guessing_is_slowed_down(tmp_path: Path) -> None:
    """Over HTTP as in the rule: five guesses, then a wait, for the right password too."""
    now = [time.monotonic_ns()]
    with appliance(tmp_path, clock_ns=lambda: now[0]) as page:
        answers = [page.log_in(f"wrong guess {i}").status for i in range(FREE_GUESSES)]
        assert answers == [401] * FREE_GUESSES
        refused = page.log_in()
        assert (refused.status, int(refused.headers["Retry-After"])) == (429, 1)
        now[0] += 1_000_000_000
        assert page.log_in().status == 200


def test_the_answer_does_not_tell_how_a_login_failed(page: Appliance) -> None:
    """Nothing but yes or no, and never the password in the log or the answer."""
    answer = page.ask("POST", "/api/login", {"password": PASSWORD + " nearly"}, anonymous=True)
    assert (answer.status, answer.text) == (401, "not the password\n")
    assert "Set-Cookie" not in answer.headers


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(page: Appliance) -> None:
    """Stealing it needs more than a script on the page."""
    cookie = page.log_in().headers["Set-Cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Path=/"))
    assert "Domain" not in cookie


TEXT = st.text(max_size=30)
PATHS = """
    / /api/status /api/sessions /api/sessions/one /api/sessions/one/files/session.json /api/openapi.json
    /api/sessions/one/kept /api/config /api/config/check /api/login /api/logout /healthz /metrics
    /preview/set?streams=fused /preview/fused.jpg /page/base.css
"""
HEADERS = """
    Range If-Range If-None-Match Cookie Origin Sec-Fetch-Site Content-Type Content-Length Host Accept
    Transfer-Encoding Expect Connection Upgrade Content-Encoding X-CSRF-Token
"""
KNOWN = st.sampled_from(PATHS.split())
TOKEN = st.text(alphabet="abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-", min_size=1, max_size=12)
HEADER = st.one_of(
    st.tuples(
        st.sampled_from(
            [
                "Range",
                "If-Range",
                "If-None-Match",
                "Cookie",
                "Origin",
                "Sec-Fetch-Site",
                "Content-Type",
                "Content-Length",
                "Host",
                "Transfer-Encoding",
                "Expect",
                "Connection",
                "Upgrade",
                "Accept",
                "Content-Encoding",
                "X-CSRF-Token",
            ]
        ),
        st.one_of(
            st.text(max_size=30),
            st.sampled_from(["bytes=0-", "bytes=-1", "chunked", "gzip", "0", "-1", "100-continue", "close"]),
        ),
    ),
    st.tuples(TOKEN, TEXT),
)
HOSTILE = settings(
    max_examples=CASES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def answers_of(port: int, request: bytes) -> bytes:
    """All that comes back on one connection."""
    got = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
        with contextlib.suppress(OSError):
            raw.sendall(request)
            raw.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            while piece := raw.recv(65536):
                got += piece
    return got


def fine(answered: bytes) -> bool:
    """No answer, where the connection was no HTTP; or none of the kind that tells of a bug of ours."""
    statuses = [int(found) for found in re.findall(rb"HTTP/1\.[01] (\d\d\d) ", answered[:2000])]
    return all(status < 500 or status == 503 for status in statuses)


@HOSTILE
@given(
    method=st.one_of(st.sampled_from(METHODS), TOKEN),
    path=st.one_of(
        KNOWN, st.builds("/api/sessions/{}/files/{}".format, TEXT, TEXT), st.builds("/{}".format, TEXT)
    ),
    headers=st.lists(HEADER, max_size=5),
    body=st.one_of(
        st.just(b""), st.binary(max_size=200), st.sampled_from([b"{}", b'{"kept": 1}', b"[" * 90])
    ),
    told=st.booleans(),
    logged_in=st.booleans(),
)
def test_whatever_comes_gets_an_answer_of_ours(
    page: Appliance,
    method: str,
    path: str,
    headers: list[tuple[str, str]],
    body: bytes,
    told: bool,
    logged_in: bool,
) -> None:
    """Requests nobody thought of: refused in our words, never an error of ours, never a change."""
    own = ["Host: localhost", "Connection: close"]
    if logged_in:
        # With a token of another login: what gets this far has only the last lock before it.
        own += [f"Cookie: {page.secret}", "X-CSRF-Token: not-the-one"]
    own += [f"Content-Length: {len(body)}", "Content-Type: application/json"] if told else []
    lines = [f"{method} {path} HTTP/1.1", *own, *(f"{name}: {value}" for name, value in headers)]
    request = "\r\n".join(lines).encode(errors="replace") + b"\r\n\r\n" + body
    answered = answers_of(page.port, request)
    assert fine(answered), (request, answered[:300])


@HOSTILE
@given(noise=st.binary(max_size=400))
def test_noise_gets_no_error_of_ours(page: Appliance, noise: bytes) -> None:
    """A port scanner, a TLS client on the plain port, a cat on the keyboard."""
    assert fine(answers_of(page.port, noise))


@settings(max_examples=CASES // 3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    ),
    key=st.sampled_from(["text", "kept", "confirm", "password"]),
)
def test_bodies_of_the_owner_are_checked_too(page: Appliance, value: object, key: str) -> None:
    """A client with a bug gets a clear refusal: the owner's own requests are no more trusted."""
    for method, path in (
        ("POST", "/api/config/check"),
        ("DELETE", "/api/sessions/live"),
        ("PUT", "/api/sessions/none/kept"),
    ):
        answer = page.ask(method, path, {key: value})
        assert answer.status in (200, 400, 404, 409), (path, answer.status, answer.body)
