"""What systemd hears over its socket."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.supervise.notify import LONGEST_STATUS, Notifier


@pytest.fixture(params=["path", "abstract"])
def heard(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A socket as systemd binds it, and what it writes into NOTIFY_SOCKET."""
    path = tmp_path / "notify"
    address = str(path) if request.param == "path" else f"@twinhdr-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(address if request.param == "path" else "\0" + address[1:])
        server.settimeout(5.0)
        yield address, server


def said(server: socket.socket) -> list[str]:
    return server.recv(4096).decode().split("\n")


def test_each_message_as_systemd_reads_it(heard: tuple[str, socket.socket]) -> None:
    """One wrong letter, and the service times out while it records."""
    address, server = heard
    notifier = Notifier(address, now_ns=lambda: 12_345_678_999)
    notifier.ready("recording")
    assert said(server) == ["READY=1", "STATUS=recording"]
    notifier.alive()
    assert said(server) == ["WATCHDOG=1"]
    notifier.extend(2.5)
    assert said(server) == ["EXTEND_TIMEOUT_USEC=2500000"]
    notifier.reloading()
    assert said(server) == ["RELOADING=1", "MONOTONIC_USEC=12345678"]
    notifier.stopping()
    assert said(server) == ["STOPPING=1"]
    notifier.close()
    notifier.close()
    notifier.alive()  # a thread that is late: nobody hears it, nothing fails


def test_a_status_is_one_line_and_told_when_it_changed(heard: tuple[str, socket.socket]) -> None:
    """A line break in the name of a camera would be read as another assignment."""
    address, server = heard
    notifier = Notifier(address)
    notifier.status("waiting for cameras:\nREADY=1")
    assert said(server) == ["STATUS=waiting for cameras: READY=1"]
    notifier.status("waiting for cameras: READY=1")
    notifier.status("x" * 4000)
    assert said(server) == ["STATUS=" + "x" * LONGEST_STATUS]
    notifier.close()


def test_the_environment_decides(tmp_path: Path) -> None:
    """In a terminal there is nobody to tell; a watchdog meant for another process is not ours to feed."""
    assert not Notifier.from_environment({}).present
    ours = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "10000000", "WATCHDOG_PID": str(os.getpid())}
    assert Notifier.from_environment(ours).present
    assert Notifier.from_environment(ours).watchdog_s == 10.0
    assert Notifier.from_environment(ours | {"WATCHDOG_PID": "1"}).watchdog_s is None
    assert Notifier.from_environment(ours | {"WATCHDOG_USEC": "soon"}).watchdog_s is None


@pytest.mark.parametrize("address", ["vsock:2:1234", "relative"])
def test_an_address_that_cannot_be_told_costs_nothing(address: str) -> None:
    """A virtual machine's manager may listen on vsock: recording must go on without it."""
    notifier = Notifier(address)
    assert not notifier.present
    notifier.ready("recording")


def test_a_socket_that_is_gone_is_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Once a second for ever would fill the log."""
    notifier = Notifier(str(tmp_path / "nobody"))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            notifier.alive()
    assert len(caplog.records) == 1


def test_a_busy_systemd_makes_nobody_wait(tmp_path: Path) -> None:
    """The thread that tells is the one that watches the stages."""
    path = tmp_path / "full"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(path))
        notifier = Notifier(str(path))
        for _ in range(5000):  # more than the queue of a socket holds, and nobody reads
            notifier.alive()
        assert said(server) == ["WATCHDOG=1"]
        notifier.close()
