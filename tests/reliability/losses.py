"""What a recording lost, counted in its files: frames that should be there and cannot be read."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.session.recording import Session
from tests.edge.lost import standing

REFERENCE, SECONDARY, FUSED = "reference masters", "secondary masters", "fused video"
STREAMS = (REFERENCE, SECONDARY, FUSED)
_LATE = 1.75
"""A secondary frame of a long exposure arrives when later reference frames are there already."""
_STAGES = {
    REFERENCE: ("reference", ("capture", "masters")),
    SECONDARY: ("secondary", ("capture", "masters")),
    FUSED: ("reference", ("capture", "fuse", "encode")),
}


@dataclass(frozen=True, slots=True)
class Losses:
    """By stream: frames ``missing`` by time, and how many of them the session tells of.

    ``told``: it says they were dropped (``causes``), or it has their line and the file broke off before them.
    """

    missing: dict[str, int] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)
    causes: dict[str, set[str]] = field(default_factory=dict)
    disorder: list[str] = field(default_factory=list)

    def unexplained(self, stream: str) -> int:
        """Missing frames of which no line tells."""
        return max(0, self.missing[stream] - self.told[stream])


def losses(session: Path, masters: bool = True) -> Losses:
    """Of one session, whatever became of it. Frames count that can be found in a file and read."""
    opened = Session.open(session)
    cameras = opened.header.cameras
    lines = [record.fields for record in opened.records()]
    end_ns = max((row["t_ns"] for row in lines if row["kind"] in ("reference", "hdr")), default=0)
    found: dict[str, list[int]] = {FUSED: _fused(session, lines)}
    if masters:
        found[REFERENCE] = [record.t_ns for record in opened.found("reference")]
        found[SECONDARY] = [record.t_ns for record in opened.found("secondary")]
    result = Losses()
    kinds = {FUSED: "hdr", REFERENCE: "reference", SECONDARY: "secondary"}
    for stream, times in found.items():
        camera, stages = _STAGES[stream]
        period_ns = cameras["secondary" if stream == SECONDARY else "reference"].frame_period_us * 1e3
        drops = [row for row in lines if row["kind"] == "drop" and row["camera"] == camera]
        mine = [row for row in drops if row["stage"] in stages]
        tail = _LATE if stream == SECONDARY else 1.0
        result.missing[stream] = missing(times, period_ns, end_ns, tail)
        promised = sum(row["kind"] == kinds[stream] for row in lines)
        result.told[stream] = sum(row["count"] for row in mine) + max(0, promised - len(times))
        result.causes[stream] = {f"{row['stage']} {row['cause']}" for row in mine}
        if times != sorted(set(times)):
            result.disorder.append(stream)
    return result


def missing(times: Sequence[int], period_ns: float, end_ns: int, tail: float = 1.0) -> int:
    """Frames of a steady camera that are not among ``times``, from its first on until ``end_ns``.

    ``tail``: periods before ``end_ns`` from which on a frame may still have been on its way.
    """
    gaps = sum(max(0, round((b - a) / period_ns) - 1) for a, b in itertools.pairwise(times))
    return gaps + (max(0, int((end_ns - times[-1]) / period_ns + 1.0 - tail)) if times else 0)


def _fused(session: Path, lines: Sequence[Mapping[str, Any]]) -> list[int]:
    rows = [row for row in lines if row["kind"] == "hdr" and "file" in row]
    frames: dict[str, int] = {}
    for row in rows:
        file = row["file"]
        if file not in frames:
            frames[file] = standing(session / file)
    return [row["t_ns"] for row in rows if row["index"] < frames[row["file"]]]


def sessions(root: Path) -> list[Path]:
    """Newest last."""
    try:
        found = [path for path in root.iterdir() if (path / "frames.jsonl").exists()]
        return sorted(found, key=lambda path: (path / "session.json").stat().st_mtime_ns)
    except OSError:
        return []


def count(session: Path | None, kind: str) -> int:
    """Lines of a kind in a session that is being written; 0 where its disk is gone."""
    try:
        return (
            0
            if session is None
            else (session / "frames.jsonl").read_bytes().count(b'"kind":"%s"' % kind.encode())
        )
    except OSError:
        return 0


def lines(session: Path, kind: str) -> list[dict[str, Any]]:
    """Whole lines of a kind."""
    text = (session / "frames.jsonl").read_text()
    rows = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    return [row for row in rows if row["kind"] == kind]
