"""The work of ``twinhdr calibrate``: what each of its ways does, and what it tells."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from edge.calibration.board import Board
from edge.calibration.drift import measure_drift
from edge.calibration.file import factory_path, restore, write_calibration
from edge.calibration.folders import folder_shots
from edge.calibration.gather import board_shots, instants, session_size
from edge.calibration.measure import BoardSession, Measured, Wishes, measure_scene
from edge.calibration.report import report_data, verdict, write_report
from edge.calibration.views import View
from edge.config.layers import load_config
from edge.daemon.run import software_version
from edge.register.rectify import identity, load_calibration, parse_calibration
from edge.session.recording import Session


@dataclass(frozen=True, slots=True)
class Sources:
    """Where pictures come from: one of a recording, two folders, or the live cameras of a configuration.

    ``scene``: the recording shows no board. ``views``: frames to look at in it, 0: a fair number.
    """

    session: Path | None = None
    reference: Path | None = None
    secondary: Path | None = None
    live: bool = False
    scene: bool = False
    config: Path | None = None
    views: int = 0


def measure(
    sources: Sources, board: Board, wishes: Wishes, model: str, focal_px: float | None, console: Console
) -> Measured:
    """Measure from whatever ``sources`` names, telling ``console`` what is seen. Raises TwinhdrError."""
    if sources.scene:
        return _from_scene(sources, model, focal_px)
    collected = BoardSession(board)
    if sources.live:
        from edge.calibration.live import gather_live

        gather_live(load_config(sources.config), collected, console)
        return collected.solved(wishes)
    if sources.session is not None:
        for shot, view in board_shots(Session.open(sources.session), board, sources.views or 40):
            collected.add(shot, view)
            _tell(view, console)
    else:
        assert sources.reference is not None, "checked above"
        assert sources.secondary is not None, "checked above"
        for shot in folder_shots(sources.reference, sources.secondary):
            _tell(collected.add(shot), console)
    return collected.solved(wishes)


def _from_scene(sources: Sources, model: str, focal_px: float | None) -> Measured:
    assert sources.session is not None, "checked before"
    opened = Session.open(sources.session)
    return measure_scene(
        instants(opened, sources.views or 12), session_size(opened), model=model, focal_px=focal_px
    )


def keep(measured: Measured, out: Path, factory: bool, as_json: bool, console: Console) -> None:
    """Write the calibration, its factory copy and its report, and say so. Raises TwinhdrError."""
    made = {
        "utc": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "software": software_version(),
    }
    measured = replace(measured, calibration=replace(measured.calibration, made=made))
    written = write_calibration(out, measured.calibration, factory=factory)
    reports = write_report(out.parent, out.stem, measured)
    if as_json:
        print(json.dumps(report_data(measured), indent=1))
        return
    for note in measured.notes:
        console.print(f"doubt: {note}", style="yellow", markup=False, soft_wrap=True)
    for name, why in measured.calibration.quality.get("left_out", {}).items():
        console.print(f"left out: {name}: {why}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"calibration: {verdict(measured.calibration)}", markup=False, highlight=False)
    for path in (*written, *reports):
        console.print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"use it with calibration: {{file: {out}}} in the configuration", markup=False, highlight=False
    )


def check(path: Path, file: Path | None, limit_px: float, count: int, as_json: bool, console: Console) -> int:
    """Measure the drift of ``file``, or of what the recording carries, and say so. Returns the exit code."""
    session = Session.open(path)
    size = session_size(session)
    stored = session.header.calibration
    if file is not None:
        used = load_calibration(file, *size)
    elif stored is not None:
        used = parse_calibration(stored, f"{path}/session.json: calibration")
    else:
        used = identity(*size)
    drift = measure_drift(instants(session, count), used, limit_px)
    if as_json:
        print(json.dumps(drift.to_dict()))
        return drift.exit_code
    advice = {
        "good": "nothing to do",
        "drifting": "usable; calibrate again at the next occasion",
        "lost": "calibrate again (twinhdr calibrate --help), or look whether a camera was moved",
    }[drift.verdict]
    console.print(
        f"{drift.verdict}: the views are {drift.drift_px:.2f} px apart (rms; {drift.worst_px:.2f} at worst, "
        f"known to {drift.uncertain_px:.2f}, limit {limit_px:g}); {advice}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    if drift.parallax_px is None:
        told = "the calibration does not tell how the cameras are mounted: a change of distance is drift, too"
    else:
        told = f"along the baseline {drift.parallax_px:+.1f} px, which is the scene's distance and no drift"
    console.print(f"{drift.agreeing} of {drift.matches} details agree; {told}", markup=False, soft_wrap=True)
    return drift.exit_code


def restore_factory(out: Path, console: Console) -> int:
    """Put the factory copy of ``out`` back. Returns the exit code."""
    calibration = restore(out)
    console.print(
        f"{out}: as in {factory_path(out)} again, of {calibration.made.get('utc', 'an unknown day')}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return 0


def _tell(view: View, console: Console) -> None:
    seen = ", ".join(
        f"{name} {0 if found is None else len(found.ids)}"
        for name, found in (("reference", view.reference), ("secondary", view.secondary))
    )
    console.print(f"{view.name}: corners in {seen}", markup=False, highlight=False, soft_wrap=True)
