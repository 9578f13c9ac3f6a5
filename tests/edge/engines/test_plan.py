"""Engines on disk: only what is whole, of this machine and proven is used, whatever happened to the files."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.engines import EngineError
from edge.engines.plan import (
    ANY,
    WORDS,
    Identity,
    Latency,
    Proof,
    ProofError,
    differences,
    read_proof,
    write_proof,
)
from edge.engines.store import EngineStore

HERE = Identity("a" * 64, "10.3.0", "Orin", "8.7", "12.6", "L4T 36.4.3", 960, 540, "whole", "level 3")
PLANS = (b"plan" * 1000,)
ROOT = Path(__file__).resolve().parents[3]


def make_proof(
    store: EngineStore, plans: tuple[bytes, ...] = PLANS, here: Identity = HERE, db: float = 61.5
) -> Proof:
    latency = Latency(p50=9.1, p95=9.5, p99=10.2, worst=11.0, runs=100)
    return Proof(
        multiple=32,
        model="eafnet-s",
        key=here.key,
        identity=asdict(here),
        parts=store.part_files("eafnet-s", here, plans),
        agreement_db={"night-ev2": db, "sun-ev4": 70.0},
        tone_codes=1,
        latency_ms={"frame": latency, "fuse": latency},
        memory_bytes={"plans": 4000},
        software={"twinhdr": "twinhdr 0.1.0", "tensorrt": "10.3.0"},
        built="2026-11-22T12:00:00+00:00",
    )


def stored(folder: Path, db: float = 61.5, plans: tuple[bytes, ...] = PLANS) -> EngineStore:
    store = EngineStore(folder)
    with store.writing():
        store.commit(make_proof(store, plans, db=db), plans)
    return store


def refusal(store: EngineStore, here: Identity = HERE) -> str:
    with pytest.raises(EngineError) as caught:
        store.load("eafnet-s", here)
    text = str(caught.value)
    assert text.startswith(f"{store.folder}/eafnet-s-960x540-whole.")
    assert "\n" not in text
    assert "twinhdr-export engine" in text
    return text


def test_what_was_written_is_loaded(tmp_path: Path) -> None:
    """The usual day."""
    plans = (b"pair", b"frame")
    store = stored(tmp_path, plans=plans)
    found = store.load("eafnet-s", HERE)
    assert found.plans == plans
    assert (found.proof.worst_db, found.proof.worst_scene) == (61.5, "night-ev2")
    assert store.load("eafnet-s", replace(HERE, settings=ANY)).plans == plans


@pytest.mark.parametrize("field", list(WORDS))
def test_a_foreign_or_stale_engine_is_refused_by_what_differs(tmp_path: Path, field: str) -> None:
    """JetPack updated, the disk moved to another board, the model replaced: all look alike on disk."""
    kind = type(getattr(HERE, field))
    other = replace(HERE, **{field: kind(7)})
    assert other.key != HERE.key
    store = EngineStore(tmp_path)
    with store.writing():
        path = store.commit(make_proof(store, here=other), PLANS)
    if field in ("width", "height", "cut"):  # then it has another name; somebody renamed it
        path.rename(store.proof_path("eafnet-s", 960, 540, "whole"))
    assert f"built for {differences(other, HERE)}; build it again" in refusal(store)


def test_the_difference_is_told_in_words() -> None:
    """A person must know that it was the update."""
    built = replace(HERE, tensorrt="10.7.0", release="")
    assert differences(built, HERE) == "TensorRT 10.7.0, here is 10.3.0; unknown software, here is L4T 36.4.3"


def test_an_engine_that_does_not_agree_is_refused(tmp_path: Path) -> None:
    """A proof of a wrong picture is no reason to show it."""
    assert "agrees with FP32 to 49.9 dB on night-ev2, and 50 dB are needed" in refusal(stored(tmp_path, 49.9))
    assert stored(tmp_path, 50.0).load("eafnet-s", HERE)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda plan: plan[:-1], "truncated (3999 of 4000 bytes)"),
        (lambda _plan: b"", "truncated (0 of"),
        (lambda plan: plan + b"x", "longer than what was proven"),
        (lambda plan: b"x" + plan[1:], "damaged, its checksum"),
    ],
)
def test_a_damaged_plan_never_reaches_tensorrt(tmp_path: Path, damage: object, says: str) -> None:
    """Some end the process inside C++."""
    store = stored(tmp_path)
    (plan,) = tmp_path.glob("*.engine")
    plan.write_bytes(damage(plan.read_bytes()))  # type: ignore[operator]
    assert says in refusal(store)
    plan.unlink()
    assert "cannot be read (No such file or directory)" in refusal(store)


def test_an_engine_without_a_proof_is_none(tmp_path: Path) -> None:
    """However it got there."""
    store = stored(tmp_path)
    store.proof_path("eafnet-s", 960, 540, "whole").unlink()
    assert "cannot be read" in refusal(store)


PROOF = write_proof(make_proof(EngineStore(Path("/nowhere"))))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(PROOF) - 1), st.integers(1, 255), st.booleans())
def test_a_damaged_proof_is_refused(place: int, flip: int, cut: bool) -> None:
    """Any byte of it; a figure that a bad sector made up must not count."""
    damaged = PROOF[:place] + (b"" if cut else bytes([PROOF[place] ^ flip]) + PROOF[place + 1 :])
    try:
        proof, told = read_proof(damaged), ""
    except ProofError as error:
        proof, told = None, str(error)
    assert "\n" not in told
    if proof is not None:  # white space, or an escape that means the same
        assert json.loads(damaged) == json.loads(PROOF)
        assert proof == read_proof(PROOF)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"{}", b'{"format": 1}', b"\xff\xfe", b"[" * 100_000, b" " * (2 << 20)]
)
def test_files_that_are_no_proofs_are_refused(tmp_path: Path, content: bytes) -> None:
    """Empty after a power cut on a lesser file system; or of next year."""
    store = stored(tmp_path)
    store.proof_path("eafnet-s", 960, 540, "whole").write_bytes(content)
    refusal(store)


def test_a_proof_names_files_beside_it_only(tmp_path: Path) -> None:
    """A proof with a path would make the recorder run somebody else's file."""
    proof = json.loads(PROOF)
    del proof["checksum"]
    for name in ("../other.engine", "/etc/x.engine", "a/b.engine", "x.json"):
        proof["parts"][0]["file"] = name
        with pytest.raises(ValueError, match="file"):
            Proof.model_validate_json(json.dumps(proof))


def test_two_builds_do_not_write_at_once(tmp_path: Path) -> None:
    """A person's and the boot's."""
    store = EngineStore(tmp_path)
    with store.writing(), pytest.raises(EngineError, match="another build is at work"), store.writing():
        pass
    with store.writing():
        pass


def test_what_nobody_names_is_removed(tmp_path: Path) -> None:
    """Each JetPack would leave 20 MB for ever."""
    store = stored(tmp_path)
    (tmp_path / "eafnet-m.engine.partial").touch()
    with store.writing():
        store.commit(make_proof(store, (b"new",)), (b"new",))
    assert len(list(tmp_path.glob("*.engine"))) == 1
    assert not list(tmp_path.glob("*.partial"))
    assert store.load("eafnet-s", HERE).plans == (b"new",)


KILLED = """
import os, signal, sys
from pathlib import Path
from edge.engines.store import EngineStore
from tests.edge.engines.test_plan import HERE, make_proof

left = 0
def counted(call):
    def step(*arguments, **more):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if call is write:
            return call(arguments[0], bytes(arguments[1])[:3000])  # a large write comes in pieces
        return call(*arguments, **more)
    return step

write = os.write
for name in ("open", "write", "fsync", "close", "replace", "unlink"):
    setattr(os, name, counted(getattr(os, name)))

store, new = EngineStore(Path(sys.argv[1])), (b"pair" * 1500, b"frame" * 1000)
for step in range(1, 100):
    child = os.fork()
    if not child:
        left = step
        with store.writing():
            store.commit(make_proof(store, new), new)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    plans = store.load("eafnet-s", HERE).plans
    print(step, "new" if plans == new else "old" if plans == (b"plan" * 1000,) else "neither", status)
    if status == 0:
        break
    # the next one starts from the old engine again
    with store.writing():
        store.commit(make_proof(store), (b"plan" * 1000,))
"""


def test_a_kill_at_any_moment_leaves_an_engine(tmp_path: Path) -> None:
    """The power fails during an update: the old engine is in use until the new one is there as a whole."""
    stored(tmp_path)
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    rows = [line.split() for line in ended.stdout.splitlines()]
    found = [row[1] for row in rows]
    assert len(rows) > 20
    assert rows[-1][2] == "0"
    assert "neither" not in found
    assert found == sorted(found, reverse=True)  # old up to one moment, new from there on
    assert {"old", "new"} == set(found)


def test_the_identity_has_words_for_every_field() -> None:
    """A new field without words would refuse without a reason."""
    assert set(WORDS) == {field.name for field in dataclasses.fields(Identity)}
