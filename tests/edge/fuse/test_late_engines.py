"""The recorder does not wait for engines: it takes them when they are there, and loses no frame by that."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edge.config.layers import load_config
from edge.config.schema import FuseConfig
from edge.daemon.run import run_daemon
from edge.engines import Engine, choice, platform
from edge.engines.build import BuildJob, build
from edge.engines.choice import on_gpu, proof_state
from edge.engines.driver import DriverProbe
from edge.engines.onnx import OnnxEngine
from edge.engines.store import VARIABLE, EngineStore
from edge.engines.tensorrt import TensorrtEngine
from edge.frames import Rung
from edge.fuse import ladder, ladder_plan
from edge.fuse.ladder_plan import Fusion, open_fusion
from edge.fuse.late_engines import Awaited, EngineWatch, Late, Means
from edge.fuse.line import LadderPlan
from tests.edge.engines.test_tensorrt_build import quiet, tools
from tests.edge.fuse.test_line import ALL, FUSE, SIZE, Bench, fuse_config, stamped
from tests.edge.reference_gpu import FACTS, ReferencePlatform
from tests.edge.streams import rig_spec
from tests.edge.tiny_model import write_tiny_model

MS = 1_000_000


def fine_model(path: Path) -> Path:
    """The tiny model on a grid of 16, which the line's small pictures fit."""
    model = onnx.load(str(write_tiny_model(path)))
    facts = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, {**facts, "twinhdr.multiple": "16"})
    onnx.save(model, str(path))
    return path


class Machine:
    """A machine with a reference GPU whose engines lie in a folder of the test's."""

    def __init__(self, folder: Path) -> None:
        self.model = fine_model(folder / "eafnet-tiny.onnx")
        self.platform = ReferencePlatform()
        self.store = EngineStore(folder / "engines")
        self.ready: list[Late] = []
        self.problems: list[tuple[str, ...]] = []

    def build(self, width: int = SIZE[1], height: int = SIZE[0], **more: Any) -> None:
        job = BuildJob(self.model, width, height, "whole")
        build(job, tools(self.store.folder.parent, self.platform), quiet, **more)

    def fusion(self, config: FuseConfig | None = None) -> Fusion:
        config = config or fuse_config(self.model)
        return open_fusion(config, width=SIZE[1], height=SIZE[0], period_ns=1e9, can_wait=False)

    def watch(self, fusion: Fusion, probe: Callable[[Engine], float] = lambda _engine: 0.002) -> EngineWatch:
        def open_late(one: Awaited, tell: Callable[[str], None]) -> Engine | None:
            return on_gpu(one.model, one.size, "whole", tell)

        means = Means(proof_state, open_late, probe, self.ready.append, self.problems.append)
        return EngineWatch(fusion.awaited, fusion.problems, means)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setattr(platform, "open_platform", lambda: made.platform)
    for module in (choice, ladder_plan):
        monkeypatch.setattr(module, "probe_driver", lambda: DriverProbe(FACTS, ""))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "engines"))
    return made


def settled(watch: EngineWatch) -> None:
    watch.poll()
    watch.close()


class TestWatch:
    def test_an_engine_that_is_built_meanwhile_is_found(self, machine: Machine) -> None:
        """The first boot after an update of JetPack."""
        fusion = machine.fusion()
        (awaited,) = fusion.awaited
        assert awaited.rung is Rung.MODEL
        assert isinstance(fusion.engines[Rung.MODEL], OnnxEngine)
        watch = machine.watch(fusion)
        settled(watch)
        assert (machine.ready, watch.waiting) == ([], (Rung.MODEL,))
        machine.build()
        settled(watch)
        (late,) = machine.ready
        assert isinstance(late.engine, TensorrtEngine)
        assert (late.rung, late.cost_ns) == (Rung.MODEL, pytest.approx(2 * MS))
        assert machine.problems == [()]
        assert watch.waiting == ()
        settled(watch)
        assert len(machine.ready) == 1

    def test_a_stale_engine_is_told_once_and_its_successor_taken(self, machine: Machine) -> None:
        """Looking again every second would fill the log by the next morning."""
        machine.build()
        machine.platform.tensorrt = "10.7.0"
        fusion = machine.fusion()
        (problem,) = fusion.problems
        assert "built for TensorRT 10.3.0, here is 10.7.0" in problem
        watch = machine.watch(fusion)
        for _ in range(3):
            settled(watch)
        assert machine.problems == []
        machine.platform.knobs.fails["load"] = 1  # the build's own proof; then the GPU is full
        machine.build()
        settled(watch)
        assert machine.ready == []
        assert "load answers 700" in machine.problems[-1][0]
        machine.platform.knobs.fails.clear()
        machine.build(force=True)
        settled(watch)
        assert len(machine.ready) == 1
        assert machine.problems[-1] == ()

    def test_an_engine_that_does_not_run_is_a_problem_not_a_crash(self, machine: Machine) -> None:
        """It loads and fails with the first frame."""
        watch = machine.watch(machine.fusion(), lambda engine: float(engine.encode_pair(*broken())))  # type: ignore[arg-type]

        def broken() -> Any:
            wrong = np.zeros((8, 8, 3), np.float32)
            return wrong, wrong, (0.25, 1.0, 4.0), 0.5

        machine.build()
        settled(watch)
        assert machine.ready == []
        assert "this picture is 8x8" in machine.problems[-1][0]

    def test_looking_does_not_wait_for_what_is_being_opened(self, machine: Machine) -> None:
        """Housekeeping and the watchdog are fed by the same second."""
        begun, go_on = threading.Event(), threading.Event()

        def slowly(_engine: Engine) -> float:
            begun.set()
            assert go_on.wait(20)
            return 0.001

        watch = machine.watch(machine.fusion(), slowly)
        machine.build()
        watch.poll()
        assert begun.wait(20)
        watch.poll()
        assert machine.ready == []
        go_on.set()
        watch.close()
        assert len(machine.ready) == 1

    def test_a_machine_without_a_gpu_looks_for_nothing(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nor one whose engines are all there."""
        with monkeypatch.context() as without:
            for module in (choice, ladder_plan):
                without.setattr(module, "probe_driver", lambda: DriverProbe(None, "no NVIDIA driver"))
            assert machine.fusion().awaited == ()
        machine.build()
        ready = machine.fusion()
        assert isinstance(ready.engines[Rung.MODEL], TensorrtEngine)
        assert (ready.awaited, ready.problems) == ((), ())

    def test_whoever_builds_is_named(self, machine: Machine) -> None:
        """ "Build it" would be wrong advice while that is being done."""
        with machine.store.writing():
            assert machine.store.being_written()
            (problem,) = machine.fusion().problems
        assert problem.endswith("engines are being built just now")
        assert not machine.store.being_written()
        assert "build it: twinhdr-export engine" in machine.fusion().problems[0]
        assert not EngineStore(machine.store.folder / "none").being_written()


@pytest.fixture
def late(machine: Machine) -> Late:
    machine.build()
    fusion = machine.fusion()
    return Late(Rung.MODEL, fusion.engines[Rung.MODEL], 5.0 * MS)


class TestLine:
    def test_it_takes_over_between_two_frames(self, machine: Machine, late: Late) -> None:
        """No frame is lost, none comes twice, and the picture is the network's from the next one on."""
        slow = OnnxEngine(machine.model, 1)
        plan = LadderPlan(ALL[:1] + ALL[2:], {Rung.MODEL: 900.0 * MS}, 33.0 * MS)
        bench = Bench({Rung.MODEL: slow}, plan)
        items = stamped(rig_spec(), 2.0)
        before = bench.run(items[:60], flush=False)
        assert {f.hdr.rung for f in before[3:]} == {Rung.MERGE}
        bench.line.offer(late)
        after = bench.run(items[60:])
        assert {f.hdr.rung for f in after[:-3]} == {Rung.MODEL}
        assert bench.rungs[-1][1] != ""
        assert (Rung.MODEL, "eafnet-tiny has an engine now") in bench.rungs
        seqs = [f.hdr.seq for f in (*before, *after)]
        assert seqs == sorted({i.frame.seq for i in items if i.frame.camera == "reference"})

    def test_it_comes_back_for_a_rung_that_broke(self, machine: Machine, late: Late) -> None:
        """The old engine failed in the night; the new one is no part of that."""
        plan = LadderPlan(ALL[2:], {}, 33.0 * MS)
        bench = Bench({}, plan)
        items = stamped(rig_spec(), 1.0)
        bench.run(items[:30], flush=False)
        bench.line.offer(late)
        assert {f.hdr.rung for f in bench.run(items[30:])[:-3]} == {Rung.MODEL}


BUDGET = 30.0 * MS


def test_the_ladder_takes_a_new_engine_at_once_if_it_fits() -> None:
    """Past a small model that is too slow, which a climb by single rungs would never get over."""
    probed = {Rung.MODEL: 900.0 * MS, Rung.SMALL_MODEL: 300.0 * MS}
    state = ladder.start(ALL, probed, BUDGET, 0)
    assert state.rung is Rung.MERGE
    taken = ladder.renewed(state, Rung.MODEL, 9.0 * MS, BUDGET, "new", 5)
    assert (taken.rung, taken.cause, taken.cost_ns) == (Rung.MODEL, "new", 9.0 * MS)
    assert taken.probed_ns[Rung.SMALL_MODEL] == 300.0 * MS
    slow = ladder.renewed(state, Rung.MODEL, 29.0 * MS, BUDGET, "new", 5)
    assert (slow.rung, slow.probed_ns[Rung.MODEL]) == (Rung.MERGE, 29.0 * MS)
    same = ladder.renewed(taken, Rung.MODEL, 4.0 * MS, BUDGET, "newer", 9)
    assert (same.rung, same.cost_ns, same.changed_ns) == (Rung.MODEL, 4.0 * MS, 5)
    lower = ladder.renewed(taken, Rung.SMALL_MODEL, 1.0 * MS, BUDGET, "small", 9)
    assert lower.rung is Rung.MODEL


@pytest.mark.alone
def test_a_live_recording_takes_an_engine_that_is_built_beside_it(tmp_path: Path, machine: Machine) -> None:
    """From the folder of engines to the sidecar, through the recorder as it runs."""
    config = tmp_path / "config.yaml"
    config.write_text(
        "version: 1\nrig:\n  width: 96\n  height: 64\nsimulator:\n  pace: 1\nfuse:\n"
        f"  model: {machine.model}\n  small_model: null\n  threads: 1\nweb:\n  enabled: false\n"
        "masters:\n  enabled: false\nstore:\n  min_free_gb: 0\n  min_free_share: 0\n"
    )
    builder = threading.Timer(0.5, machine.build, (96, 64))
    builder.start()
    assert run_daemon(load_config(config), 5.0, tmp_path / "session") == 0
    builder.join()
    sidecar = (tmp_path / "session" / "frames.jsonl").read_text()
    assert '"model":"eafnet-tiny"' in sidecar.replace(" ", "")
    assert '"engine"' in sidecar
    assert sum(call == "launch" for gpu in machine.platform.gpus for call in gpu.calls) > 10


def test_two_networks_are_awaited_apart(machine: Machine, tmp_path: Path) -> None:
    """Model and small model are built one after the other; the first is used as soon as it is there."""
    small = fine_model(tmp_path / "eafnet-small.onnx")
    ladder_of_all = tuple(rung.name.lower() for rung in ALL)
    models = {"model": str(machine.model), "small_model": str(small), "ladder": ladder_of_all}
    fusion = machine.fusion(FuseConfig.model_validate({**FUSE, **models}))
    assert [one.rung for one in fusion.awaited] == [Rung.MODEL, Rung.SMALL_MODEL]
    watch = machine.watch(fusion)
    machine.build()
    settled(watch)
    assert watch.waiting == (Rung.SMALL_MODEL,)
    assert [late.rung for late in machine.ready] == [Rung.MODEL]
    (problem,) = machine.problems[-1]
    assert problem.startswith("eafnet-small runs on the CPU")
