"""The promises that the shape of the source makes: one way of imports, light imports, small modules."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # comes with pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("edge", "export", "hw")

HEAVY = {"torch", "gi", "pycuda", "tensorrt", "jetson_utils", "safetensors"}

HW_MAY_USE = {
    "edge.config.schema",
    "edge.errors",
    "edge.frames",
    "edge.session.recording",
    "edge.timing.ticks",
}
EXPORT_MAY_USE = {
    "edge",
    "edge.register.align",
    "edge.develop.demosaic",
    "edge.develop.linear",
    "edge.errors",
    "edge.frames",
    "edge.judge.quality",
    "edge.images.imageio",
    "edge.native",
}

JUDGES = (
    "export.graphs.engine_command",
    "export.compare.contract",
    "export.compare.merges",
    "export.compare.onnx_file",
    "export.judging.curves",
    "export.judging.evaluate_pictures",
    "export.judging.filming",
    "export.judging.flicker_command",
    "export.judging.judged_session",
    "export.judging.setups",
)
"""They judge what the recorder does, so they run it: its pairing, merge, engines and sessions."""

LONGEST_MODULE = 320  # lines

AUTHORS_FOLDERS = re.compile(r"(?<![\w.])/(?:home|root|Users|work|workspace|mnt|media)/\w")


def sources(package: str) -> Iterator[tuple[str, Path]]:
    """Dotted name and path of every module of a package."""
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = {name: path for package in PACKAGES for name, path in sources(package)}


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imported(path: Path, *, everywhere: bool) -> set[str]:
    """Modules that a file imports: when it is loaded, or ``everywhere``, functions and types included."""
    names: set[str] = set()
    pending: list[ast.AST] = list(ast.parse(path.read_text()).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            names |= {f"{module}.{a.name}" if f"{module}.{a.name}" in MODULES else module for a in node.names}
        elif everywhere or not (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or is_type_checking(node)
        ):
            pending += ast.iter_child_nodes(node)
    return names


def users_of(package: str, of: str) -> dict[str, set[str]]:
    """What each module of ``package`` uses of another package, in functions too."""
    uses = {
        name: {used for used in imported(path, everywhere=True) if used.split(".")[0] == of}
        for name, path in sources(package)
    }
    return {name: used for name, used in uses.items() if used}


def test_the_device_never_needs_what_trains_the_network() -> None:
    """Else a Jetson would need PyTorch, gigabytes that it has no room for, to record."""
    for package in ("edge", "hw"):
        assert users_of(package, "export") == {}
        assert users_of(package, "torch") == {}


def test_hardware_drivers_know_frames_but_not_the_recorder() -> None:
    """Else a new camera could not be written and tested without the daemon."""
    beyond = {name: used - HW_MAY_USE for name, used in users_of("hw", "edge").items() if used - HW_MAY_USE}
    assert beyond == {}


def test_export_uses_little_of_the_recorder() -> None:
    """Else a change of the recorder would change what the network was trained on, unseen."""
    users = {name: used for name, used in users_of("export", "edge").items() if name not in JUDGES}
    assert {name: used - EXPORT_MAY_USE for name, used in users.items() if used - EXPORT_MAY_USE} == {}


def test_only_the_command_line_knows_the_command_line() -> None:
    """Else the recorder could not be used as a library."""
    users = [n for n, path in MODULES.items() if imported(path, everywhere=True) & {"edge.cli", "export.cli"}]
    assert users == []


def test_no_module_needs_itself() -> None:
    """Circular imports work or fail by the order in which a program happens to import."""
    graph = {name: imported(path, everywhere=False) & set(MODULES) - {name} for name, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("circular import: " + " -> ".join(error.args[1]))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_loads_without_camera_gpu_or_torch(package: str) -> None:
    """Else ``twinhdr --help`` or a plain PC would fail on hardware that it does not use."""
    names = [name for name, _ in sources(package)]
    if package == "export":
        names = ["export"]  # its modules are about torch; its front door is not
    program = f"""
import importlib, sys
for name in {names!r}:
    importlib.import_module(name)
print(*sorted({HEAVY!r} & set(sys.modules)))
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == []


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_is_for(name: str) -> None:
    """A reader who opens one file must know from its first line whether it is the one."""
    assert ast.get_docstring(ast.parse(MODULES[name].read_text())), f"{name} has no docstring"


def test_modules_stay_small() -> None:
    """One idea a module; a long one hides a second."""
    lengths = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE} == {}


def test_every_folder_of_modules_is_a_package() -> None:
    """A folder without ``__init__.py`` works in a clone and is missing on the device."""
    folders = {path.parent for path in MODULES.values()}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_an_installed_recorder_has_every_file() -> None:
    """A page, scene, default or model that is not named as package data is missing on the device."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    globs = settings["tool"]["setuptools"]["package-data"]
    packed = {path for package in globs for glob in globs[package] for path in (ROOT / package).glob(glob)}
    present = {
        path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    assert sorted(str(path.relative_to(ROOT)) for path in present - packed) == []


def test_nothing_points_to_a_folder_of_its_authors() -> None:
    """A path that exists on one machine only is a step that fails on every other."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git clone, so there is no list of what belongs to the project")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    found = []
    for name in listed.stdout.decode().split("\0")[:-1]:
        path = ROOT / name
        if path == Path(__file__) or not path.is_file():
            continue
        text = path.read_bytes().decode(errors="replace")
        found += [f"{name}: {hit}" for hit in AUTHORS_FOLDERS.findall(text)]
    assert found == []
