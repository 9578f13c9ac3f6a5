"""``twinhdr demo``: the whole line on a simulated scene, then the same session refused, judged by the truth.

Everything lands in one folder: the configuration it ran with, the session, the HDR video, the comparison
picture and the figures as JSON.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from edge.commands.info import Summary, summarise
from edge.config.layers import load_config
from edge.config.schema import Config
from edge.daemon.run import run_daemon
from edge.errors import TwinhdrError
from edge.images.imageio import write_png
from edge.judge.session import Judge, Score
from edge.refusing.refuse import Refused, full_scale, refuse_with_progress
from edge.session.recording import Session

CONFIG = """\
# What the demo ran with. Change it and run: twinhdr run --config {path}
version: 1
rig:
  source: simulator
simulator:
  scene: {scene}
masters:
  enabled: true
web:
  port: {port}
store:
  root: {root}
"""


OURS = {"config.yaml", "session", "sessions", "comparison.png", "demo.json"}
"""What a demo leaves in its folder, finished or not."""


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """Where, which scene, how long (seconds of video), which network, and the page's port."""

    out: Path
    scene: str = "workshop"
    seconds: float = 10.0
    model: str = "s"
    port: int = 8080


def run_demo(plan: DemoPlan, console: Console) -> int:
    """Record, refuse, judge, print. Returns the exit code."""
    out = _fresh_folder(plan.out)
    config = _config(plan, out)
    console.rule("1. record: two simulated cameras, live fusion, HDR10 video")
    console.print(f"live page while it records: http://{config.web.host}:{config.web.port}")
    session_path = out / "session"
    begin = time.monotonic()
    with console.status(f"recording {plan.seconds:g} s of video, as fast as this machine fuses it"):
        run_daemon(config, plan.seconds, session_path)
    live_s = time.monotonic() - begin
    session = Session.open(session_path)

    console.rule(f"2. refuse: the same session offline with EAFNet-{plan.model.upper()}")
    judge = Judge(session, full_scale(session.header))
    begin = time.monotonic()
    refused = refuse_with_progress(session, plan.model, "fusing and judging", console, judge.add)
    refuse_s = time.monotonic() - begin
    picture = out / "comparison.png"
    write_png(picture, judge.picture())

    console.rule("3. the figures, against the ground truth of the simulation")
    scores = judge.scores()
    console.print(_score_table(scores))
    summary = summarise(session)
    _print_line(summary, refused, live_s, refuse_s, console)
    _write_json(out / "demo.json", plan, scores, summary, live_s, refuse_s)
    _print_places(out, session, refused, picture, config, console)
    return 0


def _fresh_folder(out: Path) -> Path:
    """An empty folder of ours. Refuses to empty one that a demo did not make."""
    out = out.absolute()
    if out.exists() and any(out.iterdir()):
        if not {entry.name for entry in out.iterdir()} <= OURS:
            raise TwinhdrError(f"{out}: is not empty and not from a demo; name another folder with --out")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    return out


def _config(plan: DemoPlan, out: Path) -> Config:
    path = out / "config.yaml"
    text = CONFIG.format(
        path=path, scene=json.dumps(plan.scene), port=plan.port, root=json.dumps(str(out / "sessions"))
    )
    path.write_text(text, "utf-8")
    return load_config(path)


def _score_table(scores: list[Score]) -> Table:
    table = Table()
    for name in ("", "PSNR-mu", "PSNR-L", "flicker (LSD)"):
        table.add_column(name, justify="left" if not name else "right")
    for score in scores:
        table.add_row(
            score.name, f"{score.psnr_mu:.2f} dB", f"{score.psnr_linear:.2f} dB", f"{score.lsd:.5f}"
        )
    return table


def _print_line(summary: Summary, refused: Refused, live_s: float, refuse_s: float, console: Console) -> None:
    rungs = ", ".join(f"{name} {count}" for name, count in summary.rungs.items())
    console.print(
        f"live: {summary.reference_frames} reference frames, {summary.hdr_frames} HDR frames "
        f"in {live_s:.0f} s "
        f"({summary.hdr_frames / live_s:.1f} fps with the cameras simulated on the same machine); {rungs}"
    )
    drops = ", ".join(f"{stage} {cause} {count}" for (stage, cause), count in summary.drops.items())
    console.print(f"drops: {drops or 'none'}")
    console.print(f"refused: {refused.frames} frames in {refuse_s:.0f} s, judging included")


def _write_json(
    path: Path, plan: DemoPlan, scores: list[Score], summary: Summary, live_s: float, refuse_s: float
) -> None:
    figures = {
        "scene": plan.scene,
        "model": plan.model,
        "scores": {
            s.name: {"psnr_mu_db": s.psnr_mu, "psnr_linear_db": s.psnr_linear, "lsd": s.lsd} for s in scores
        },
        "reference_frames": summary.reference_frames,
        "hdr_frames": summary.hdr_frames,
        "drops": {f"{stage}: {cause}": count for (stage, cause), count in summary.drops.items()},
        "live_seconds": live_s,
        "refuse_seconds": refuse_s,
    }
    path.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


def _print_places(
    out: Path, session: Session, refused: Refused, picture: Path, config: Config, console: Console
) -> None:
    places = Table(show_header=False, box=None)
    places.add_row("HDR10 video", str(next(iter(sorted((refused.folder / "hdr").glob("*.mp4"))))))
    places.add_row("live HDR10 video", str(next(iter(sorted((session.path / "hdr").glob("*.mp4"))))))
    places.add_row("session", str(session.path))
    places.add_row("picture", str(picture))
    places.add_row("figures", str(out / "demo.json"))
    places.add_row(
        "live page",
        f"http://{config.web.host}:{config.web.port} while: twinhdr run --config {out}/config.yaml",
    )
    console.print(places, soft_wrap=True)
