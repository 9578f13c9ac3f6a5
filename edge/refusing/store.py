"""Where finished segments wait until all are there, and how they become the result.

``refused/.<model>.part`` holds a folder per finished segment and the plan's key: an interrupted run with
the same plan goes on there, another plan starts anew. The result takes its place in one rename.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.frames import Rung
from edge.refusing.plan import Plan
from edge.refusing.task import SegmentTask
from edge.session.recording import Session, SessionWriteError, refused_folder
from edge.session.sidecar import FILE_NAME, SidecarWriter

KEY_NAME = "refused.json"


@dataclass(slots=True)
class Refused:
    """What came of it: frames written, frames by rung, frames dropped by cause, and the folder."""

    folder: Path
    frames: int = 0
    rungs: dict[Rung, int] = field(default_factory=dict)
    drops: dict[str, int] = field(default_factory=dict)


class Work:
    """The state of one session's run on disk. ``name`` is the network's, as it names the result's folder."""

    def __init__(self, session: Session, name: str, plan: Plan, threads: int) -> None:
        self.session = session
        self.plan = plan
        self.threads = threads
        self.result = refused_folder(session.masters, name)
        self.part = self.result.with_name(f".{name}.part")

    @property
    def finished(self) -> bool:
        """Whether the result is there and is what this plan would give."""
        return _key_in(self.result) == self.plan.key

    def begin(self, fresh: bool = False) -> None:
        """Make the work folder; what an earlier run of the same plan finished stays, unless ``fresh``."""
        try:
            if fresh or _key_in(self.part) != self.plan.key:
                shutil.rmtree(self.part, ignore_errors=True)
                self.part.mkdir(parents=True)
                _write_key(self.part, self.plan.key)
        except OSError as error:
            raise _unwritable(self.part, error) from error

    def tasks(self, model: str) -> list[SegmentTask]:
        """One task per segment, done ones included."""
        session, work = str(self.session.path.absolute()), str(self.part.absolute())
        return [
            SegmentTask(session, work, model, self.threads, number, frames)
            for number, frames in enumerate(self.plan.segments)
        ]

    def finish(self) -> Refused:
        """Put the segments together, replace an older result, and clean up. Raises SessionError."""
        new = self.part / "result"
        try:
            shutil.rmtree(new, ignore_errors=True)
            (new / "hdr").mkdir(parents=True)
            self._write_sidecar(new)
            _write_key(new, self.plan.key)
            shutil.rmtree(self.result, ignore_errors=True)
            new.rename(self.result)
            shutil.rmtree(self.part, ignore_errors=True)
        except OSError as error:
            raise _unwritable(self.result, error) from error
        return self.report()

    def report(self) -> Refused:
        """The figures of a finished result."""
        done = Refused(self.result, drops=dict(Counter(cause for cause, _ in self.plan.drops)))
        for line in _lines(self.result / FILE_NAME):
            if line["kind"] == "hdr":
                rung = Rung[line["rung"].upper()]
                done.frames += 1
                done.rungs[rung] = done.rungs.get(rung, 0) + 1
        return done

    def _write_sidecar(self, new: Path) -> None:
        sidecar = SidecarWriter(new / FILE_NAME, sync_s=None)
        sidecar.start(self.session.origin_ns)
        for cause, seq in self.plan.drops:
            sidecar.drop("pair", cause, camera="secondary", seq=seq)
        number = 0
        for segment in sorted(path for path in self.part.iterdir() if path.name.isdigit()):
            names = {f"hdr/{video.name}": video for video in sorted((segment / "hdr").glob("*.mp4"))}
            moved: dict[str, str] = {}
            for name, video in names.items():
                moved[name] = f"hdr/{number:06d}.mp4"
                _same_file(video, new / moved[name])
                number += 1
            for line in _lines(segment / FILE_NAME):
                if "file" in line:
                    line["file"] = moved[line["file"]]
                sidecar.event(line.pop("kind"), **line)
        sidecar.end()


def _same_file(video: Path, name: Path) -> None:
    """A second name for ``video``, which then survives an end in mid-move; a copy where a disk has no
    links."""
    try:
        os.link(video, name)
    except OSError:
        shutil.copyfile(video, name)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _key_in(folder: Path) -> str | None:
    try:
        stored = json.loads((folder / KEY_NAME).read_text())
    except (OSError, ValueError):
        return None
    return stored.get("plan") if isinstance(stored, dict) else None


def _write_key(folder: Path, key: str) -> None:
    (folder / KEY_NAME).write_text(json.dumps({"plan": key}) + "\n")


def _unwritable(path: Path, error: OSError) -> SessionWriteError:
    return SessionWriteError(
        f"{path}: cannot be written: {error.strerror}; make the session writable or copy it"
    )
