"""The page's server beside the recording: started again where it dies, named where it hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from edge.health.health import Health
from edge.supervise.page import HUNG_S, TRY_S, PageKeeper
from edge.viewfinder.preview import PreviewHub
from edge.web.server import WebServer

PATIENCE_S = 20.0


class Servers:
    """Real servers on free ports; ``there`` False: the address is not there yet."""

    def __init__(self) -> None:
        self.health, self.there = Health(), True
        self.started: list[WebServer] = []

    def start(self) -> WebServer | None:
        if not self.there:
            return None
        server = WebServer(self.health, PreviewHub(), port=0)
        server.start()
        self.started.append(server)
        return server

    def complaint(self) -> str:
        rows = [c for c in self.health.snapshot(0).conditions if c.name == "page server" and not c.ok]
        return rows[0].text if rows else ""


@pytest.fixture
def servers() -> Iterator[Servers]:
    made = Servers()
    yield made
    for server in made.started:
        server.stop()


def test_a_server_that_died_is_started_again(servers: Servers) -> None:
    """Who looks after the recorder would see nothing until it is restarted, which costs the recording."""
    keeper = PageKeeper(servers.start, servers.health)
    keeper.poll(0.0)
    servers.started[0].stop()
    assert not servers.started[0].alive
    keeper.poll(1.0)
    assert "ended" in servers.complaint()
    assert becomes(keeper, 1.3, lambda: len(servers.started) == 2 and not servers.complaint())
    assert servers.started[1].alive
    assert servers.health.snapshot(0).totals["stage_restarts"][("page",)] == 1
    keeper.close()
    assert not servers.started[1].alive


def test_a_server_that_hangs_is_named(servers: Servers) -> None:
    """A page that loads for ever says nothing about a recording that goes on."""
    keeper = PageKeeper(servers.start, servers.health)
    hold, held, answered = threading.Event(), threading.Event(), threading.Event()

    class Hold(threading.Event):
        def set(self) -> None:
            held.set()
            hold.wait(PATIENCE_S)

    servers.started[0].ask(Hold())  # a handler that does not come back, in the thread that serves
    assert held.wait(PATIENCE_S)
    keeper.poll(0.0)
    keeper.poll(HUNG_S + 0.1)
    assert "not answered for 10 s" in servers.complaint()
    hold.set()
    servers.started[0].ask(answered)
    assert answered.wait(PATIENCE_S)
    for now_s in (HUNG_S + 1.0, HUNG_S + 1.1):
        keeper.poll(now_s)
    assert servers.complaint() == ""
    assert len(servers.started) == 1, "it came back by itself"


def test_an_address_that_comes_late_is_tried_again(servers: Servers) -> None:
    """At boot the network is later than the recorder, which does not wait for it."""
    servers.there = False
    keeper = PageKeeper(servers.start, servers.health)
    keeper.poll(0.0)
    servers.there = True
    keeper.poll(TRY_S - 0.1)
    assert servers.started == []
    assert becomes(keeper, TRY_S, lambda: len(servers.started) == 1)


def test_a_page_that_cannot_start_costs_only_itself(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of the page's in the thread that feeds the watchdog would end the recording."""

    def start() -> WebServer | None:
        if servers.started:
            raise ZeroDivisionError("a bug")
        return servers.start()

    keeper = PageKeeper(start, servers.health)
    servers.started[0].stop()
    keeper.poll(1.0)
    assert becomes(keeper, 2.0, lambda: "does not start again" in servers.complaint())
    assert "ZeroDivisionError" in caplog.text


def becomes(keeper: PageKeeper, now_s: float, true: Callable[[], bool]) -> bool:
    """Polled until it is so: a server is started in a thread."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        keeper.poll(now_s)
        if true():
            return True
        time.sleep(0.01)
    return False
