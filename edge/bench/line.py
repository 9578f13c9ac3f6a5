"""``twinhdr bench``: what the line itself costs on one core, by stage, without camera, network and encoder.

Frames are rendered first; then they go through pairing, development, rectification, the radiance merge, the
tone curve, the sidecar and the preview, in one thread with OpenCV on one thread, in CPU time.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
from rich.console import Console
from rich.table import Table

from edge.capture.reader import Intake, read_in_order_until
from edge.capture.rig import OpenRig, open_rig
from edge.config.schema import Config
from edge.encode.recorder import SAMPLE_STEP
from edge.encode.video import Location
from edge.frames import Rung
from edge.fuse.assembly import Reports, build_line
from edge.fuse.line import Fused, LadderPlan
from edge.fuse.stopwatch import Stopwatch
from edge.health.health import Health
from edge.judge.flicker import mean_mu_luminance
from edge.pair import Stamped
from edge.session.sidecar import SidecarWriter
from edge.tone.tonemap import HdrToneMapper, video_format
from edge.viewfinder.preview import PreviewHub
from edge.viewfinder.viewer import Viewer

WARM_UP = 8


@dataclass(frozen=True, slots=True)
class BenchResult:
    """CPU milliseconds per reference frame by stage, and their sum."""

    width: int
    height: int
    frames: int
    stage_ms: dict[str, float]

    @property
    def total_ms(self) -> float:
        return sum(self.stage_ms.values())

    def to_json(self) -> str:
        return json.dumps(
            {
                "width": self.width,
                "height": self.height,
                "frames": self.frames,
                "stage_ms": {stage: round(ms, 3) for stage, ms in self.stage_ms.items()},
                "total_ms": round(self.total_ms, 3),
            }
        )


def bench_line(config: Config, frames: int) -> BenchResult:
    """Measure ``frames`` reference frames of the configured source on one core."""
    opened = open_rig(config)
    items = list(_recorded(opened, frames + WARM_UP))
    info = opened.rig.reference.info
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            spent = _run(config, opened, items, Path(folder))
    finally:
        cv2.setNumThreads(threads)
    return BenchResult(info.width, info.height, frames, {s: ms / frames for s, ms in spent.items()})


def _recorded(opened: OpenRig, frames: int) -> Iterator[Stamped]:
    """Frames of the source with their true order; session time from the reference camera's own stamps."""
    rig = opened.rig
    taken: list[Stamped] = []
    rig.reference.set_exposures([opened.reference_exposure])
    rig.secondary.set_exposures(opened.secondary_exposures)
    rig.reference.start()
    rig.secondary.start()
    rig.trigger.start()
    intake = Intake(taken.append, lambda *_: None)
    read_in_order_until(
        rig.reference,
        rig.secondary,
        intake,
        lambda: sum(item.frame.camera == "reference" for item in taken) >= frames,
    )
    for stop in (rig.reference.stop, rig.secondary.stop, rig.trigger.stop):
        stop()
    yield from taken


def _run(config: Config, opened: OpenRig, items: list[Stamped], folder: Path) -> dict[str, float]:
    spent: dict[str, float] = defaultdict(float)
    seen = 0

    def report(stage: str, ms: float) -> None:
        if seen >= WARM_UP:
            spent[stage] += ms

    watch = Stopwatch(time.thread_time_ns, report)
    line = build_line(
        config,
        opened.as_source(),
        {},
        LadderPlan((Rung.MERGE, Rung.REFERENCE), {}, None),
        wait_ns=round(config.pair.wait_ms * 1e6),
        watch=watch,
        reports=Reports(),
    )
    mapper = HdrToneMapper(video_format(config.hdr))
    hub = PreviewHub()
    viewer = Viewer(config.preview, hub, Health(), watch)
    sidecar = SidecarWriter(folder / "frames.jsonl")
    sidecar.start(0)

    def finish(fused: Fused) -> None:
        hdr = fused.hdr
        with watch.stage("tonemap"):
            image = mapper.convert(hdr.radiance)
        with watch.stage("measure"):
            mean_mu = mean_mu_luminance(hdr.radiance, opened.full_scale, SAMPLE_STEP)
        with watch.stage("store"):
            at = Location("hdr/000000.mp4", seen)
            sidecar.hdr(hdr, at, mean_luminance=0.0, mean_mu=mean_mu, light=image.light)
        hub.ask(["fused", "reference"], hdr.t_ns)
        if viewer.due(hdr.t_ns):
            viewer.show(fused, hdr.t_ns)

    for item in items:
        for fused in line.add(item, item.frame.t_host_ns):
            finish(fused)
            seen += 1
        with watch.stage("store"):
            sidecar.frame(item.frame, item.t_ns, None)
    for fused in line.flush():
        finish(fused)
        seen += 1
    sidecar.end()
    return dict(spent)


def run_bench(config: Config, frames: int, as_json: bool, console: Console) -> int:
    """``twinhdr bench``: the table, or JSON for a file. The exit code."""
    result = bench_line(config, frames)
    if as_json:
        print(result.to_json())
        return 0
    table = Table(title=f"{result.width}x{result.height}, {frames} frames, CPU time on one core")
    table.add_column("stage")
    table.add_column("ms per frame", justify="right")
    for stage, ms in result.stage_ms.items():
        table.add_row(stage, f"{ms:.2f}")
    table.add_section()
    table.add_row("the line, without network and encoder", f"{result.total_ms:.2f}")
    console.print(table)
    return 0
