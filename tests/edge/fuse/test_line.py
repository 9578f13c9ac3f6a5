"""The fusion line with real engines, real merge and simulated stamps: never a frame lost or out of order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from edge.config.schema import FuseConfig
from edge.develop.linear import DevelopSettings
from edge.develop.prepare import Preparer
from edge.engines import Engine, EngineError
from edge.engines.onnx import OnnxEngine
from edge.frames import Rung
from edge.fuse.fuser import Fuser
from edge.fuse.ladder_plan import open_fusion
from edge.fuse.line import Fused, FusionLine, LadderPlan
from edge.fuse.stopwatch import Stopwatch, untimed
from edge.pair import Pairer, Stamped
from edge.register.rectify import Rectifier, identity
from edge.timing.timebase import TimeBase
from hw.simulator.spec import Faults, SimulatorSpec
from tests.edge.fuse.test_fuse import Counting
from tests.edge.streams import arrivals, rig_spec
from tests.edge.tiny_model import write_tiny_model

MS = 1_000_000
SIZE = (16, 32)
SETTINGS = DevelopSettings(64, 4095)
ALL = (Rung.MODEL, Rung.SMALL_MODEL, Rung.MERGE, Rung.REFERENCE)


def stamped(spec: SimulatorSpec, seconds: float) -> list[Stamped]:
    """Frames with times, and a small grey picture each."""
    base, out = TimeBase(), []
    for arrival in arrivals(spec, seconds):
        light = arrival.frame.exposure.light / spec.reference.exposures[0].light
        counts = 64 + round(min(1.0, 0.4 * light) * (4095 - 64))
        picture = np.full(SIZE, counts, np.uint16)
        for frame, t_ns in base.stamp(replace(arrival.frame, image=picture)):
            out.append(Stamped(frame, t_ns))
    return out


@dataclass
class Bench:
    """A line, its clock, and what it reported."""

    engines: Mapping[Rung, Engine]
    plan: LadderPlan
    fails_quietly: bool = False
    now_ns: int = 0
    cost_ns: dict[str, int] = field(default_factory=dict)
    drops: list[tuple[str, int]] = field(default_factory=list)
    rungs: list[tuple[Rung, str]] = field(default_factory=list)
    failures: list[tuple[Rung, str]] = field(default_factory=list)
    stages: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        def count(stage: str, _ms: float) -> None:
            self.stages[stage] = self.stages.get(stage, 0) + 1

        def failed(rung: Rung, text: str) -> None:
            self.failures.append((rung, text))

        watch = Stopwatch(self._clock, count)
        self.line = FusionLine(
            Pairer(150 * MS, 150 * MS),
            Preparer(SETTINGS, SETTINGS, Rectifier(identity(SIZE[1], SIZE[0])), watch),
            Fuser(self.engines),
            self.plan,
            self._clock,
            watch,
            lambda cause, seq: self.drops.append((cause, seq)),
            lambda rung, cause, _t_ns: self.rungs.append((rung, cause)),
            failed if self.fails_quietly else None,
        )

    def _clock(self) -> int:
        return self.now_ns

    def run(self, items: Iterable[Stamped], backlog: int = 0, flush: bool = True) -> list[Fused]:
        out = []
        for item in items:
            self.now_ns = max(self.now_ns, item.frame.t_host_ns)
            out += list(self.line.add(item, item.frame.t_host_ns, backlog))
        return out + (list(self.line.flush()) if flush else [])


@pytest.fixture
def tiny(tmp_path: Path) -> Counting:
    return Counting(OnnxEngine(write_tiny_model(tmp_path / "eafnet-tiny.onnx"), threads=1))


@pytest.mark.parametrize(
    "faults",
    [
        Faults(),
        Faults(lost_share=0.2, late_exposure_share=0.1),
        Faults(silences=((1.0, 2.0),)),
        Faults(lost_seqs=(0, 1, 2)),
    ],
)
def test_every_reference_frame_is_fused_once_and_in_order(tiny: Counting, faults: Faults) -> None:
    """The video has the frames that the camera delivered, whatever the other camera does."""
    spec = rig_spec()
    spec = replace(spec, secondary=replace(spec.secondary, faults=faults))
    bench = Bench({Rung.MODEL: tiny}, LadderPlan((Rung.MODEL, Rung.REFERENCE), {}, None))
    items = stamped(spec, 4.0)
    fused = bench.run(items)
    assert [f.hdr.seq for f in fused] == [i.frame.seq for i in items if i.frame.camera == "reference"]
    assert all(f.hdr.seq == f.prepared.group.reference.seq for f in fused)
    assert bench.line.waiting == 0
    secondary = {i.frame.seq for i in items if i.frame.camera == "secondary"}
    assert {seq for _, seq in bench.drops} <= secondary
    assert len(bench.drops) == len(set(bench.drops))


def test_a_pair_is_prepared_and_encoded_once(tiny: Counting) -> None:
    """Four reference frames share it; developing it four times would cost more than the fusion."""
    bench = Bench({Rung.MODEL: tiny}, LadderPlan((Rung.MODEL, Rung.REFERENCE), {}, None))
    items = stamped(rig_spec(), 4.0)
    fused = bench.run(items)
    pairs = {f.prepared.group.pair_id for f in fused} - {None}
    assert tiny.pairs == len(pairs)
    assert tiny.pairs <= len(fused) / 4 + 1
    used = {f.hdr.low_seq for f in fused} | {f.hdr.high_seq for f in fused} - {None}
    assert bench.stages["register"] <= len(used) + 1
    assert bench.stages["develop"] == bench.stages["register"] + len(fused)
    assert bench.stages["fuse"] == len(fused)
    assert bench.stages["pair"] == len(items)


def test_a_change_of_rung_is_reported_once_with_its_cause(tiny: Counting) -> None:
    """The page and the sidecar show it; thirty lines a second would bury it."""
    spec = rig_spec()
    spec = replace(spec, secondary=replace(spec.secondary, faults=Faults(silences=((1.5, 2.5),))))
    bench = Bench({Rung.MODEL: tiny}, LadderPlan((Rung.MODEL, Rung.REFERENCE), {}, None))
    bench.run(stamped(spec, 4.0)[:-8], flush=False)
    assert bench.rungs == [
        (Rung.MODEL, "the best there is"),
        (Rung.REFERENCE, "no low/high pair near enough in time"),
        (Rung.MODEL, "there is a pair again"),
    ]


def test_no_rung_changes_the_brightness(tiny: Counting) -> None:
    """A rung change is a matter of detail; a jump of the level would be flicker of our making."""
    levels = {}
    for rungs in ((Rung.MERGE, Rung.REFERENCE), (Rung.REFERENCE,)):
        fused = Bench({}, LadderPlan(rungs, {}, None)).run(stamped(rig_spec(), 1.0))
        levels[rungs[0]] = np.mean([f.hdr.radiance.mean() for f in fused[2:-6]])
    assert levels[Rung.MERGE] == pytest.approx(levels[Rung.REFERENCE], rel=2e-3)
    assert levels[Rung.REFERENCE] == pytest.approx(0.4, rel=2e-3)


class Slow(Counting):
    """A real engine that takes its time on the bench's clock."""

    def __init__(self, engine: Engine, cost_ns: int) -> None:
        super().__init__(engine)
        self.cost_ns = cost_ns
        self.bench: Bench | None = None

    def fuse(self, cache: object, reference: np.ndarray) -> np.ndarray:
        assert self.bench is not None
        self.bench.now_ns += self.cost_ns
        return super().fuse(cache, reference)  # type: ignore[arg-type]


def test_a_late_network_steps_down_and_comes_back(tiny: Counting) -> None:
    """The deadline is kept within a few frames, and the better picture returns when it can."""
    slow = Slow(tiny._engine, 60 * MS)
    plan = LadderPlan(ALL[:1] + ALL[2:], {Rung.MODEL: 10.0 * MS}, 30.0 * MS)
    bench = Bench({Rung.MODEL: slow}, plan)
    slow.bench = bench
    items = stamped(rig_spec(), 14.0)
    half = len(items) // 4
    early = bench.run(items[:half], flush=False)
    assert [f.hdr.rung for f in early].count(Rung.MODEL) <= 6
    assert bench.rungs[1][0] is Rung.MERGE
    assert "ms" in bench.rungs[1][1]
    slow.cost_ns = 5 * MS
    late = bench.run(items[half:])
    assert late[-20].hdr.rung is Rung.MODEL
    assert (Rung.MODEL, "there is time again") in bench.rungs


@pytest.mark.parametrize(
    "error", [EngineError("eafnet: CUDA out of memory"), RuntimeError("device lost"), MemoryError()]
)
def test_a_network_that_breaks_costs_its_rung_and_no_frame(tiny: Counting, error: Exception) -> None:
    """On a roof nobody restarts it: the frame goes to the next rung, and the page says so."""
    bench = Bench({Rung.MODEL: tiny}, LadderPlan(ALL[:1] + ALL[2:], {}, None), fails_quietly=True)
    items = stamped(rig_spec(), 3.0)
    first = bench.run(items[:60], flush=False)
    assert first[-1].hdr.rung is Rung.MODEL
    tiny.error = error
    rest = bench.run(items[60:])
    seqs = [f.hdr.seq for f in first + rest]
    assert seqs == [i.frame.seq for i in items if i.frame.camera == "reference"]
    assert {f.hdr.rung for f in rest[:-6]} == {Rung.MERGE}
    assert [rung for rung, _ in bench.failures] == [Rung.MODEL]
    assert bench.rungs[:2] == [(Rung.MODEL, "the best there is"), (Rung.MERGE, "model failed")]
    calls = tiny.frames
    assert calls == sum(f.hdr.rung is Rung.MODEL for f in first) + 1, "it is not tried again"


def test_both_networks_may_break_in_one_frame(tiny: Counting, tmp_path: Path) -> None:
    """One driver serves both."""
    other = Counting(tiny._engine)
    tiny.error = other.error = RuntimeError("device lost")
    engines = {Rung.MODEL: tiny, Rung.SMALL_MODEL: other}
    bench = Bench(engines, LadderPlan(ALL, {}, 30.0 * MS), fails_quietly=True)
    fused = bench.run(stamped(rig_spec(), 1.0))
    assert fused[0].hdr.rung is Rung.MERGE
    assert [rung for rung, _ in bench.failures] == [Rung.MODEL, Rung.SMALL_MODEL]
    assert bench.rungs[0] == (Rung.MERGE, "small_model failed")


def test_offline_a_broken_network_is_an_error(tiny: Counting) -> None:
    """Refusing with a network that does not run must not write a reference-only video as if it did."""
    tiny.error = RuntimeError("device lost")
    bench = Bench({Rung.MODEL: tiny}, LadderPlan((Rung.MODEL, Rung.REFERENCE), {}, None))
    with pytest.raises(EngineError, match="device lost"):
        bench.run(stamped(rig_spec(), 1.0))


def test_in_a_hurry_the_rest_goes_on_the_merge(tiny: Counting) -> None:
    """Ctrl-C must not wait for a slow network, and still lose nothing."""
    bench = Bench({Rung.MODEL: tiny}, LadderPlan(ALL[:1] + ALL[2:], {}, None))
    items = stamped(rig_spec(), 2.0)
    before = bench.run(items[:60], flush=False)
    bench.line.hurry()
    after = bench.run(items[60:])
    assert {f.hdr.rung for f in after} <= {Rung.MERGE, Rung.REFERENCE}
    assert after[0].hdr.rung is Rung.MERGE
    assert len(before) + len(after) == sum(i.frame.camera == "reference" for i in items)
    alone = Bench({Rung.MODEL: tiny}, LadderPlan((Rung.MODEL, Rung.REFERENCE), {}, None))
    alone.line.hurry()
    assert {f.hdr.rung for f in alone.run(items)} == {Rung.REFERENCE}


FUSE = {
    "small_model": None,
    "threads": 1,
    "alignment": "auto",
    "deadline_share": 0.9,
    "ladder": ("model", "merge", "reference"),
}


def fuse_config(model: Path) -> FuseConfig:
    return FuseConfig.model_validate({**FUSE, "model": str(model)})


def test_a_network_that_cannot_run_costs_its_rung_at_the_start(tmp_path: Path) -> None:
    """A file for another size must not keep the recorder from starting."""
    import onnx

    model = onnx.load(str(write_tiny_model(tmp_path / "tiny.onnx")))
    for entry in model.graph.input[:3]:
        entry.type.tensor_type.shape.dim[2].dim_value = 64
        entry.type.tensor_type.shape.dim[3].dim_value = 64
    onnx.save(model, str(tmp_path / "static.onnx"))
    for path in (tmp_path / "static.onnx", tmp_path / "missing.onnx"):
        fusion = open_fusion(fuse_config(path), width=96, height=96, period_ns=33e6, can_wait=False)
        assert fusion.engines == {}
        assert fusion.plan.allowed == (Rung.MERGE, Rung.REFERENCE)
        assert str(path) in fusion.problems[0]


def test_a_source_that_waits_has_no_deadline_but_a_sensible_rung(tmp_path: Path) -> None:
    """A simulation must not run at one frame a second because it could."""
    path = write_tiny_model(tmp_path / "tiny.onnx")
    quick = open_fusion(fuse_config(path), width=64, height=64, period_ns=10e9, can_wait=True)
    assert quick.plan.allowed[0] is Rung.MODEL
    assert quick.plan.budget_ns is None
    late = open_fusion(fuse_config(path), width=64, height=64, period_ns=1.0, can_wait=True)
    assert late.plan.allowed == (Rung.MERGE, Rung.REFERENCE)
    live = open_fusion(fuse_config(path), width=64, height=64, period_ns=1e9, can_wait=False)
    assert live.plan.budget_ns == pytest.approx(0.9e9)
    assert untimed() is not None


def test_a_limit_holds_from_the_next_frame_on_and_is_lifted(tiny: Counting) -> None:
    """Heat must lower the rung whatever the deadline says, and its cause be told."""
    bench = Bench({Rung.MODEL: tiny}, LadderPlan((Rung.MODEL, Rung.MERGE, Rung.REFERENCE), {}, None))
    items = stamped(rig_spec(), 3.0)
    third = len(items) // 3
    cool = bench.run(items[:third], flush=False)
    bench.line.limit(Rung.MERGE, "tj-thermal is at 90 degrees")
    hot = bench.run(items[third : 2 * third], flush=False)
    bench.line.limit(Rung.MODEL, "")
    after = bench.run(items[2 * third :])
    paired = [[f.hdr.rung for f in part if f.hdr.low_seq is not None] for part in (cool, hot, after)]
    assert [set(part) for part in paired] == [{Rung.MODEL}, {Rung.MERGE}, {Rung.MODEL}]
    assert (Rung.MERGE, "tj-thermal is at 90 degrees") in bench.rungs
    assert bench.line.at is None
