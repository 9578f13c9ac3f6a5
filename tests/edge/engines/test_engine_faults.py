"""Whatever happens to engines on disk, or to who builds them: one line, the next best, no crash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.engines import EngineError
from edge.engines.build import build
from edge.engines.choice import on_gpu
from edge.engines.store import EngineStore
from edge.engines.tensorrt import TensorrtEngine
from tests.edge.engines.test_plan import HERE, PLANS, refusal, stored
from tests.edge.engines.test_tensorrt_build import SIZE, job, quiet, tools
from tests.edge.reference_gpu import ReferencePlatform
from tests.edge.tiny_model import write_tiny_model

ROOT = Path(__file__).resolve().parents[3]
NOBODY = 65534


@pytest.fixture(scope="module")
def one_store(tmp_path_factory: pytest.TempPathFactory) -> EngineStore:
    return stored(tmp_path_factory.mktemp("engines"))


WAYS = ["flip", "cut", "grow", "zero"]


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(PLANS[0]) - 1), st.integers(1, 255), st.sampled_from(WAYS))
def test_a_plan_damaged_anywhere_is_refused(one_store: EngineStore, place: int, flip: int, way: str) -> None:
    """Head, weights or tail: TensorRT checks none of them, and some end the process."""
    (plan,) = one_store.folder.glob("*.engine")
    good = PLANS[0]
    damaged = {
        "flip": good[:place] + bytes([good[place] ^ flip]) + good[place + 1 :],
        "cut": good[:place],
        "grow": good[:place] + bytes([flip]) + good[place:],
        "zero": good[:place] + bytes(len(good) - place),  # blocks that were never written
    }
    plan.write_bytes(damaged[way])
    assert plan.name in refusal(one_store)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "eafnet-tiny.onnx")


@pytest.fixture
def store(tmp_path: Path, model: Path) -> EngineStore:
    """Two engines of the same size, tiny's in two parts."""
    for path in (model, write_tiny_model(tmp_path / "eafnet-other.onnx", gain=0.5)):
        build(job(path), tools(tmp_path, ReferencePlatform()), quiet)
    return EngineStore(tmp_path / "engines")


def files(store: EngineStore, model: str, end: str) -> list[Path]:
    return sorted(store.folder.glob(f"eafnet-{model}-*{end}"))


def swap(one: Path, other: Path) -> None:
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)


MUTATIONS: dict[str, Callable[[EngineStore], object]] = {
    "the proof is another model's": lambda s: shutil.copy(
        files(s, "other", ".json")[0], files(s, "tiny", ".json")[0]
    ),
    "proof and plans are another model's": lambda s: [
        os.replace(*pair)
        for end in (".json", ".engine")
        for pair in zip(files(s, "other", end), files(s, "tiny", end), strict=True)
    ],
    "a plan is another model's": lambda s: shutil.copy(
        files(s, "other", ".engine")[0], files(s, "tiny", ".engine")[0]
    ),
    "both plans have changed places": lambda s: swap(*files(s, "tiny", ".engine")),
    "a plan is a folder": lambda s: [p.unlink() or p.mkdir() for p in files(s, "tiny", ".engine")],
    "the proof is a folder": lambda s: [p.unlink() or p.mkdir() for p in files(s, "tiny", ".json")],
    "a plan is a link to nowhere": lambda s: [
        p.unlink() or p.symlink_to("nowhere") for p in files(s, "tiny", ".engine")
    ],
    "a plan has no end": lambda s: [
        p.unlink() or p.symlink_to("/dev/zero") for p in files(s, "tiny", ".engine")
    ],
    "the proof has no end": lambda s: [
        p.unlink() or p.symlink_to("/dev/zero") for p in files(s, "tiny", ".json")
    ],
    "everything is empty": lambda s: [p.write_bytes(b"") for p in s.folder.iterdir() if p.is_file()],
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_foreign_files_give_one_line_and_the_next_rung(
    store: EngineStore, model: Path, mutation: str, tmp_path: Path
) -> None:
    """Restored from a backup, copied from another device, filled in by fsck; a build repairs all of it."""

    def opened(heard: list[str]) -> object:
        return on_gpu(model, SIZE, "pair", heard.append, platform=ReferencePlatform, store=store)  # type: ignore[arg-type]

    assert isinstance(opened([]), TensorrtEngine)
    MUTATIONS[mutation](store)
    heard: list[str] = []
    assert opened(heard) is None
    (line,) = heard
    assert "\n" not in line
    assert line.startswith("eafnet-tiny runs on the CPU: ")
    assert "build it again: twinhdr-export engine" in line
    if "folder" not in mutation:
        build(job(model), tools(tmp_path, ReferencePlatform()), quiet)
        assert isinstance(opened([]), TensorrtEngine)


def in_child(program: str, *arguments: object, timeout_s: float = 120.0) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", PRELUDE + program, *map(str, arguments)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


PRELUDE = """
import os, random, resource, signal, sys, time
from pathlib import Path
import onnx, onnxruntime
from edge.engines import EngineError
from edge.engines.build import build, identity
from edge.engines.plan import ANY
from edge.engines.store import EngineStore
from tests.edge.reference_gpu import ReferencePlatform
from tests.edge.engines.test_tensorrt_build import SIZE, job, quiet, tools

folder, model = Path(sys.argv[1]), Path(sys.argv[2])
here = identity(model, SIZE[1], SIZE[0], "pair", ReferencePlatform(), ANY)
store = EngineStore(folder / "engines")

def marked(number):
    '''Platform whose plans say which build they are of.'''
    def mark(graph):
        onnx.helper.set_model_props(graph, {"build": str(number)})
    platform = ReferencePlatform()
    platform.made.spoil = mark
    return platform

def rebuild(number, progress=quiet):
    return build(job(model), tools(folder, marked(number)), progress, force=True)

def of_build():
    '''Number of the build that the engine in use is of, all its parts.'''
    plans = store.load(model.stem, here).plans
    assert len(plans) == 2
    (number,) = {p.value for plan in plans for p in
                 onnx.ModelProto.FromString(plan[len(b"REFERENCE PLAN\\n"):]).metadata_props}
    return int(number)
"""

KILLED = """
random.seed(int(sys.argv[3]))
begin = time.monotonic()
first = os.fork()
if not first:
    rebuild(0)
    os._exit(0)
assert os.waitpid(first, 0)[1] == 0
took = time.monotonic() - begin
used, late = 0, 0
for number in range(1, 17):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        def tell(what, share):
            if "latency" in what:
                os.write(writing, b"x")
        rebuild(number, tell)
        os._exit(0)
    os.close(writing)
    if number % 2:
        time.sleep(random.uniform(0.0, 1.2 * took))
    else:  # what is written is written at the end
        os.read(reading, 1)
        time.sleep(random.uniform(0.0, 0.03))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)
    now = of_build()
    assert now in (used, number), (now, used, number)
    late += now == number
    used = now
assert not store.being_written()
rebuild(99)
left = sorted(p.suffix for p in store.folder.iterdir() if p.name != ".lock")
print(of_build(), late, left)
"""


def test_a_build_that_is_killed_leaves_an_engine(tmp_path: Path, model: Path) -> None:
    """Power cut, out of memory, an impatient person: at any moment, as real processes that get SIGKILL."""
    last, late, left = in_child(KILLED, tmp_path, model, 1).split(maxsplit=2)
    assert last == "99"
    assert 0 <= int(late) <= 16
    assert left.strip() == "['.bin', '.engine', '.engine', '.json']"


FULL = """
rebuild(0)
plan = max(path.stat().st_size for path in store.folder.glob("*.engine"))
before = {path.name for path in store.folder.iterdir()}
for limit in (plan + 100, plan - 1, 1000, 100, 1):
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            rebuild("1" * 200)
            os._exit(1)
        except EngineError as error:
            os.write(1, f"{error}".encode() + bytes([10]))
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, limit
    assert of_build() == 0
    assert {path.name for path in store.folder.iterdir()} == before, limit
"""


def test_a_disk_without_room_leaves_the_old_engine(tmp_path: Path, model: Path) -> None:
    """And nothing half written, which would take the room for good."""
    lines = in_child(FULL, tmp_path, model).splitlines()
    assert len(lines) == 5
    for line in lines:
        assert line.endswith("the engine cannot be written (File too large); the old one stays in use")


READ_ONLY = """
rebuild(0)
os.chmod(store.folder, 0o555)
os.chmod(folder, 0o755)
if os.getuid() == 0:
    os.setgroups([]); os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[3]))
print(of_build())
try:
    rebuild(1)
except EngineError as error:
    print(error)
print(of_build())
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that other users may enter."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        if (folder / "engines").exists():
            (folder / "engines").chmod(0o755)


def test_a_folder_that_is_read_only_is_named(open_folder: Path) -> None:
    """Built as root by hand, or on a read-only system; what is there goes on being used."""
    model = write_tiny_model(open_folder / "eafnet-tiny.onnx")
    before, refused, after = in_child(READ_ONLY, open_folder, model, NOBODY).splitlines()
    assert (before, after) == ("0", "0")
    assert refused.startswith(f"{open_folder}/engines: cannot be written (Permission denied)")
    assert "sudo -u twinhdr" in refused


TWO = """
rebuild(0)
reading, writing = os.pipe()
begun, go_on = os.pipe(), os.pipe()
child = os.fork()
if not child:
    def tell(what, share):
        if "latency" in what:
            os.write(begun[1], b"x")
            os.read(go_on[0], 1)
    rebuild(1, tell)
    os._exit(0)
os.read(begun[0], 1)
assert store.being_written()
try:
    rebuild(2)
except EngineError as error:
    print(error)
print(of_build())
os.write(go_on[1], b"x")
assert os.waitpid(child, 0)[1] == 0
print(of_build())
rebuild(2)
print(of_build())
"""


def test_two_builders_at_once(tmp_path: Path, model: Path) -> None:
    """A person's and the boot's: the second is told, the first is not disturbed, and readers never wait."""
    told, *builds = in_child(TWO, tmp_path, model).splitlines()
    assert told == f"{tmp_path}/engines: another build is at work there; wait for it"
    assert builds == ["0", "1", "2"]


def test_the_next_start_does_not_look_at_half_a_proof(tmp_path: Path, model: Path) -> None:
    """An interrupted write lies beside the old proof under a name of its own."""
    kit = tools(tmp_path, ReferencePlatform())
    build(job(model), kit, quiet)
    proof = kit.store.proof_path("eafnet-tiny", SIZE[1], SIZE[0], "pair")
    proof.with_name(proof.name + ".partial").write_bytes(proof.read_bytes()[:100])
    assert build(job(model), kit, quiet)[1] is False
    with pytest.raises(EngineError, match="eafnet-s-960x540-whole"):
        kit.store.load("eafnet-s", HERE)
