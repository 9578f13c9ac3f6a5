"""The trigger board for tests: its own firmware, built here, on an emulated ATmega328P.

``Build`` compiles, ``run_script`` runs a board as fast as it can on orders known beforehand, ``LiveBoard`` at
its own speed with a serial port that any program can open. The fixtures ``trigger_build`` and ``board`` (a
LiveBoard) are in the conftest.py beside this::

    def test_something(board: LiveBoard) -> None:
        Board(board.port).start(pulse_us=1000)
        rise = board.wait_for_edges(2)

``LiveBoard(build, folder, forward={0: path, 1: path})`` tells each simulated camera's socket of its edges.
"""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from hw.trigger.codes import Command
from hw.trigger.frame import Reply, ReplyReader, encode

HERE = Path(__file__).parent
FIRMWARE = HERE.parents[2] / "hw" / "trigger" / "firmware"
SIMULATOR = HERE / "trigger_sim" / "trigger_sim.c"
CYCLES_PER_TICK = 8
CYCLES_PER_MS = 16_000

MISSING = [tool for tool in ("avr-gcc", "gcc", "make") if shutil.which(tool) is None]
HEADER = Path("/usr/include/simavr/sim_avr.h")
NEEDS_EMULATOR = pytest.mark.skipif(
    bool(MISSING) or not HEADER.exists(),
    reason=f"missing: {', '.join(MISSING) or HEADER} (packages gcc-avr avr-libc libsimavr-dev libelf-dev)",
)


@dataclass(frozen=True, slots=True)
class PinEdge:
    """``line`` 0 is the reference's, 1 the secondary's; ``host_ns`` is 0 unless the board is live."""

    cycle: int
    line: int
    level: int
    host_ns: int


@dataclass(frozen=True, slots=True)
class Record:
    """What a board did: edges, lines it sent with the cycle of their end, cycles of watchdog resets."""

    edges: tuple[PinEdge, ...]
    sent: tuple[tuple[int, str], ...]
    resets: tuple[int, ...]

    @property
    def replies(self) -> list[Reply]:
        """What the host would make of it."""
        return list(ReplyReader().feed("".join(f"{text}\n" for _, text in self.sent).encode("latin-1")))

    def rises(self, line: int) -> list[int]:
        """Cycles at which a line rose."""
        return [edge.cycle for edge in self.edges if edge.line == line and edge.level]


class Build:
    """A folder with the emulator, and with firmware as it is built for users or with something broken."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._firmware: dict[str, Path] = {}
        self.simulator = folder / "trigger_sim"
        warnings = ("-O2", "-Wall", "-Wextra", "-Werror")
        libraries = ("-lsimavr", "-lelf", "-lutil", "-lm")
        _call("gcc", *warnings, "-o", str(self.simulator), str(SIMULATOR), *libraries)

    def firmware(self, mutant: str = "") -> Path:
        """The .elf file, built once. ``mutant`` is the macro of a fault: MUTANT_..."""
        if mutant not in self._firmware:
            folder = self._folder / (mutant or "firmware")
            defines = f"DEFINES=-D{mutant}" if mutant else "DEFINES="
            _call("make", "-C", str(FIRMWARE), f"BUILD={folder}", defines)
            self._firmware[mutant] = folder / "twinhdr-trigger.elf"
        return self._firmware[mutant]


def _call(*words: str) -> None:
    ended = subprocess.run(words, capture_output=True, text=True)
    assert ended.returncode == 0, f"{' '.join(words)}\n{ended.stdout}{ended.stderr}"


def rx(data: bytes) -> str:
    """The order that sends bytes to the board."""
    return "".join(f"rx {data[i : i + 2048].hex()}\nidle\n" for i in range(0, len(data), 2048))


def ask(sequence: int, command: Command, *arguments: int, cycles: int = 3 * CYCLES_PER_MS) -> str:
    """The orders that send a request and let the board go on for so long."""
    return f"{rx(encode(sequence & 0xFF, command, arguments))}run {cycles}\n"


def run_script(build: Build, orders: str, mutant: str = "") -> Record:
    """Run a board from power-on through ``orders`` (trigger_sim.c), as fast as the machine can."""
    ended = subprocess.run(
        [build.simulator, build.firmware(mutant)],
        input=orders, capture_output=True, text=True, encoding="latin-1", timeout=240,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    edges: list[PinEdge] = []
    sent: list[tuple[int, str]] = []
    resets: list[int] = []
    for line in ended.stdout.split("\n"):
        kind, _, rest = line.partition(" ")
        if kind == "E":
            edges.append(PinEdge(*map(int, rest.split())))
        elif kind == "T":
            cycle, _, text = rest.partition(" ")
            sent.append((int(cycle), text))
        elif kind == "R":
            resets.append(int(rest))
    return Record(tuple(edges), tuple(sent), tuple(resets))


class LiveBoard:
    """A board at 16 MHz of the wall clock. ``port`` is what a host opens; it outlives a power cycle."""

    def __init__(
        self, build: Build, folder: Path, *, mutant: str = "", forward: Mapping[int, Path] | None = None
    ) -> None:
        self.port = str(folder / "board")
        sockets = [w for line, path in (forward or {}).items() for w in ("--forward", str(line), str(path))]
        self._words = [str(build.simulator), "--pty", self.port, *sockets, str(build.firmware(mutant))]
        self._queue: queue.Queue[PinEdge] = queue.Queue()
        self.edges: list[PinEdge] = []
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self.plug_in()

    def plug_in(self) -> None:
        """Give it power. Returns when its serial port is there."""
        started = subprocess.Popen(self._words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._process = started
        there = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(started, there), name="edges")
        self._reader.start()
        assert there.wait(10), "the emulator did not start"

    def unplug(self) -> None:
        """Take power and serial port away."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        assert self._reader is not None
        self._reader.join()
        Path(self.port).unlink(missing_ok=True)

    def order(self, *orders: str) -> None:
        """Orders of trigger_sim.c."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write("".join(f"{order}\n" for order in orders))
        self._process.stdin.flush()

    def freeze(self, seconds: float) -> None:
        """Keep the board from running for a while, as a USB chip that hangs; returns at once."""
        assert self._process is not None
        process = self._process
        os.kill(process.pid, 19)  # SIGSTOP
        threading.Timer(seconds, lambda: os.kill(process.pid, 18)).start()

    def wait_for_edges(self, count: int, timeout_s: float = 10.0) -> Sequence[PinEdge]:
        """The next ``count`` edges that nobody has waited for; AssertionError when they do not come."""
        deadline = time.monotonic() + timeout_s
        found: list[PinEdge] = []
        while len(found) < count:
            try:
                found.append(self._queue.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                raise AssertionError(f"{count} edges expected within {timeout_s} s, got {found}") from None
        return found

    def _read(self, process: subprocess.Popen[str], there: threading.Event) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                kind, *words = line.split()
                if kind == "PTY":
                    there.set()
                elif kind == "E":
                    edge = PinEdge(*map(int, words))
                    self.edges.append(edge)
                    self._queue.put(edge)
