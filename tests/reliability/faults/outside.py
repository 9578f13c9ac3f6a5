"""What people and other machines do to it: slow readers at the page, configurations that cannot be used."""

from __future__ import annotations

import contextlib
import selectors
import shutil
import signal
import socket
import threading
from collections.abc import Iterator

from tests.reliability.bench import Bench
from tests.reliability.recorder import Recorder
from tests.reliability.table import Row, fault

READERS = 50
BROKEN = "version: 1\nhdr: {segment_s: soon}\nrig: {width: 321}\n"


class SlowReaders:
    """``READERS`` connections that ask for the moving picture and take a byte a second of it."""

    def __init__(self, port: int) -> None:
        self._stop = threading.Event()
        self.sockets: list[socket.socket] = []
        self.answered: dict[int, bytes] = {}
        for number in range(READERS):
            one = socket.socket()
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            one.connect(("127.0.0.1", port))
            path = "/api/events" if number % 5 == 4 else "/preview/fused.mjpg"
            one.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            one.setblocking(False)
            self.sockets.append(one)
        self._thread = threading.Thread(target=self._run, name="slow-readers", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        for one in self.sockets:
            one.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as ready:
            for number, one in enumerate(self.sockets):
                ready.register(one, selectors.EVENT_READ, number)
            while not self._stop.wait(1.0):
                for key, _ in ready.select(0.0):
                    number, one = key.data, self.sockets[key.data]
                    size = 16 if number not in self.answered else 1
                    with contextlib.suppress(OSError):
                        got = one.recv(size)
                        self.answered.setdefault(number, got)
                        if not got:
                            ready.unregister(one)


@contextlib.contextmanager
def slow_readers(port: int) -> Iterator[SlowReaders]:
    readers = SlowReaders(port)
    try:
        yield readers
    finally:
        readers.stop()


@fault(
    "page_hammered",
    "page hammered by 50 slow readers",
    "50 connections ask for the moving picture and the figures and take a byte a second, for 15 s",
)
def page_hammered(bench: Bench) -> Row:
    with bench.trial() as trial:
        trial.begin()
        with slow_readers(trial.recorder.port) as readers:
            trial.lasts(15.0)
            refused = sum(answer.startswith(b"HTTP/1.1 503") for answer in readers.answered.values())
            assert len(readers.answered) == READERS
            assert refused >= READERS * 4 // 5 - 8, readers.answered
        trial.told = f"503 to {refused} of them: all places for this are taken; close a viewer and try again"
        return trial.finish(suffers={}, tells=())


@fault(
    "config_broken_running",
    "configuration broken while running",
    "a file that cannot be used is put in place and read (SIGHUP), and corrected 3 s later",
)
def config_broken_running(bench: Bench) -> Row:
    with bench.trial() as trial:
        trial.begin()
        recorder = trial.recorder
        recorder.overlay.write_text(BROKEN)
        assert recorder.process is not None
        recorder.process.send_signal(signal.SIGHUP)
        trial.says("configuration", within_s=5.0)
        trial.lasts(3.0)
        recorder.overlay.unlink()
        recorder.process.send_signal(signal.SIGHUP)
        trial.quiet()
        told = trial.plain(trial.told)
        row = trial.finish(suffers={}, tells=("configuration",))
        return Row(row.lost, None, told)


@fault(
    "config_broken_boot",
    "configuration broken at the start",
    "the recorder is started with a file that cannot be used, on a device that never recorded before",
    short=True,
)
def config_broken_boot(bench: Bench) -> Row:
    recorder = Recorder(bench.folder, bench.folder / "sessions")
    recorder.overlay.write_text(BROKEN)
    recorder.start()
    assert recorder.wait(20.0 * bench.room) == 78
    told = recorder.line("hdr.segment_s")
    assert "Traceback" not in recorder.text()
    assert not (bench.folder / "sessions").exists()
    note = "nothing is filmed; systemd does not start it again, the exit code being 78"
    return Row({}, None, told, note=note, otherwise="a person has corrected it")


@fault(
    "config_broken_later",
    "configuration broken at a later start",
    "the same on a device that has recorded for a minute before: it goes on with what it recorded with",
)
def config_broken_later(bench: Bench) -> Row:
    state = bench.folder / "state"
    with bench.trial(environment={"STATE_DIRECTORY": str(state)}) as trial:
        state.mkdir(exist_ok=True)
        kept = state / "last-good" / "config.yaml"
        trial.recorder.until(kept.exists, 60.0 + 30.0 * bench.room, "a configuration that has proven itself")
        assert trial.recorder.end() == 0
    shutil.rmtree(bench.folder / "sessions")
    recorder = trial.recorder
    recorder.overlay.write_text(BROKEN)
    with bench.trial(recorder) as trial:
        told = trial.says("configuration", within_s=20.0)
        trial.watch.begin()
        row = trial.finish(suffers={}, tells=("configuration",))
    return Row(row.lost, None, trial.plain(told))
