"""A machine with twinhdr on it, and the questions that tests ask it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import EMULATED, Cable, Machine

WIDTH, HEIGHT = (192, 128) if EMULATED else (480, 270)
CAMERA_OVERLAY = f"""\
version: 1
rig: {{width: {WIDTH}, height: {HEIGHT}}}
# What is tested is the device around the recorder, not how fast this machine fuses and encodes.
fuse: {{ladder: [reference]}}
hdr: {{codec: av1, preset: 13}}
preview: {{fps: 1, width: {min(320, WIDTH)}}}
store: {{min_free_gb: 0, min_free_share: 0}}
"""
UNIT = "twinhdr.service"
RECORDS_WITHIN_S = 600.0 if EMULATED else 60.0
"""Patience of the tests, not a promise."""


def unpack(bundle: Path, folder: Path) -> Path:
    folder.mkdir()
    command = ["tar", "-xf", bundle, "-C", folder, "--strip-components=1", "--no-same-owner"]
    subprocess.run(command, check=True)
    return folder


@dataclass(frozen=True)
class Release:
    """An unpacked bundle."""

    folder: Path

    def copy(self, folder: Path) -> Release:
        """Another one to change; what is large and the same is shared."""

        def put(source: str, target: str) -> None:
            (os.link if Path(source).suffix in (".whl", ".deb") else shutil.copy2)(source, target)

        shutil.copytree(self.folder, folder, copy_function=put)
        return Release(folder)

    def change_version(self, version: str) -> None:
        """Makes it another release."""
        file = self.folder / "pyproject.toml"
        file.write_text(file.read_text().replace('version = "0.1.0"', f'version = "{version}"'))

    def spoil(self, file: str, text: str) -> None:
        """Appends ``text`` to one of its files."""
        with (self.folder / file).open("a") as open_file:
            open_file.write(text)


@dataclass
class Device:
    """A machine, its cameras, and the bundle that was made for it."""

    machine: Machine
    wire: Cable
    bundle: Path
    first: Release
    installed_s: float = 0.0

    def install_offline(self) -> str:
        """As docs/install.md says, from the one file."""
        begin_s = time.monotonic()
        output = self.machine.run(f"{self.first.folder}/install.sh --offline {self.bundle}")
        self.installed_s = time.monotonic() - begin_s
        return output

    def install(self, release: Release) -> tuple[int, str]:
        return self.machine.ended(f"{release.folder}/install.sh")

    def install_cut(self, release: Release, step: str) -> str:
        """The same, killed before ``step``."""
        script = f"cd {release.folder} && source ./install.sh && {step}() {{ kill -9 $BASHPID; }}; main"
        code, output = self.machine.ended(script)
        assert code != 0, f"the installation did not come to {step}:\n{output}"
        return output

    @property
    def current(self) -> str:
        """Name of the release that runs."""
        return os.readlink(self.path("/opt/twinhdr/current")).removeprefix("releases/")

    def path(self, inside: str) -> Path:
        """Where a path of the machine lies on the host. Links of the machine are not followed."""
        return self.machine.root / inside.lstrip("/")

    def write(self, inside: str, text: str) -> None:
        self.path(inside).write_text(text)

    # --- recordings -------------------------------------------------------------------------------------

    def sessions(self) -> list[Path]:
        folder = self.path("/var/lib/twinhdr/sessions")
        return sorted(path.parent for path in folder.glob("*/session.json"))

    def newest(self) -> Path:
        return self.sessions()[-1]

    def lines(self, session: Path, kind: str) -> list[dict[str, Any]]:
        """Whole lines of a session's frames.jsonl."""
        file = session / "frames.jsonl"
        text = file.read_text() if file.exists() else ""
        rows = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        return [row for row in rows if row["kind"] == kind]

    def wait_recording(self, *, since: int | None = None, frames: int = 10) -> Path:
        """The newest session, once both cameras gave it ``frames``; ``since``: there were so many before."""
        end_s = time.monotonic() + RECORDS_WITHIN_S
        goal: dict[Path, int] = {}
        while time.monotonic() < end_s:
            sessions = self.sessions()
            if sessions and (since is None or len(sessions) > since):
                newest = sessions[-1]
                counts = [len(self.lines(newest, kind)) for kind in ("reference", "secondary", "hdr")]
                if min(counts) >= goal.setdefault(newest, min(counts) + frames):
                    return newest
            time.sleep(0.2)  # polls another machine; there is nothing to wait on
        raise AssertionError(f"no recording within {RECORDS_WITHIN_S} s:\n{self.machine.journal()}")

    # --- state ------------------------------------------------------------------------------------------

    def footprint(self) -> dict[str, str]:
        """Everything that an installation could change: owner, mode, time and content of each file."""
        state = {}
        for top in ("/opt/twinhdr", "/etc", "/usr/lib/systemd"):
            for folder, folders, files in os.walk(self.path(top)):
                for name in [*folders, *files]:
                    path = Path(folder, name)
                    status = path.lstat()
                    what = os.readlink(path) if path.is_symlink() else _digest(path)
                    about = (status.st_uid, status.st_gid, oct(status.st_mode), status.st_mtime_ns, what)
                    state[str(path)] = repr(about)
        return state

    def invocation(self) -> str:
        """Another one after each start of the service."""
        return self.machine.show(UNIT, "InvocationID")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
