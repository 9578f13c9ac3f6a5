"""The process around a simulated camera: its sockets, its two threads, its wire."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import selectors
import socket
import sys
import threading
import time
from pathlib import Path

from hw.camera import CameraError
from hw.simulator.gige import gvcp
from hw.simulator.gige import memory as at
from hw.simulator.gige.device import Device
from hw.simulator.gige.features import SOURCES
from hw.simulator.gige.film import load
from hw.simulator.gige.gvsp import Stream
from hw.simulator.gige.options import Options
from hw.simulator.gige.projector import Projector

log = logging.getLogger(__name__)

_HEARTBEAT_CHECK_S = 0.25


class Server:
    """One camera on the network. Raises CameraError where its address cannot be had, SceneError."""

    def __init__(self, options: Options) -> None:
        self._film = load(options.film, options.film_cache)
        self.device = Device(options)
        self._control = gvcp.Control(self.device.memory, self.device)
        self._stream = Stream(options.interface, options.link_mbps)
        self._sockets = _control_sockets(options.interface)
        self._line = None if options.line is None else _line_socket(str(options.line))
        self.device.memory.put_word(at.STREAM_SOURCE_PORT, self._stream.port)
        self.device.fire_test = self._stream.fire_test_packet
        self.device.resend_packets = lambda asked, route: self._stream.resend(
            asked.block, asked.first, asked.last, route
        )

    def serve(self, stopping: threading.Event) -> None:
        options = self.device.options
        with contextlib.ExitStack() as stack:
            truth = None
            if options.truth is not None:
                truth = stack.enter_context(options.truth.open("a"))
            projector = Projector(self.device, self._film, self._stream, truth)
            thread = threading.Thread(target=projector.run, name="projector")
            thread.start()
            try:
                self._answer_until(stopping)
            finally:
                projector.stop()
                thread.join()
                self._close()

    def _answer_until(self, stopping: threading.Event) -> None:
        print(f"READY {self.device.options.interface} {self.device.options.serial}", flush=True)
        with selectors.DefaultSelector() as ready:
            for each in self._sockets:
                ready.register(each, selectors.EVENT_READ, self._request)
            if self._line is not None:
                ready.register(self._line, selectors.EVENT_READ, self._edge)
            while not stopping.is_set():
                # First the time, then the mail: a process that was stopped heard nothing meanwhile, as a
                # camera whose cable was pulled.
                if self._control.check_heartbeat(time.monotonic_ns()):
                    log.warning("the controlling application fell silent; nothing is sent any more")
                for key, _ in ready.select(_HEARTBEAT_CHECK_S):
                    key.data(key.fileobj)

    def _request(self, source: socket.socket) -> None:
        data, peer = source.recvfrom(2048)
        with self.device.changed:
            answer = self._control.answer(data, peer, time.monotonic_ns())
        if answer is not None:
            with contextlib.suppress(ConnectionRefusedError):
                self._sockets[0].sendto(answer, peer)

    def _edge(self, source: socket.socket) -> None:
        """``Line0 123456789``: the wire and the ns of CLOCK_MONOTONIC at which it rose (none: now)."""
        text = source.recv(256).decode(errors="replace").split()
        if not text or text[0] not in SOURCES or (len(text) > 1 and not text[1].isdigit()):
            print(f"not an edge: {text}; expected 'Line0' or 'Line0 TIME_NS'", file=sys.stderr)
            return
        t_ns = int(text[1]) if len(text) > 1 else time.monotonic_ns()
        if not self.device.edge(SOURCES[text[0]], t_ns):
            log.info("%s rose and started nothing", text[0])

    def _close(self) -> None:
        self._stream.close()
        for each in self._sockets:
            each.close()
        if self._line is not None:
            self._line.close()
        if self.device.options.line is not None:
            self.device.options.line.unlink(missing_ok=True)


def _control_sockets(interface: str) -> list[socket.socket]:
    """The device's own address first, then the broadcasts by which it is found."""
    addresses = [interface, "255.255.255.255"]
    if ipaddress.IPv4Address(interface).is_loopback:
        addresses.append("127.255.255.255")
    sockets: list[socket.socket] = []
    for address in addresses:
        each = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if address != interface:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            each.bind((address, gvcp.PORT))
        except OSError as error:
            for other in (*sockets, each):
                other.close()
            raise CameraError(
                f"simulated camera: cannot listen on {address}:{gvcp.PORT}: {error.strerror}; give an "
                "address of this machine that no other simulated camera uses (ip addr add 127.0.0.2/8 dev lo)"
            ) from error
        sockets.append(each)
    return sockets


def _line_socket(path: str) -> socket.socket:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    Path(path).unlink(missing_ok=True)
    try:
        line.bind(path)
    except OSError as error:
        line.close()
        raise CameraError(f"simulated camera: cannot listen on the wire {path}: {error.strerror}") from error
    return line
