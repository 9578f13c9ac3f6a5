"""The API that changes things and gives files away: what it says is what it does."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from typer.testing import CliRunner

from edge.cli import app
from edge.config.layers import load
from edge.errors import ConfigError
from edge.health.health import Health
from edge.health.series import SERIES
from edge.viewfinder.preview import PreviewHub
from edge.web import password
from edge.web.access import access_findings
from edge.web.appliance import DISK_THREADS, start_page
from edge.web.disk import Busy
from edge.web.download import Pace
from edge.web.logins import FREE_GUESSES, GUESSES_IN_ALL, IDLE_NS, LONGEST_NS, Guesses, Logins
from edge.web.metrics import BEAT, CONDITION, HEALTHY, READY, exported_names
from edge.web.openapi import PATH
from edge.web.routing import JSON, Access, Route
from tests.edge.web.page_client import LINE, PASSWORD, VIDEO, Appliance, appliance, make_session

S = 1_000_000_000
DOCS = Path(__file__).parents[3] / "docs"
DOC = (DOCS / "api.md").read_text()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Appliance]:
    with appliance(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    """One page for all tests that change nothing."""
    with appliance(tmp_path_factory.mktemp("page")) as running:
        running.health.tick("frames", time.monotonic_ns(), "fused")
        running.log_in()
        yield running


def test_readyz_waits_for_the_first_recorded_frame(page: Appliance) -> None:
    """A supervisor that counts on /readyz would call a recorder started that records nothing."""
    assert (page.ask("GET", "/readyz").status, page.ask("GET", "/readyz").json) == (503, {"ready": False})
    page.health.tick("frames", time.monotonic_ns(), "reference")
    page.health.tick("frames", time.monotonic_ns(), "fused")
    deadline = time.monotonic() + 20
    while page.ask("GET", "/readyz").status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert page.ask("GET", "/readyz").json == {"ready": True}


def test_sessions_are_listed_newest_first_with_their_state(reader: Appliance) -> None:
    """The list is how one finds a recording, and learns that one broke off."""
    told = {one["name"]: one for one in reader.ask("GET", "/api/sessions").json["sessions"]}
    assert {name: one["state"] for name, one in told.items()} == {
        "one": "clean",
        "two": "torn",
        "live": "recording",
    }
    assert told["one"]["seconds"] == 5.0
    assert told["one"]["size_bytes"] > len(VIDEO)
    facts = reader.ask("GET", "/api/sessions/one").json
    assert facts["session"]["picture"] is True
    assert {"path": "hdr/000000.mp4", "size_bytes": len(VIDEO)} in facts["files"]
    assert reader.ask("GET", "/api/sessions/one/picture.jpg").headers["Content-Type"] == "image/jpeg"


def test_a_file_comes_whole_and_in_ranges(reader: Appliance) -> None:
    """A download of hours that broke off goes on where it was, and a player can seek."""
    path = "/api/sessions/one/files/hdr/000000.mp4"
    whole = reader.ask("GET", path)
    assert (whole.status, whole.body, whole.headers["Content-Type"]) == (200, VIDEO, "video/mp4")
    assert "filename*=UTF-8''000000.mp4" in whole.headers["Content-Disposition"]
    for asked, begin, end in (
        ("bytes=5-9", 5, 10),
        ("bytes=1048000-", 1048000, None),
        ("bytes=-7", -7, None),
    ):
        part = reader.ask("GET", path, Range=asked)
        assert (part.status, part.body) == (206, VIDEO[begin:end]), asked
        assert part.headers["Content-Range"].endswith(f"/{len(VIDEO)}")
    past = reader.ask("GET", path, Range="bytes=99999999-")
    assert (past.status, past.headers["Content-Range"]) == (416, f"bytes */{len(VIDEO)}")
    for ignored in ("lines=1-2", "bytes=0-1,5-6", "bytes=x", "bytes=9-5"):
        assert reader.ask("GET", path, Range=ignored).status in (200, 416), ignored
    etag = whole.headers["ETag"]
    assert reader.ask("GET", path, Range="bytes=5-9", If_Range=etag).status == 206
    assert reader.ask("GET", path, Range="bytes=5-9", If_Range='"another"').body == VIDEO
    head = reader.ask("HEAD", path)
    assert (head.status, head.headers["Content-Length"], head.body) == (200, str(len(VIDEO)), b"")


def test_a_session_comes_as_one_tar(reader: Appliance) -> None:
    """One click takes the whole recording; its length is known, so a cut is noticed."""
    got = reader.ask("GET", "/api/sessions/one/session.tar")
    assert int(got.headers["Content-Length"]) == len(got.body)
    with tarfile.open(fileobj=io.BytesIO(got.body)) as tar:
        names = tar.getnames()
        video = tar.extractfile("one/hdr/000000.mp4")
        assert video is not None
        assert video.read() == VIDEO
    assert sorted(names) == ["one/contact.jpg", "one/frames.jsonl", "one/hdr/000000.mp4", "one/session.json"]


def test_a_file_deleted_during_its_download_ends_it(page: Appliance) -> None:
    """An open file keeps its space: who downloads slowly must not keep the disk full after a deletion."""
    big = page.sessions["one"] / "hdr" / "big.mp4"
    with big.open("wb") as file:
        file.truncate(50_000_000)
    connection = page.connect()
    connection.request("GET", "/api/sessions/one/files/hdr/big.mp4")
    answer = connection.getresponse()
    answer.read(1000)
    shutil.rmtree(page.sessions["one"])
    with pytest.raises((ConnectionError, http.client.IncompleteRead)):
        answer.read()
    connection.close()
    assert page.ask("GET", "/api/sessions/one").status == 404


def test_a_disk_that_hangs_costs_only_what_is_on_it(page: Appliance) -> None:
    """Recordings on a dead network share: figures, pictures, login answer as ever, and it can be ended."""
    threads = page.server.threads
    assert threads is not None
    release, begun = threading.Event(), threading.Semaphore(0)
    for _ in range(DISK_THREADS):
        threads.submit(lambda: (begun.release(), release.wait()))
    for _ in range(DISK_THREADS):
        assert begun.acquire(timeout=20)
    with contextlib.suppress(Busy):
        while True:
            threads.submit(release.wait)
    refused = page.ask("GET", "/api/sessions")
    assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
    assert "disk" in refused.text
    assert page.ask("GET", "/api/status").status == 200
    assert page.ask("GET", "/preview/fused.jpg").status == 200
    assert page.log_in().status == 200
    begin = time.monotonic()
    page.server.stop()
    assert time.monotonic() - begin < 10
    release.set()


def test_a_page_that_cannot_be_offered_leaves_nothing_behind(tmp_path: Path) -> None:
    """The recorder tries again all day while another program has the port."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        config = tmp_path / "config.yaml"
        config.write_text(f"version: 1\nweb: {{port: {other.getsockname()[1]}}}\n")
        loaded = load(config).config
        before = threading.active_count()
        assert [start_page(loaded, Health(), PreviewHub()) for _ in range(5)] == [None] * 5
        assert threading.active_count() == before


def test_downloads_share_one_rate() -> None:
    """Two people copying must not take the disk from the recording together."""
    pace = Pace(10e6)
    assert pace.take(1_000_000, 5.0) == 0
    assert pace.take(1_000_000, 5.0) == pytest.approx(0.1)
    assert pace.take(1_000_000, 5.05) == pytest.approx(0.15)
    assert pace.take(1_000_000, 9.0) == 0


def test_logging_in_keeping_deleting_and_logging_out(page: Appliance) -> None:
    """The way of a person who makes room on the device."""
    assert page.ask("GET", "/api/account").json["password_set"] is True
    page.log_in()
    assert page.ask("GET", "/api/account").json["logged_in"] is True
    assert page.ask("PUT", "/api/sessions/one/kept", {"kept": True}).status == 204
    refused = page.ask("DELETE", "/api/sessions/one", {"confirm": "one"})
    assert (refused.status, "kept" in refused.text) == (409, True)
    assert page.ask("PUT", "/api/sessions/one/kept", {"kept": False}).status == 204
    assert page.ask("DELETE", "/api/sessions/one", {"confirm": "two"}).status == 400
    assert page.sessions["one"].exists()
    assert page.ask("DELETE", "/api/sessions/one", {"confirm": "one"}).status == 204
    assert not page.sessions["one"].exists()
    assert [one["name"] for one in page.ask("GET", "/api/sessions").json["sessions"]].count("one") == 0
    busy = page.ask("DELETE", "/api/sessions/live", {"confirm": "live"})
    assert (busy.status, page.sessions["live"].exists()) == (409, True)
    assert page.ask("POST", "/api/logout").status == 204
    assert page.ask("DELETE", "/api/sessions/two", {"confirm": "two"}).status == 401


def test_the_configuration_is_judged_saved_and_reloaded(page: Appliance) -> None:
    """A fault is shown at its line and costs nothing; a good text is on disk before the recorder is told."""
    page.log_in()
    layer = page.main.parent / "conf.d" / "90-page.yaml"
    assert page.ask("GET", "/api/config").json == {"text": "", "file": str(layer)}
    bad = page.ask("PUT", "/api/config", {"text": "preview:\n  fps: fast\n"})
    assert (bad.status, bad.json["saved"], bad.json["faults"][0]["line"]) == (422, False, 2)
    assert "preview.fps" in bad.json["faults"][0]["text"]
    assert not layer.exists()
    good = "# as the customer wants it\npreview:\n  fps: 5\nhdr:\n  transfer: hlg\n"
    judged = page.ask("POST", "/api/config/check", {"text": good}).json
    assert {one["key"]: one["restart"] for one in judged["changes"]} == {
        "preview.fps": False,
        "hdr.transfer": True,
    }
    assert not layer.exists()
    heard = []
    before = signal.signal(signal.SIGHUP, lambda *_: heard.append(layer.read_text()))
    try:
        saved = page.ask("PUT", "/api/config", {"text": good}).json
        assert (saved["saved"], saved["reloaded"]) == (True, True)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert heard == [good]
    assert page.ask("GET", "/api/config").json["text"] == good


def test_a_new_password_ends_old_logins(page: Appliance) -> None:
    """Changing the password is how one throws somebody out."""
    page.log_in()
    other = password.hashed("another password")
    password.write(page.root.parent / "page-password", other)
    assert page.ask("POST", "/api/logout").status == 401
    assert page.log_in().status == 401
    assert page.log_in("another password").status == 200


def test_without_a_password_the_page_is_read_only(tmp_path: Path) -> None:
    """There is no default password that a stranger could know."""
    with appliance(tmp_path, with_password=False) as page:
        assert page.ask("GET", "/api/account").json["password_set"] is False
        refused = page.log_in("")
        assert (refused.status, "twinhdr password" in refused.text) == (403, True)


def test_the_password_file_is_for_its_owner_only(tmp_path: Path) -> None:
    """Who can read the hash can guess at leisure."""
    file = tmp_path / "deep" / "page-password"
    password.write(file, LINE)
    assert file.stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in file.read_text()
    assert password.fits(PASSWORD, file.read_text())
    assert not password.fits(PASSWORD + "x", file.read_text())
    assert password.hashed(PASSWORD) != password.hashed(PASSWORD), "the salt is new each time"
    for damaged in ("", "scrypt$1$1$1$$", LINE[:-8], LINE.replace("$8$", "$999999999$"), "x" * 400):
        with pytest.raises(password.PasswordError):
            password.fits(PASSWORD, damaged)
    with pytest.raises(password.PasswordError, match="at least"):
        password.hashed("short")


def test_the_command_sets_and_removes_it(tmp_path: Path) -> None:
    """A script that prepares devices sets it without a terminal."""
    file, config = tmp_path / "hash", tmp_path / "config.yaml"
    config.write_text(f"version: 1\nweb:\n  password_file: {file}\n")
    done = CliRunner().invoke(app, ["password", "--config", str(config), "--stdin"], input=f"{PASSWORD}\n")
    assert done.exit_code == 0, done.output
    assert password.fits(PASSWORD, file.read_text())
    assert CliRunner().invoke(app, ["password", "--config", str(config), "--remove"]).exit_code == 0
    assert password.read(file) is None


def test_logins_end_by_themselves() -> None:
    """A laptop left open in a hotel is not logged in next morning."""
    logins = Logins()
    secret, _ = logins.open("line", 0)
    assert logins.find(secret, "line", IDLE_NS) is not None
    assert logins.find(secret, "line", 2 * IDLE_NS + 1) is None
    secret, _ = logins.open("line", 0)
    now = 0
    while now < LONGEST_NS:
        assert logins.find(secret, "line", now) is not None
        now += IDLE_NS
    assert logins.find(secret, "line", LONGEST_NS + 1) is None
    many = [logins.open("line", 0)[0] for _ in range(20)]
    assert [logins.find(one, "line", 0) is not None for one in many] == [False] * 4 + [True] * 16


def test_guessing_becomes_slow_but_never_locks_the_owner_out() -> None:
    """A day of guessing tries few passwords; the owner comes in over an SSH tunnel meanwhile."""
    guesses = Guesses()
    tried, now = 0, 0
    while now < 24 * 3600 * S:
        wait = guesses.wait_s("203.0.113.9", now)
        if wait == 0:
            guesses.guessed("203.0.113.9", now)
            tried += 1
        now += max(int(wait * S), S // 10)
    assert tried < 400
    assert guesses.wait_s("127.0.0.1", now) == 0
    many, tried = Guesses(), 0
    for second in range(600):
        for host in range(50):
            address = f"198.51.100.{host + 50 * (second % 5)}"
            if many.wait_s(address, second * S) == 0:
                many.guessed(address, second * S)
                tried += 1
    assert tried <= GUESSES_IN_ALL + 600 / 5 + 1
    assert many.wait_s("127.0.0.1", 600 * S) == 0
    six = Guesses()
    for i in range(FREE_GUESSES + 1):
        six.guessed(f"2001:db8:1:2::{i:x}", 0)
    assert six.wait_s("2001:db8:1:2::ffff", 0) > 0, "one customer has a whole /64"
    assert six.wait_s("2001:db8:1:3::1", 0) == 0


def certificate(folder: Path) -> tuple[Path, Path]:
    made, key = folder / "page.pem", folder / "page.key"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(made)], check=True, capture_output=True)
    return made, key


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here: apt-get install openssl")
def test_with_a_certificate_all_is_encrypted(tmp_path: Path) -> None:
    """On a network nobody reads the password, and the cookie never leaves in clear."""
    made, key = certificate(tmp_path)
    with appliance(tmp_path / "page", web=f"  tls_certificate: {made}\n  tls_key: {key}\n") as page:
        page.certificate = made
        assert page.server.url.startswith("https://")
        cookie = page.log_in().headers["Set-Cookie"]
        assert cookie.startswith("__Host-twinhdr=")
        assert all(word in cookie for word in ("Secure", "HttpOnly", "SameSite=Strict", "Path=/"))
        assert page.ask("GET", "/api/config").status == 200
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with socket.create_connection(("127.0.0.1", page.port)) as plain, pytest.raises(ssl.SSLError):
            old.wrap_socket(plain)
        begin = time.monotonic()
        assert page.server.stop()
        assert time.monotonic() - begin < 5


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here: apt-get install openssl")
@pytest.mark.parametrize("broken", ["missing", "text", "other key"])
def test_a_bad_certificate_costs_the_page_only(tmp_path: Path, broken: str) -> None:
    """A certificate that ran through a text editor must not end the recording."""
    made, key = certificate(tmp_path)
    if broken == "missing":
        made.unlink()
    elif broken == "text":
        made.write_text("no certificate")
    else:
        other = tmp_path / "other"
        other.mkdir()
        key = certificate(other)[1]
    config = tmp_path / "config.yaml"
    config.write_text(f"version: 1\nweb:\n  port: 0\n  tls_certificate: {made}\n  tls_key: {key}\n")
    health = Health()
    assert start_page(load(config).config, health, PreviewHub()) is None
    (condition,) = health.snapshot(time.monotonic_ns()).conditions
    assert (condition.name, condition.ok, condition.severity) == ("page", False, "warning")
    assert str(made) in condition.text
    assert "tls" in condition.text


def test_the_dashboard_asks_only_for_what_there_is() -> None:
    """A panel without data is found on the day that it is needed."""
    board = json.loads((DOCS / "grafana-dashboard.json").read_text())
    named = {row[0] for series in SERIES.values() for row in exported_names(series)}
    named |= {row[0] for row in (CONDITION, BEAT, HEALTHY, READY)}
    labels = {name: row.labels for row in SERIES.values() for name, _ in exported_names(row)}
    labels |= {row[0]: row[2] for row in (CONDITION, BEAT, HEALTHY, READY)}
    for panel in board["panels"]:
        for target in panel["targets"]:
            asked = set(re.findall(r"twinhdr_\w+", target["expr"]))
            assert asked, panel["title"]
            assert asked <= named, panel["title"]
            known = {label for name in asked for label in labels[name]} | {"instance"}
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert shown <= known, panel["title"]
            assert set(re.findall(r"(\w+)=~?\"", target["expr"])) <= known | {"quantile"}, panel["title"]
    places = [tuple(panel["gridPos"].values()) for panel in board["panels"]]
    assert len(set(places)) == len(places)
    assert {"source", "instance"} == {one["name"] for one in board["templating"]["list"]}


@pytest.mark.parametrize(
    ("host", "with_password", "with_tls", "state", "word"),
    [
        ("127.0.0.1", False, False, "info", "read-only"),
        ("127.0.0.1", True, False, "ok", "this machine only"),
        ("0.0.0.0", False, False, "info", "whoever reaches it"),
        ("0.0.0.0", True, False, "warn", "in clear"),
        ("0.0.0.0", True, True, "info", "https"),
    ],
)
def test_doctor_says_who_can_reach_the_page(
    tmp_path: Path, host: str, with_password: bool, with_tls: bool, state: str, word: str
) -> None:
    """Who opens the page to a network learns what that means before somebody else does."""
    if with_password:
        password.write(tmp_path / "hash", LINE)
    tls = "tls_certificate: a.pem, tls_key: a.key, " if with_tls else ""
    config = tmp_path / "config.yaml"
    config.write_text(f"version: 1\nweb: {{host: {host}, {tls}password_file: {tmp_path / 'hash'}}}\n")
    (finding,) = access_findings(load(config).config.web)
    assert finding.state == state
    assert word in f"{finding.found} {finding.advice}"


def test_a_certificate_without_its_key_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    """Else the page would be http where https was meant."""
    config = tmp_path / "config.yaml"
    config.write_text("version: 1\nweb: {tls_certificate: page.pem}\n")
    with pytest.raises(ConfigError, match=r"web\.tls_key"):
        load(config)


SAMPLES = {"name": "one", "path": "hdr/000000.mp4", "stream": "fused", "streams": "fused"}
ENDLESS = {"text/event-stream", "multipart/x-mixed-replace"}


def test_the_description_is_valid_and_complete(reader: Appliance) -> None:
    """Who writes a client from it finds every route, and every reference leads somewhere."""
    told = reader.ask("GET", PATH).json
    assert told["openapi"] == "3.1.0"
    listed = {(method.upper(), path) for path, ways in told["paths"].items() for method in ways}
    assert listed == {(route.method, route.template) for route in reader.server.table}
    text = json.dumps(told)
    for name in re.findall(r'"\$ref": "#/components/schemas/(\w+)"', text):
        assert name in told["components"]["schemas"]
    ids = [way["operationId"] for ways in told["paths"].values() for way in ways.values()]
    assert len(ids) == len(set(ids))
    for path, ways in told["paths"].items():
        for way in ways.values():
            inside = {one["name"] for one in way.get("parameters", []) if one["in"] == "path"}
            assert inside == set(re.findall(r"\{(\w+)\}", path)), path


def test_every_route_answers_as_described(tmp_path: Path) -> None:
    """A description that a program cannot rely on is worse than none."""
    with appliance(tmp_path) as page:
        page.log_in()
        make_session(page.root, "spare")
        bodies = {
            "Password": {"password": PASSWORD},
            "Keep": {"kept": False},
            "Confirmation": {"confirm": "one"},
            "NewText": {"text": "preview: {fps: 7}\n"},
        }
        for route in sorted(
            page.server.table, key=lambda one: (one.access.guarded, one.path == "/api/logout")
        ):
            body = None if route.body is None else bodies[route.body.__name__]
            check_answer(page, route, body)


def check_answer(page: Appliance, route: Route, body: object) -> None:
    path = route.template
    for name in re.findall(r"\{(\w+)\}", path):
        path = path.replace(f"{{{name}}}", "base.css" if route.path == "/page/{name}" else SAMPLES[name])
    if any(one.where == "query" and one.required for one in route.parameters.values()):
        path += "?streams=fused"
    endless = route.answers.get(200) is not None and route.answers[200].content_type in ENDLESS
    if route.access is Access.CHANGE and "kept" not in path and "session" in path:
        page.ask("PUT", "/api/sessions/one/kept", {"kept": False})
    answer = page.ask("HEAD" if endless else route.method, path, body)
    described = route.answers.get(answer.status)
    assert described is not None, (route.method, path, answer.status, answer.body[:200])
    kind = answer.headers.get_content_type() if answer.headers["Content-Type"] else ""
    assert described.content_type in ("*/*", kind) or not described.content_type, (path, kind)
    if described.model is not None:
        assert kind == JSON
        TypeAdapter(described.model).validate_json(answer.body)
    if route.access in (Access.OWNER, Access.CHANGE):
        assert page.ask(route.method, path, body, anonymous=True).status == 401
    if route.body is not None:
        assert page.ask(route.method, path, {"wrong": 1}).status in (400, 401)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here: apt-get install curl")
def test_the_documented_commands_work(tmp_path: Path) -> None:
    """The examples are what people begin with."""
    with appliance(tmp_path / "page") as page:
        name = "s000042-20260722T184212Z"
        make_session(page.root, name)
        for block in re.findall(r"```sh\n(.*?)```", DOC, re.DOTALL):
            script = block.replace("127.0.0.1:8080", f"127.0.0.1:{page.port}").replace(
                "the password", PASSWORD
            )
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert done.returncode == 0, (block, done.stdout, done.stderr)
        assert not (page.root / name).exists(), "the last example deletes it"
