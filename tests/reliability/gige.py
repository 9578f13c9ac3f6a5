"""A recorder in a network of its own with two simulated GigE Vision cameras."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.hw.gige import gige_net
from tests.hw.gige.gige_net import DEDICATED, ROOT, GigeNet, SimulatedCamera
from tests.reliability.bench import Bench, Trial
from tests.reliability.recorder import Recorder

SENSOR = ("--width", "320", "--height", "180")
BASE = """\
version: 1
rig: {{width: 320, height: 180}}
fuse: {{ladder: [merge, reference], threads: 1, alignment: off}}
hdr: {{segment_s: 5}}
masters: {{enabled: true, segment_s: 5}}
preview: {{fps: 2, width: 320}}
web: {{port: {port}}}
thermal: {{enabled: false}}
store: {{root: {root}, min_free_gb: 0, min_free_share: 0}}
"""


def missing() -> str:
    """Why there are no such cameras here; empty where there are."""
    if gige_net.lacks_aravis():
        return gige_net.NEEDS_ARAVIS
    return gige_net.NEEDS_BUFFER if gige_net.small_socket_buffer() else gige_net.missing()


class GigeRecorder(Recorder):
    """The shipped example for GigE cameras, with small pictures."""

    def __init__(self, net: GigeNet, more: str = "") -> None:
        super().__init__(net.folder, net.folder / "sessions", more=more)
        self.net = net
        base = net.folder / "conf.d" / "05-small.yaml"
        base.write_text(BASE.format(port=self.port, root=self.root))
        self.main.write_text((ROOT / "systemd" / "config-gige.yaml").read_text())

    def popen(self, words: list[str], environment: dict[str, str], log: Any) -> subprocess.Popen[str]:
        return self.net.popen(words, first=DEDICATED, stdout=log, stderr=subprocess.STDOUT)

    def fetch(self, path: str) -> str | None:
        return self.net.fetch(f"http://127.0.0.1:{self.port}{path}")


@dataclass(frozen=True, slots=True)
class GigeTrial:
    """A trial and what it films with."""

    net: GigeNet
    trial: Trial
    cameras: dict[str, SimulatedCamera]


@contextlib.contextmanager
def gige_trial(
    bench: Bench,
    *,
    net: GigeNet | None = None,
    arguments: tuple[str, ...] = (),
    lines: bool = False,
    more: str = "",
) -> Iterator[GigeTrial]:
    """Both cameras and the recorder; ``lines``: they listen to the trigger board's."""
    with contextlib.ExitStack() as ending:
        net = net or ending.enter_context(gige_net.network())
        cameras = {}
        for number, name in enumerate(("reference", "secondary")):
            line = ("--line", str(net.folder / f"line{number}")) if lines else ()
            clock = ("--clock-offset-s", str(3 + 87 * number), "--drift-ppm", str(12 - 33 * number))
            cameras[name] = net.camera(name, *SENSOR, *clock, *line, *arguments)
        trial = ending.enter_context(bench.trial(GigeRecorder(net, more)))
        yield GigeTrial(net, trial, cameras)
