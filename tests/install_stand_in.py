"""A small stand-in of the project with the real install.sh and unit files, and a device it installs into.

Real environments, real pip, no network; the program only says how it was called.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["hw"]

[project]
name = "twinhdr"
version = "1.2.3"
"""

PROGRAM = """\
import os, sys
def main():
    print("called:", *sys.argv[1:])
    sys.exit(int(os.environ.get("STAND_IN_EXIT", "0")))
"""

# The smallest build backend there can be: setuptools would have to be fetched.
BACKEND = """\
import os, zipfile

def write(folder, files):
    name = "twinhdr-1.2.3-py3-none-any.whl"
    info = "twinhdr-1.2.3.dist-info/"
    files |= {
        info + "METADATA": "Metadata-Version: 2.1\\nName: twinhdr\\nVersion: 1.2.3\\n",
        info + "WHEEL": "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        info + "entry_points.txt": "[console_scripts]\\ntwinhdr = edge.cli:main\\n",
    }
    files[info + "RECORD"] = "".join(f"{path},,\\n" for path in [*files, info + "RECORD"])
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
    return name

def build_wheel(folder, settings=None, metadata=None):
    return write(folder, {"edge/__init__.py": "", "edge/cli.py": open("edge/cli.py").read()})

def build_editable(folder, settings=None, metadata=None):
    return write(folder, {"twinhdr.pth": os.getcwd() + "\\n"})
"""


QUICK = """\
# install.sh with environments that take no time: what they look like is the subject of test_install.
source ./install.sh
make_environment() {
  choose_python
  mkdir -p "$1/bin"
  printf '#!/bin/sh\\nexec "%s" "$@"\\n' "$STAND_IN_PYTHON" >"$1/bin/python"
  printf '#!%s\\n' "$1/bin/python" >"$1/bin/pip"
  chmod +x "$1"/bin/*
}
pip_install() {
  cp "$2/edge/cli.py" "$1/cli.py"
  program='import sys; sys.path[0] = sys.argv.pop(1); import cli; cli.main()'
  printf '#!/bin/sh\\nexec "%s" -c "%s" "%s" "$@"\\n' "$1/bin/python" "$program" "$1" >"$1/bin/twinhdr"
  chmod +x "$1/bin/twinhdr"
}
"""


class Clone:
    """A folder with a stand-in project, and a way to call its install.sh."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("edge", "export", "hw"):
            (folder / name).mkdir()
            (folder / name / "__init__.py").touch()
        shutil.copy(ROOT / "install.sh", folder)
        shutil.copytree(ROOT / "systemd", folder / "systemd")
        (folder / "pyproject.toml").write_text(PROJECT)
        (folder / "hw" / "backend.py").write_text(BACKEND)
        (folder / "edge" / "cli.py").write_text(PROGRAM)
        for name in ("README.md", "LICENSE"):
            (folder / name).write_text("")

    @property
    def venv(self) -> Path:
        return self.folder / ".venv"

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.bash(" ".join(["./install.sh", *arguments]), **environment)

    def bash(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        offline = {
            "PIP_NO_INDEX": "1",
            "TWINHDR_PYTHON": os.path.realpath(sys.executable),
            "STAND_IN_PYTHON": sys.executable,
        }
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=os.environ | offline | environment,
            capture_output=True,
            text=True,
        )


def make_clone(folder: str) -> Clone:
    """Readable for every user, unlike pytest's own folders."""
    Path(folder).chmod(0o755)
    return Clone(Path(folder).resolve())


class Device:
    """A folder into which a clone installs the device; nothing outside it is touched."""

    def __init__(self, clone: Clone, root: Path, quick: bool = False) -> None:
        self.clone = clone
        self.root = root
        self.quick = quick

    def install(self) -> subprocess.CompletedProcess[str]:
        if self.quick:
            return self.bash("main")
        return self.clone.run(TWINHDR_ROOT=str(self.root))

    def bash(self, script: str) -> subprocess.CompletedProcess[str]:
        """With the functions of install.sh at hand, and quick environments."""
        return self.clone.bash(f"{QUICK}\n{script}", TWINHDR_ROOT=str(self.root))

    @property
    def current(self) -> Path:
        return (self.root / "opt/twinhdr/current").resolve()

    def call(self, *arguments: str) -> str:
        program = self.root / "opt/twinhdr/current/venv/bin/twinhdr"
        return subprocess.run([program, *arguments], capture_output=True, text=True).stdout


def state_of(folder: Path) -> dict[str, tuple[int, int, str]]:
    """When each file was last written, its mode and, for a link, its target. Python's caches apart."""
    state = {}
    for path in folder.rglob("*"):
        if "__pycache__" not in path.parts and not path.is_dir():
            status = path.lstat()
            target = os.readlink(path) if path.is_symlink() else ""
            state[str(path.relative_to(folder))] = (status.st_mtime_ns, status.st_mode, target)
    return state
