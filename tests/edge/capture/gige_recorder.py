"""``twinhdr run`` as a process of an ordinary user, and what its files and its page say of two cameras."""

from __future__ import annotations

import bisect
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.hw.gige.gige_net import DEDICATED, ROOT, GigeNet, SimulatedCamera, metric

LONG = os.environ.get("TWINHDR_LONG") == "1"
WIDTH, HEIGHT = (960, 540) if LONG else (480, 270)
"""The short form films a quarter of the pixels, so that it holds on two busy cores."""
SENSOR = ("--width", str(WIDTH), "--height", str(HEIGHT))
PAGE = "http://127.0.0.1:8080"
OVERLAY = """\
version: 1
rig: {{width: {width}, height: {height}}}
# What is tested is the way into the recorder, not how fast this machine fuses and encodes.
fuse: {{ladder: [reference]}}
hdr: {{codec: av1, preset: 13}}
preview: {{fps: 1, width: 320}}
web: {{host: 127.0.0.1, port: 8080}}
store: {{root: {root}, min_free_gb: 0, min_free_share: 0}}
"""
Lines = list[dict[str, Any]]


class Recorder:
    """One recording with the shipped GigE configuration; ``more`` is YAML on top of it."""

    def __init__(self, net: GigeNet, name: str, *, seconds: float | None = None, more: str = "") -> None:
        self.net = net
        folder = net.folder / name
        (folder / "conf.d").mkdir(parents=True)
        (folder / "twinhdr.yaml").write_text((ROOT / "systemd" / "config-gige.yaml").read_text())
        (folder / "conf.d" / "10-test.yaml").write_text(
            OVERLAY.format(root=folder, width=WIDTH, height=HEIGHT)
        )
        if more:
            (folder / "conf.d" / "20-more.yaml").write_text("version: 1\n" + more)
        for path in (folder, folder / "conf.d"):
            path.chmod(0o777)
        self.session = folder / "session"
        self.log = folder / "log"
        duration = [] if seconds is None else ["--duration", str(seconds)]
        options = ["--config", str(folder / "twinhdr.yaml"), "--session", str(self.session), *duration]
        with self.log.open("w") as log:
            command = [sys.executable, "-m", "edge.cli", "run", *options]
            self.process = net.popen(command, first=DEDICATED, stdout=log, stderr=subprocess.STDOUT)

    def text(self) -> str:
        return self.log.read_text()

    def wait(self, timeout_s: float) -> int:
        """The exit code. A process that does not end is killed, and the test fails."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            pytest.fail(f"the recorder did not end within {timeout_s} s:\n{self.text()}")

    def end(self, timeout_s: float = 15.0) -> int:
        """Ask it to end, as systemd would."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def abandon(self) -> None:
        """After a failed test."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def lines(self, kind: str | None = None) -> Lines:
        """Whole lines of frames.jsonl."""
        path = self.session / "frames.jsonl"
        text = path.read_text() if path.exists() else ""
        whole = text[: text.rfind("\n") + 1].splitlines()
        rows = [json.loads(line) for line in whole]
        return [row for row in rows if kind is None or row["kind"] == kind]

    def count(self, kind: str) -> int:
        path = self.session / "frames.jsonl"
        return path.read_bytes().count(f'"kind":"{kind}"'.encode()) if path.exists() else 0

    def until(self, happened: Callable[[], bool], timeout_s: float, what: str) -> float:
        """Seconds until ``happened``; fails the test when that takes longer than ``timeout_s``."""
        begin_s = time.monotonic()
        while not happened():
            if self.process.poll() is not None:
                pytest.fail(f"the recorder ended ({self.process.returncode}) before {what}:\n{self.text()}")
            if time.monotonic() > begin_s + timeout_s:
                pytest.fail(f"no {what} within {timeout_s} s:\n{self.text()}")
            time.sleep(0.05)  # polls another process; there is nothing to wait on
        return time.monotonic() - begin_s

    def filming(self, *cameras: str, more: int = 5, timeout_s: float = 30.0) -> float:
        """Seconds until each of ``cameras`` has given ``more`` new frames."""
        goal = {camera: self.count(camera) + more for camera in cameras}
        wanted = "frames of " + " and ".join(cameras)
        return self.until(lambda: all(self.count(c) >= n for c, n in goal.items()), timeout_s, wanted)

    def metrics(self) -> str:
        return self.net.fetch(f"{PAGE}/metrics") or ""

    def last_metrics(self, timeout_s: float) -> str:
        """/metrics as it was last, shortly before a recording of given length ended by itself and well."""
        end_s, last = time.monotonic() + timeout_s, ""
        while self.process.poll() is None and time.monotonic() < end_s:
            last = self.metrics() or last
            time.sleep(0.25)  # polls another process; there is nothing to wait on
        assert self.wait(0.0) == 0, self.text()
        return last

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.net.fetch(f"{PAGE}/api/status") or "{}")
        return answer

    def drops(self, *, stage: str) -> dict[str, int]:
        """Frames lost in ``stage``, by camera and cause."""
        out: dict[str, int] = {}
        for row in self.lines("drop"):
            if row["stage"] == stage:
                key = f"{row['camera']} {row['cause']}"
                out[key] = out.get(key, 0) + int(row["count"])
        return out

    def unaccounted(self, camera: str) -> set[int]:
        """Numbers of a camera's frames between its first and its last of which no line tells."""
        told = {line["seq"] for line in self.lines(camera)}
        span = range(min(told), max(told) + 1)
        for row in self.lines("drop"):
            if row["camera"] == camera:
                told.update(range(row["seq"], row["seq"] + row["count"]))
        return set(span) - told

    def late(self) -> int:
        """Frames that a stage behind the cameras was too slow for: this machine's, not the network's."""
        return sum(row["count"] for row in self.lines("drop") if row["cause"] == "too_slow")


def captured(text: str, camera: str) -> float:
    """Frames that never became usable, by /metrics: the network's and the camera's losses, no stage's."""
    return metric(text, "twinhdr_dropped_frames_total", stage=f"{camera} capture")


class Truth:
    """What a simulated camera knows of its frames. Its clock may have begun anew in between."""

    def __init__(self, camera: SimulatedCamera, tick_ratio: float = 1.0) -> None:
        self.rows = [row for row in camera.truth() if row["stamp"] is not None]
        self._ratio = tick_ratio

    @property
    def held_up(self) -> int:
        """Exposures that the simulated camera itself missed because the machine was too busy to be one."""
        return sum(
            b["number"] - a["number"] - 1
            for a, b in itertools.pairwise(self.rows)
            if a["acquisition"] == b["acquisition"]
        )

    def of(self, line: dict[str, Any]) -> dict[str, Any]:
        """The frame that a line of the session tells of: within a millisecond on the camera's clock."""
        row = self.noted(line)
        assert row is not None, f"{line}: sent by a camera that was killed before it noted it"
        return row

    def noted(self, line: dict[str, Any]) -> dict[str, Any] | None:
        """As ``of``; None for the last frame of a killed camera, which is noted after it was sent."""
        since_ns, until_ns = line["t_host_ns"] - 500_000_000, line["t_host_ns"]
        low = bisect.bisect_left(self.rows, since_ns, key=lambda row: row["begin_ns"])
        high = bisect.bisect_right(self.rows, until_ns, key=lambda row: row["begin_ns"])
        off = {i: abs(self._stamp(self.rows[i]) - line["t_device_ns"]) for i in range(low, high)}
        assert off, f"nothing was filmed before {line} arrived"
        nearest = min(off, key=lambda i: off[i])
        if off[nearest] >= 1e6 * self._ratio and self._is_last(nearest):
            return None
        assert off[nearest] < 1e6 * self._ratio, f"{line}: the nearest frame is {self.rows[nearest]}"
        return self.rows[nearest]

    def _is_last(self, at: int) -> bool:
        """Whether the camera began anew after this frame: it counts from 0 again."""
        return at + 1 == len(self.rows) or self.rows[at + 1]["number"] <= self.rows[at]["number"]

    def middle_ns(self, row: dict[str, Any]) -> float:
        """Middle of an exposure on the machine's clock."""
        return float(row["begin_ns"]) + float(row["exposure_us"]) * 500.0

    def _stamp(self, row: dict[str, Any]) -> float:
        return float(row["stamp"]) + float(row["exposure_us"]) * 500.0 * self._ratio


def wrong_exposures(lines: Lines, truth: Truth) -> Lines:
    """Frames whose line names another exposure or gain than they were taken with."""
    wrong = []
    for line in lines:
        row = truth.noted(line)
        if row is None:
            continue
        ratio = line["exposure_us"] / row["exposure_us"]
        if not 0.99 < ratio < 1.01 or abs(line.get("gain_db", 0.0) - row["gain_db"]) > 0.05:
            wrong.append({**line, "truth": row})
    return wrong


def pairing_errors_ms(reference: Lines, secondary: Lines, truths: tuple[Truth, Truth]) -> list[float]:
    """By how much session time misplaces each secondary frame against the reference, from the truth."""
    offsets = [line["t_ns"] - truths[0].middle_ns(truths[0].of(line)) for line in reference]
    base = statistics.median(offsets)
    return [(line["t_ns"] - truths[1].middle_ns(truths[1].of(line)) - base) / 1e6 for line in secondary]
