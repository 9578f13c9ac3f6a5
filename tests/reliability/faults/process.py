"""The process itself: killed, stopped, out of memory, short of memory, at another time."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

from edge.store.catalogue import read_entry
from tests.reliability import memory, shim
from tests.reliability.bench import Bench, Trial
from tests.reliability.losses import STREAMS, count, losses, sessions
from tests.reliability.memory import Group, group
from tests.reliability.recorder import Recorder
from tests.reliability.supervisor import Supervisor
from tests.reliability.table import Row, fault

KILLED_LOSS = {"reference masters": 30, "secondary masters": 15, "fused video": 30}
"""The published figure: at most one second of each stream."""
HUNG_PROCESS_S = 15.0
RESTARTED_S = 10.0
DAY_S = 86_400.0
EATER = """
import time
open("/proc/self/oom_score_adj", "w").write("-1000")
time.sleep(0.5)
held = []
while True:
    held.append(bytearray(b"x" * (1 << 20)))
"""


@contextlib.contextmanager
def supervised(bench: Bench) -> Iterator[tuple[Trial, Supervisor]]:
    """A trial whose recorder is started again when it ends."""
    recorder = Recorder(bench.folder, bench.folder / "sessions")
    supervisor = Supervisor(recorder)
    trial = Trial(recorder, bench.room)
    try:
        yield trial, supervisor
    finally:
        supervisor.stop()
        trial.watch.stop()
        recorder.kill()


def restarted(trial: Trial, supervisor: Supervisor, begin_s: float, within_s: float) -> Row:
    """Both sessions are looked at when the second one records."""
    torn = trial.session
    assert torn is not None
    end_s = begin_s + within_s * trial.room
    while trial.session == torn or not all(
        count(trial.session, kind) for kind in ("reference", "secondary", "hdr")
    ):
        assert time.monotonic() < end_s, f"not recording within {within_s} s:\n{trial.recorder.text()}"
        time.sleep(0.05)  # looks at another process; there is nothing to wait on
    trial.recovery_s = time.monotonic() - begin_s
    trial.filming(more=30)
    supervisor.stop()
    assert supervisor.starts == 2
    assert trial.recorder.end() == 0, trial.recorder.text()
    for path in sessions(trial.recorder.root)[1:]:
        trial.row(losses(path), {}, "", ())
    entry = read_entry(torn)
    assert entry is not None
    assert entry.state in ("torn", "clean"), entry
    trial.told = f"twinhdr sessions and the page: the session is {entry.state}"
    note = "at its end, with what was on its way; nothing is filmed until it records again"
    return trial.row(losses(torn), KILLED_LOSS, note, STREAMS)


@fault(
    "killed",
    "process killed (kill -9)",
    "SIGKILL in mid-recording; a stand-in for systemd starts it again",
)
def killed(bench: Bench) -> Row:
    with supervised(bench) as (trial, supervisor):
        trial.begin(more=60)
        assert trial.recorder.process is not None
        begin_s = time.monotonic()
        trial.recorder.process.kill()
        return restarted(trial, supervisor, begin_s, RESTARTED_S)


@fault(
    "process_hung", "process hung", "SIGSTOP, so that no thread of it runs; the stand-in's watchdog finds out"
)
def process_hung(bench: Bench) -> Row:
    with supervised(bench) as (trial, supervisor):
        trial.begin(more=60)
        assert trial.recorder.process is not None
        begin_s = time.monotonic()
        trial.recorder.process.send_signal(signal.SIGSTOP)
        row = restarted(trial, supervisor, begin_s, HUNG_PROCESS_S)
        assert supervisor.bitten == 1
        return row


@fault(
    "memory_short",
    "memory pressure",
    "a control group that leaves 64 MB beyond what the process holds, for its files in memory, too",
    missing=memory.missing,
)
def memory_short(bench: Bench) -> Row:
    with group() as limited, bench.trial() as trial:
        assert trial.recorder.process is not None
        limited.add(trial.recorder.process.pid)
        trial.begin()
        limited.limit(limited.own_bytes + 64_000_000)
        trial.lasts(30.0)
        trial.told = "nothing"
        return trial.finish(suffers={}, tells=())


@fault(
    "memory_out",
    "out of memory",
    "another program takes what its control group leaves, and the kernel kills the recorder",
    missing=memory.missing,
)
def memory_out(bench: Bench) -> Row:
    with group() as limited, supervised(bench) as (trial, supervisor):
        process = trial.recorder.process
        assert process is not None
        limited.add(process.pid)
        trial.begin(more=60)
        begin_s = time.monotonic()
        squeeze(limited, process)
        return restarted(trial, supervisor, begin_s, RESTARTED_S)


def squeeze(limited: Group, process: subprocess.Popen[str]) -> None:
    """Another program in the group takes what is left, and the kernel kills the recorder for it."""
    limited.limit(limited.own_bytes + (8 << 20))
    with subprocess.Popen([sys.executable, "-c", EATER]) as eater:
        limited.add(eater.pid)
        try:
            process.wait(20.0)
        finally:
            eater.kill()
    limited.limit(None)


def clock_jumped(bench: Bench, seconds: float) -> Row:
    moved = shim.Shim(bench.folder)
    with bench.trial(environment=moved.environment) as trial:
        trial.begin()
        moved.move_clock(seconds)
        trial.lasts(2.0)
        said = [text for text in trial.watch.events if "clock" in text]
        assert said, f"no word of the clock: {trial.watch.events}"
        trial.told = said[-1]
        row = trial.finish(suffers={}, tells=(), after=60)
    with bench.trial(environment=moved.environment) as again:
        again.filming(more=2)
        assert again.recorder.end() == 0
    names = [path.name for path in sessions(bench.folder / "sessions")]
    assert len(names) == 2
    assert names == sorted(names), f"sessions are not in the order of their names: {names}"
    assert all(name.isascii() for name in names)
    return row


@fault(
    "clock_forward",
    "clock jumps a day ahead",
    "the wall clock that the process sees is set 24 h ahead, then another session is begun",
    missing=shim.missing,
)
def clock_forward(bench: Bench) -> Row:
    return clock_jumped(bench, DAY_S)


@fault("clock_back", "clock jumps a day back", "the same, 24 h back", missing=shim.missing)
def clock_back(bench: Bench) -> Row:
    return clock_jumped(bench, -DAY_S)
