"""The page's server over real sockets: what it answers and refuses, and that it never gets in the way."""

from __future__ import annotations

import http.client
import itertools
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.parser import BytesParser
from typing import TypeVar
from urllib.parse import urlsplit

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

import edge.web.server
import edge.web.streams
from edge.health.health import Health
from edge.viewfinder.preview import PreviewHub
from edge.web.hosts import host_allowed
from edge.web.metrics import markdown
from edge.web.pages import PAGE
from edge.web.server import ACCEPTED_AT_ONCE, WebBindError, WebServer

T = TypeVar("T")
JPEG = b"\xff\xd8 picture \xff\xd9"


@dataclass
class Page:
    """A running server with what it shows."""

    server: WebServer
    health: Health
    hub: PreviewHub
    port: int
    publishing: list[threading.Event] = field(default_factory=list)

    def get(
        self, path: str, method: str = "GET", **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = self.open(path, method, **headers)
        try:
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def open(
        self, path: str, method: str = "GET", body: str | None = None, **headers: str
    ) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body=body, headers=named)
        return connection

    def keep_publishing(self, jpeg: bytes = JPEG, every_s: float = 0.02) -> list[float]:
        """Pictures from a producer thread until the page closes; the seconds of each `publish`."""
        stop, costs = threading.Event(), list[float]()

        def produce() -> None:
            for i in itertools.count(1):
                numbered = jpeg + b" %d" % i
                begin = time.monotonic()
                self.hub.publish({"fused": numbered, "reference": numbered}, time.monotonic_ns())
                costs.append(time.monotonic() - begin)
                if stop.wait(every_s):
                    return

        self.publishing.append(stop)
        threading.Thread(target=produce).start()
        return costs


@pytest.fixture
def page() -> Iterator[Page]:
    health, hub = Health(), PreviewHub()
    with WebServer(health, hub, port=0, events_hz=20, max_streams=3, max_events=3) as server:
        running = Page(server, health, hub, urlsplit(server.url).port or 0)
        yield running
        for stop in running.publishing:
            stop.set()


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(page: Page) -> None:
    """On a set there is no internet: every file it asks for comes from here, and none is made inline."""
    status, headers, body = page.get("/")
    html = body.decode()
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|style=", html)
    wanted = set(re.findall(r'(?:src|href)="([^"]+)"', html)) - {"/preview/fused.mjpg"}
    for file in PAGE.iterdir():
        text = file.read_text()
        assert "://" not in text.replace("http://www.w3.org/2000/svg", ""), file.name
        wanted |= {f"/page/{name}" for name in re.findall(r'from "\./([^"]+)"', text)}
    assert "/page/panels.js" in wanted
    for path in wanted:
        status, headers, body = page.get(path)
        assert (status, bool(body)) == (200, True), path
        assert page.get(path, If_None_Match=headers["ETag"])[0] == 304


def test_every_answer_carries_the_protective_headers(page: Page) -> None:
    """Errors too: the first thing an attacker gets is an error."""
    for path in ("/", "/api/status", "/metrics", "/nothing", "/preview/nothing.jpg"):
        _, headers, _ = page.get(path)
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin", path
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], path
        assert headers["Server"] == "twinhdr", path
        assert headers["Cache-Control"] in ("no-store", "no-cache"), path


def test_status_is_what_health_says(page: Page) -> None:
    """The JSON for other programs is the same as the page's."""
    page.health.text("session", "<script>alert(1)</script>")
    page.health.count("drops", "pair", "age", n=7)
    status, headers, body = page.get("/api/status")
    told = json.loads(body)
    assert (status, headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    assert told["totals"]["drops"] == {"pair/age": 7}
    assert told["texts"]["session"] == {"": "<script>alert(1)</script>"}
    assert told["page"]


def test_events_keep_coming_and_change(page: Page) -> None:
    """The page lives on this stream."""
    connection = page.open("/api/events")
    answer = connection.getresponse()
    assert answer.headers["Content-Type"] == "text/event-stream"
    seen = []
    while len(seen) < 4:
        line = answer.readline()
        if line.startswith(b"data: "):
            page.health.count("drops", "pair", "age")
            seen.append(json.loads(line[6:])["t_ns"])
    connection.close()
    assert seen == sorted(set(seen))


def test_metrics_are_valid_documented_and_in_base_units(page: Page) -> None:
    """A dashboard built from docs/metrics.md gets its figures."""
    now = time.monotonic_ns()
    for i in range(11):
        page.health.tick("frames", now - (10 - i) * 100_000_000, "fused")
    page.health.observe("stage_ms", 25.0, "fuse")
    page.health.gauge("exposure_us", 2000, "low")
    page.health.count("drops", "encode", 'ring "full"\n', n=3)
    page.health.condition("disk", False, now, "full.", "Delete.")
    page.health.watch("fuse", now, 10**12)
    status, headers, body = page.get("/metrics")
    samples = {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(body.decode())
        for s in family.samples
    }
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    assert samples["twinhdr_frames_total", (("stream", "fused"),)] == 11
    assert samples["twinhdr_frames_per_second", (("stream", "fused"),)] == pytest.approx(10, rel=0.2)
    assert samples["twinhdr_stage_seconds", (("quantile", "0.95"), ("stage", "fuse"))] == 0.025
    assert samples["twinhdr_exposure_seconds", (("exposure", "low"),)] == pytest.approx(0.002)
    lost = (("cause", 'ring "full"\n'), ("stage", "encode"))
    assert samples["twinhdr_dropped_frames_total", lost] == 3
    assert samples["twinhdr_condition_ok", (("condition", "disk"), ("severity", "error"))] == 0
    assert samples["twinhdr_healthy", ()] == 0
    documented = markdown()
    assert all(f"`{name}`" in documented for name, _ in samples)


def test_healthz_turns_with_the_conditions(page: Page) -> None:
    """What a supervisor polls: 503 with the reason in words, 200 when it is good again."""
    assert page.get("/healthz")[0] == 200
    page.health.condition("disk", False, 0, "4 GB free.", "Delete sessions.")
    status, body = _until(lambda: page.get("/healthz")[::2], lambda got: got[0] == 503)
    assert json.loads(body) == {"healthy": False, "faults": ["disk: 4 GB free. Delete sessions."]}
    assert status == 503
    page.health.condition("disk", True, 1)
    _until(lambda: page.get("/healthz")[0], lambda got: got == 200)


def test_one_picture_waits_for_a_fresh_one(page: Page) -> None:
    """After an hour without viewers the first picture is of now, not of an hour ago."""
    page.hub.publish({"fused": b"an hour ago"}, time.monotonic_ns() - 3600 * 10**9)
    assert not page.hub.wanted("fused", time.monotonic_ns())
    page.keep_publishing()
    status, headers, body = page.get("/preview/fused.jpg")
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    assert body.startswith(JPEG)
    assert int(headers["X-Picture-Age-Ms"]) < 3600_000
    assert page.hub.wanted("fused", time.monotonic_ns())


def test_a_picture_of_a_stopped_recorder_says_how_old_it_is(page: Page) -> None:
    """The last picture is better than none, if its age is told; a stream without any says so."""
    page.hub.publish({"fused": JPEG}, time.monotonic_ns() - 3600 * 10**9)
    status, headers, body = page.get("/preview/fused.jpg")
    assert (status, body) == (200, JPEG)
    assert int(headers["X-Picture-Age-Ms"]) >= 3600_000
    status, headers, body = page.get("/preview/low.jpg")
    assert (status, headers["Retry-After"], body) == (503, "1", b"no picture of low yet\n")
    assert page.get("/preview/nonsense.jpg")[0] == 404


def test_a_set_holds_pictures_of_one_instant(page: Page) -> None:
    """The split view's body is form data as browsers parse it; a restarted server counts from 1 again."""
    page.keep_publishing()
    for after in ("0", "999999999"):
        status, headers, body = page.get(f"/preview/set?streams=fused,reference&after={after}")
        head = b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n"
        parts = BytesParser().parsebytes(head + body).get_payload()
        assert status == 200
        assert isinstance(parts, list)
        names = [part.get_param("name", header="content-disposition") for part in parts]
        fused, reference = (part.get_payload(decode=True) for part in parts)
        assert names == ["fused", "reference"]
        assert fused == reference == JPEG + b" %d" % int(headers["X-Picture-Number"])


def test_a_set_without_news_is_an_empty_answer(page: Page) -> None:
    """The page asks again; it must not get the same picture as if it were new."""
    page.hub.publish({"fused": JPEG}, time.monotonic_ns())
    assert page.get("/preview/set?streams=fused&after=1")[0] == 204


@pytest.mark.parametrize(
    "query",
    [
        "",
        "streams=",
        "streams=fused,x",
        "streams=fused&after=-1",
        "streams=fused&after=1e9",
        "streams=fused&after=" + "9" * 30,
    ],
)
def test_a_wrong_set_request_is_told_what_is_right(page: Page, query: str) -> None:
    """One clear answer, never a traceback."""
    status, _, body = page.get(f"/preview/set?{query}")
    assert (status, body[:12]) == (400, b"/preview/set")


def test_motion_jpeg_shows_moving_pictures(page: Page) -> None:
    """VLC, OBS and the like read this."""
    page.keep_publishing()
    connection = page.open("/preview/fused.mjpg")
    answer = connection.getresponse()
    assert answer.headers["Content-Type"].startswith("multipart/x-mixed-replace; boundary=")
    boundary = answer.headers["Content-Type"].partition("boundary=")[2].encode()
    assert answer.readline() == b"--" + boundary + b"\r\n"
    seen = []
    for _ in range(5):
        assert answer.readline() == b"Content-Type: image/jpeg\r\n"
        size = int(answer.readline().partition(b": ")[2])
        assert answer.readline() == b"\r\n"
        seen.append(int(answer.read(size).rpartition(b" ")[2]))
        assert answer.readline() == b"\r\n"
        assert answer.readline() == b"--" + boundary + b"\r\n"
    connection.close()
    assert seen == sorted(set(seen))


def test_fifty_readers_that_do_not_read_cost_the_producer_nothing() -> None:
    """The recorder's preview stage must not notice who watches, and a reader that wakes up sees now."""
    hub = PreviewHub()
    with WebServer(Health(), hub, port=0, max_streams=50) as server:
        page = Page(server, Health(), hub, urlsplit(server.url).port or 0)
        idle = [page.open("/preview/fused.mjpg") for _ in range(50)]
        costs = page.keep_publishing(b"\xff\xd8" + bytes(100_000), every_s=0.02)
        _until(lambda: len(costs), lambda published: published > 100)
        before = hub.number
        newest = page.get("/preview/fused.jpg")[2]
        assert int(newest.rpartition(b" ")[2]) >= before
        page.publishing[0].set()
        for connection in idle:
            connection.close()
    ranked = sorted(costs)
    assert ranked[len(ranked) // 2] < 0.005


def test_places_for_video_are_bounded_and_given_back(page: Page) -> None:
    """A forgotten browser tab must not lock everyone out for ever."""
    page.keep_publishing()
    watching = [page.open("/preview/fused.mjpg") for _ in range(3)]
    assert [connection.getresponse().status for connection in watching] == [200, 200, 200]
    status, headers, body = page.get("/preview/fused.mjpg")
    assert (status, headers["Retry-After"]) == (503, "5")
    assert body == b"all 3 places for video are taken; close a viewer and try again\n"
    for connection in watching:
        connection.close()
    _until(lambda: _status_of_stream(page), lambda status: status == 200)


def test_a_reader_that_stopped_reading_is_let_go(
    page: Page, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A laptop that was shut with the page open gives its place back, and the log stays quiet about it."""
    monkeypatch.setattr(edge.web.streams, "WRITE_TIMEOUT_S", 0.2)
    asleep = [page.open("/preview/fused.mjpg") for _ in range(3)]
    page.keep_publishing(bytes(3_000_000))
    assert page.get("/preview/fused.mjpg", "HEAD")[0] == 200
    _until(lambda: _status_of_stream(page), lambda status: status == 200)
    for connection in asleep:
        connection.close()
    assert caplog.messages == []


def test_noise_on_the_port_is_not_logged(page: Page, caplog: pytest.LogCaptureFixture) -> None:
    """A port scanner must not fill the disk through the log."""
    for noise in (
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"HELO\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
    ):
        connection = socket.create_connection(("127.0.0.1", page.port), timeout=20)
        connection.sendall(noise)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
        connection.close()
    assert page.get("/")[0] == 200
    assert caplog.messages == []


@pytest.mark.parametrize("path", ["/", "/api/events", "/preview/fused.mjpg", "/metrics", "/healthz"])
def test_head_answers_and_ends(page: Page, path: str) -> None:
    """Monitors probe with HEAD; on a stream it must not hang."""
    status, _, body = page.get(path, "HEAD")
    assert (status, body) == (200, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_nothing_can_be_changed(page: Page, method: str) -> None:
    """The page is read-only, on every path."""
    for path in ("/", "/api/status", "/nothing"):
        status, headers, _ = page.get(path, method)
        assert (status, headers["Allow"]) == (405, "GET,HEAD"), path


def test_bodies_and_oversized_requests_are_refused(page: Page) -> None:
    """Nothing here takes data, so nothing is read into memory."""
    connection = page.open("/api/status", body="x" * 2000)
    assert connection.getresponse().status == 413
    connection.close()
    assert page.get("/" + "a" * 5000)[0] in (400, 414)
    assert page.get("/", X_Long="a" * 10_000)[0] in (400, 431)
    assert page.get("/")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/page/../web.py",
        "/page/..%2fweb.py",
        "/page/%2e%2e/web.py",
        "/page//etc/passwd",
        "/page/",
        "/page/index.html%00.css",
        "/../../etc/passwd",
    ],
)
def test_only_the_pages_own_files_are_served(page: Page, path: str) -> None:
    """No path leads out of the package."""
    assert page.get(path)[0] == 404


def test_a_foreign_name_gets_no_answer(page: Page) -> None:
    """DNS rebinding: evil.example pointed at 127.0.0.1 must not read the page through a visitor's browser."""
    assert page.get("/api/status", Host="evil.example:8080")[0] == 421
    assert page.get("/api/status", Host="")[0] == 421
    assert page.get("/api/status", Host="localhost:9999")[0] == 200


def test_other_sites_cannot_embed_but_can_link(page: Page) -> None:
    """An <img> on another page must not take the places for video; a link to the page works."""
    page.hub.publish({"fused": JPEG}, time.monotonic_ns())
    cross = {"Sec_Fetch_Site": "cross-site"}
    assert page.get("/preview/fused.jpg", Sec_Fetch_Mode="no-cors", **cross)[0] == 403
    assert page.get("/", Sec_Fetch_Mode="navigate", **cross)[0] == 200
    assert page.get("/preview/fused.jpg", Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="no-cors")[0] == 200


@pytest.mark.parametrize(
    ("host", "bound_to", "allowed", "answer"),
    [
        ("127.0.0.1:8080", "127.0.0.1", (), True),
        ("[::1]:8080", "::1", (), True),
        ("LOCALHOST.", "127.0.0.1", (), True),
        ("192.168.1.7:8080", "127.0.0.1", (), False),
        ("192.168.1.7:8080", "0.0.0.0", (), True),
        ("[fe80::1]:8080", "::", (), True),
        ("evil.example", "0.0.0.0", (), False),
        ("127.0.0.1.evil.example", "127.0.0.1", (), False),
        ("hdr.example", "127.0.0.1", ("HDR.example",), True),
        (socket.gethostname(), "0.0.0.0", (), True),
        (socket.gethostname(), "127.0.0.1", (), socket.gethostname() == "localhost"),
    ],
)
def test_which_names_are_answered(host: str, bound_to: str, allowed: tuple[str, ...], answer: bool) -> None:
    """Too strict locks the owner out of his camera, too lax lets the web in."""
    assert host_allowed(host, bound_to, allowed) is answer


def test_a_taken_port_is_one_clear_error(page: Page) -> None:
    """Two recorders on one machine: the second says what to do, and can still record."""
    second = WebServer(Health(), PreviewHub(), port=page.port)
    with pytest.raises(
        WebBindError, match=rf"127\.0\.0\.1:{page.port}: another program has the port .*web\.port"
    ):
        second.start()
    assert second.stop()


@pytest.mark.parametrize(
    ("host", "hint"), [("no.such.host.invalid", "web.host"), ("192.0.2.1", "ip address")]
)
def test_a_wrong_host_is_one_clear_error(host: str, hint: str) -> None:
    """A typing error in the configuration costs the page, with its reason."""
    with pytest.raises(WebBindError, match=hint):
        WebServer(Health(), PreviewHub(), host=host, port=0).start()


def test_stopping_is_quick_and_leaves_nothing(page: Page) -> None:
    """Ctrl-C must not wait for viewers; a daemon that restarts its page all day must not leak."""
    process = psutil.Process()
    page.server.stop()
    counts = []
    for _ in range(12):
        hub = PreviewHub()
        server = WebServer(Health(), hub, port=0)
        server.start()
        running = Page(server, Health(), hub, urlsplit(server.url).port or 0)
        hub.publish({"fused": JPEG}, time.monotonic_ns())
        viewers = [
            running.open(path) for path in ("/api/events", "/preview/fused.mjpg", "/preview/fused.mjpg")
        ]
        assert [viewer.getresponse().status for viewer in viewers] == [200, 200, 200]
        begin = time.monotonic()
        assert server.stop()
        assert time.monotonic() - begin < 1.0
        for viewer in viewers:
            viewer.close()
        assert server.stop()
        counts.append((process.num_fds(), threading.active_count()))
    assert counts[-1] == counts[1]
    with pytest.raises(RuntimeError, match="started before"):
        server.start()


def test_idle_connections_cannot_take_all_file_descriptors(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recording needs descriptors for its next segment: a flood of connections gets only its share."""
    monkeypatch.setattr(edge.web.server, "MAX_CONNECTIONS", 10)
    flood = [socket.create_connection(("127.0.0.1", page.port), timeout=10) for _ in range(60)]
    for connection in flood[10 + ACCEPTED_AT_ONCE :]:
        assert connection.recv(1) == b""
    for connection in flood:
        connection.close()
    _until(lambda: _status_or_none(page), lambda status: status == 200)


def test_a_request_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slowloris: half a request does not hold a connection for ever."""
    monkeypatch.setattr(edge.web.server, "IDLE_CONNECTION_S", 0.3)
    with WebServer(Health(), PreviewHub(), port=0) as server:
        connection = socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), timeout=10)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: local")
        assert connection.recv(1000) == b""
        connection.close()


def _status_of_stream(page: Page) -> int:
    connection = page.open("/preview/fused.mjpg")
    try:
        return connection.getresponse().status
    finally:
        connection.close()


def _status_or_none(page: Page) -> int | None:
    try:
        return page.get("/")[0]
    except (ConnectionError, http.client.HTTPException):
        return None


def _until(ask: Callable[[], T], good: Callable[[T], bool], timeout_s: float = 20.0) -> T:
    """Ask again until the answer is good; fails with the last answer."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = ask()
        if good(answer):
            return answer
        assert time.monotonic() < deadline, answer
        time.sleep(0.02)
