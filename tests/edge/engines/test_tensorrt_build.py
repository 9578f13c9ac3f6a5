"""Building, proving and choosing engines: the old one stays until a new one is proven; nothing crashes."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge.config.layers import Config, load_config
from edge.doctor.engines import engine_findings
from edge.engines import EngineError, choice, open_engine
from edge.engines.build import BuildJob, Timings, Tools, build, workspace_bytes
from edge.engines.choice import on_gpu, wanted_engines
from edge.engines.driver import DriverProbe
from edge.engines.gpu import BuildSettings, GpuError
from edge.engines.onnx import OnnxEngine
from edge.engines.plan import Proof
from edge.engines.prove import Golden
from edge.engines.store import VARIABLE, EngineStore
from edge.engines.tensorrt import TensorrtEngine
from edge.frames import Rung
from edge.fuse.ladder_plan import open_fusion
from export.graphs import engine_command
from export.graphs.static_shapes import fixed
from tests.edge.reference_gpu import FACTS, Knobs, ReferencePlatform
from tests.edge.tiny_model import write_tiny_model

SIZE = (64, 96)
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "eafnet-tiny.onnx")


def scenes(height: int, width: int) -> list[Golden]:
    found = []
    for seed, ev in ((1, 2), (2, 4)):
        light = (2.0**-ev, 1.0, 2.0**ev)
        scene = np.random.default_rng(seed).random((height, width, 3), np.float32) * 2
        low, reference, high = (np.clip(scene * t, 0, 1).astype(np.float32) for t in light)
        found.append(Golden(f"random-ev{ev}", low, reference, high, light))
    return found


def tools(folder: Path, platform: ReferencePlatform) -> Tools:
    return Tools(
        platform=platform,  # type: ignore[arg-type]
        store=EngineStore(folder / "engines"),
        prepare=fixed,
        exact=lambda path: OnnxEngine(path, 1),
        goldens=scenes,
        now_ns=itertools.count(0, 1_000_000).__next__,
        date="2026-11-22T12:00:00+00:00",
        software="twinhdr 0.1.0",
        latency_runs=10,
    )


def job(model: Path, **more: Any) -> BuildJob:
    return BuildJob(model, SIZE[1], SIZE[0], more.pop("cut", "pair"), **more)


def quiet(_what: str, _share: float) -> None: ...


def brighter(graph: onnx.ModelProto) -> None:
    """What a wrong kernel does."""
    for constant in graph.graph.initializer:
        if constant.name == "weight":
            value = numpy_helper.to_array(constant) * np.float32(1.05)
            constant.CopyFrom(numpy_helper.from_array(value, constant.name))


class TestBuild:
    @pytest.mark.parametrize("cut", ["whole", "pair"])
    def test_an_engine_is_built_proven_and_found(self, tmp_path: Path, model: Path, cut: str) -> None:
        """The whole way of an engine."""
        platform = ReferencePlatform()
        told: list[str] = []
        kit = tools(tmp_path, platform)
        proof, built = build(job(model, cut=cut), kit, lambda what, _: told.append(what))
        assert built
        assert proof.agreement_db == {"random-ev2": 120.0, "random-ev4": 120.0}
        assert proof.latency_ms["frame"].p50 == proof.latency_ms["fuse"].worst == 1.0
        assert proof.memory_bytes["plans"] == sum(part.bytes for part in proof.parts)
        assert proof.memory_bytes["buffers"] == proof.memory_bytes["device"]
        assert len(proof.parts) == (2 if cut == "pair" else 1)
        assert told[0] == "preparing the graph"
        assert told[-1] == "measuring its latency"
        assert any("building" in line for line in told)
        heard: list[str] = []
        engine = on_gpu(model, SIZE, cut, heard.append, platform=lambda: platform, store=kit.store)  # type: ignore[arg-type]
        assert isinstance(engine, TensorrtEngine)
        assert heard == []
        assert engine.multiple == 32

    def test_what_fits_is_left_alone(self, tmp_path: Path, model: Path) -> None:
        """The unit runs at every boot."""
        platform = ReferencePlatform()
        kit = tools(tmp_path, platform)
        first, _ = build(job(model), kit, quiet)
        again, built = build(job(model), kit, quiet)
        assert (again, built) == (first, False)
        assert build(job(model), kit, quiet, force=True)[1]

    @pytest.mark.parametrize(
        "change",
        [
            {"tensorrt": "10.7.0"},
            {"facts": replace(FACTS, release="L4T 36.5.0")},
            {"facts": replace(FACTS, name="Orin Nano")},
        ],
    )
    def test_an_update_builds_again(self, tmp_path: Path, model: Path, change: dict[str, Any]) -> None:
        """JetPack was updated, or the disk sits in another board."""
        build(job(model), tools(tmp_path, ReferencePlatform()), quiet)
        assert build(job(model), tools(tmp_path, ReferencePlatform(**change)), quiet)[1]
        assert len(list((tmp_path / "engines").glob("*.engine"))) == 2

    def test_an_engine_that_computes_another_picture_is_not_used(self, tmp_path: Path, model: Path) -> None:
        """Five percent of brightness are 45 dB; the old engine goes on."""
        good, bad = ReferencePlatform(), ReferencePlatform()
        kit = tools(tmp_path, good)
        first, _ = build(job(model), kit, quiet)
        bad.made.spoil = brighter
        with pytest.raises(EngineError, match=r"agrees with FP32 to \d\d\.\d dB on random-ev2, and 50 dB"):
            build(job(model), tools(tmp_path, bad), quiet, force=True)
        assert build(job(model), kit, quiet) == (first, False)

    def test_a_picture_of_nan_is_no_agreement(self, tmp_path: Path, model: Path) -> None:
        """FP16 overflowed; NaN compares as nothing and would pass a careless gate."""
        platform = ReferencePlatform()

        def overflow(graph: onnx.ModelProto) -> None:
            for constant in graph.graph.initializer:
                if constant.name == "weight":
                    value = np.full_like(numpy_helper.to_array(constant), np.nan)
                    constant.CopyFrom(numpy_helper.from_array(value, constant.name))

        platform.made.spoil = overflow
        with pytest.raises(EngineError, match=r"to 0\.0 dB on random-ev2"):
            build(job(model), tools(tmp_path, platform), quiet)

    @pytest.mark.parametrize("call", ["build", "load", "shared", "enqueue", "wait", "free_bytes"])
    def test_a_build_that_fails_leaves_the_old_engine(self, tmp_path: Path, model: Path, call: str) -> None:
        """Out of memory beside the running recorder, most likely."""
        kit = tools(tmp_path, ReferencePlatform())
        first, _ = build(job(model), kit, quiet)
        broken = ReferencePlatform(knobs=Knobs({call: 0}))
        with pytest.raises(EngineError, match=f"{call} answers 700"):
            build(job(model), tools(tmp_path, broken), quiet, force=True)
        assert build(job(model), kit, quiet) == (first, False)

    def test_a_person_who_gives_up_leaves_the_old_engine(self, tmp_path: Path, model: Path) -> None:
        """Ctrl-C after a minute of waiting."""
        kit = tools(tmp_path, ReferencePlatform())
        first, _ = build(job(model), kit, quiet)

        def stop(what: str, _share: float) -> None:
            if "comparing" in what:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            build(job(model), kit, stop, force=True)
        assert build(job(model), kit, quiet) == (first, False)

    def test_models_that_cannot_be_built_are_named(self, tmp_path: Path, model: Path) -> None:
        """Any file can be given."""
        kit = tools(tmp_path, ReferencePlatform())
        damaged = tmp_path / "damaged.onnx"
        damaged.write_bytes(model.read_bytes()[:200])
        with pytest.raises(EngineError, match=r"damaged\.onnx: cannot be prepared for TensorRT"):
            build(job(damaged), kit, quiet)
        with pytest.raises(EngineError, match=r"gone\.onnx: cannot be read"):
            build(job(tmp_path / "gone.onnx"), kit, quiet)

    def test_timings_are_an_aid_and_never_a_fault(self, tmp_path: Path, model: Path) -> None:
        """The second build takes half as long; a damaged cache is an empty one."""
        platform = ReferencePlatform()
        kit = tools(tmp_path, platform)
        build(job(model), kit, quiet)
        timings = Timings(kit.store.folder, platform)  # type: ignore[arg-type]
        assert timings.read() == b"tt"
        timings.path.write_bytes(timings.path.read_bytes() + b"x")
        build(job(model), kit, quiet, force=True)
        assert platform.made.seen == [b"", b"t", b"", b"t"]

    def test_the_workspace_leaves_room(self) -> None:
        """On a Jetson it is everybody's memory."""
        assert workspace_bytes(1 << 30) == 1 << 29
        assert workspace_bytes(100 << 30) == 4 << 30
        with pytest.raises(GpuError, match=r"100 MiB of GPU memory are free, a build needs 256; close"):
            workspace_bytes(100 << 20)


class TestChoice:
    @pytest.fixture
    def store(self, tmp_path: Path, model: Path) -> EngineStore:
        kit = tools(tmp_path, ReferencePlatform())
        build(job(model, cut="whole"), kit, quiet)
        return kit.store

    def told(self, model: Path, store: EngineStore, open_here: Callable[[], Any]) -> str:
        heard: list[str] = []
        engine = on_gpu(
            model, SIZE, "whole", heard.append, platform=open_here, store=store, has_gpu=lambda: True
        )
        assert engine is None
        (line,) = heard
        assert "\n" not in line
        assert line.startswith("eafnet-tiny runs on the CPU: ")
        return line

    def test_one_cut_does_for_the_other(self, model: Path, store: EngineStore) -> None:
        """Alignment was switched off since; the whole network computes the same."""
        heard: list[str] = []
        engine = on_gpu(model, SIZE, "pair", heard.append, platform=ReferencePlatform, store=store)  # type: ignore[arg-type]
        assert isinstance(engine, TensorrtEngine)
        assert heard == []

    def test_without_gpu_and_engine_nobody_is_told(self, model: Path, tmp_path: Path) -> None:
        """A PC has none and misses none."""
        heard: list[str] = []
        empty = EngineStore(tmp_path / "none")
        assert on_gpu(model, SIZE, "whole", heard.append, store=empty, has_gpu=lambda: False) is None
        assert heard == []

    def test_a_gpu_without_an_engine_is_told_how_to_build_one(self, model: Path, tmp_path: Path) -> None:
        """Else a Jetson would crawl on its CPU and nobody knew why."""
        line = self.told(model, EngineStore(tmp_path / "none"), ReferencePlatform)
        assert "twinhdr-export engine --model tiny --size 96x64" in line

    def test_a_driver_that_is_gone_is_told(self, model: Path, store: EngineStore) -> None:
        """There was an engine, so there was a GPU."""

        def gone() -> Any:
            raise EngineError("no TensorRT engine can run here: no NVIDIA driver")

        assert "no NVIDIA driver" in self.told(model, store, gone)

    def test_a_stale_engine_is_told(self, model: Path, store: EngineStore) -> None:
        """By what was updated."""
        line = self.told(model, store, lambda: ReferencePlatform(tensorrt="10.7.0"))
        assert "built for TensorRT 10.3.0, here is 10.7.0; build it again: twinhdr-export engine" in line

    def test_another_model_of_the_same_name_is_told(self, model: Path, store: EngineStore) -> None:
        """Trained again; the engine still has the old weights."""
        write_tiny_model(model, gain=0.5)
        assert "built for another model file" in self.told(model, store, ReferencePlatform)

    @pytest.mark.parametrize("call", ["load", "shared"])
    def test_a_gpu_that_refuses_is_told(self, model: Path, store: EngineStore, call: str) -> None:
        """Its memory is full."""
        line = self.told(model, store, lambda: ReferencePlatform(knobs=Knobs({call: 0})))
        assert f"does not start ({call} answers 700)" in line

    def test_the_daemon_goes_on_and_says_so(
        self, model: Path, store: EngineStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """The engine is refused on this machine, ONNX Runtime fuses, the page has the reason."""
        monkeypatch.setenv(VARIABLE, str(store.folder))
        path = tmp_path / "config.yaml"
        path.write_text(f"fuse:\n  model: {model}\n  threads: 1\n")
        config = load_config(path).fuse
        fusion = open_fusion(config, width=96, height=64, period_ns=1e9, can_wait=False)
        assert isinstance(fusion.engines[Rung.MODEL], OnnxEngine | TensorrtEngine)
        if isinstance(fusion.engines[Rung.MODEL], OnnxEngine):
            (problem,) = fusion.problems
            assert problem.startswith("eafnet-tiny runs on the CPU: ")

    def test_offline_work_takes_any_size(self, model: Path, store: EngineStore) -> None:
        """Stills have sizes that no plan was built for."""
        assert isinstance(open_engine(str(model), 1), OnnxEngine)


def config_for(tmp_path: Path, model: Path) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(f"rig:\n  width: 96\n  height: 64\nfuse:\n  model: {model}\n")
    return load_config(path)


def test_wanted_are_the_engines_of_the_configuration(tmp_path: Path, model: Path) -> None:
    """The unit builds these and no others."""
    config = config_for(tmp_path, model)
    assert wanted_engines(config.fuse, config.rig) == [choice.Wanted(str(model), 96, 64, "whole")]
    off = config.fuse.model_copy(update={"alignment": "off", "small_model": "s"})
    assert wanted_engines(off, config.rig) == [
        choice.Wanted(str(model), 96, 64, "pair"),
        choice.Wanted("s", 96, 64, "pair"),
    ]


class TestDoctor:
    def findings(self, tmp_path: Path, model: Path, driver: DriverProbe, platform: Any) -> dict[str, str]:
        def open_here() -> Any:
            if isinstance(platform, str):
                raise EngineError(platform)
            return platform

        store = EngineStore(tmp_path / "engines")
        found = list(engine_findings(config_for(tmp_path, model), driver, open_here, store))
        return {f.name.replace(str(model), "tiny"): f"{f.state}: {f.found}" for f in found}

    def test_each_state_is_named(self, tmp_path: Path, model: Path) -> None:
        """Driver, TensorRT, engine, proof: the first one that is wrong is the one to repair."""
        here, none = DriverProbe(FACTS, ""), DriverProbe(None, "no NVIDIA driver", library=False)
        platform = ReferencePlatform()
        assert self.findings(tmp_path, model, none, "") == {}
        assert self.findings(tmp_path, model, DriverProbe(None, "cuInit answers 100"), "") == {
            "driver": "warn: cuInit answers 100"
        }
        assert self.findings(tmp_path, model, here, "no tensorrt")["tensorrt"] == "warn: no tensorrt"
        missing = self.findings(tmp_path, model, here, platform)
        assert missing["driver"].startswith("ok: Reference, SM 8.7, CUDA 12.6, L4T 36.4.3")
        assert missing["engine tiny"].startswith("warn: none for 96x64")
        build(job(model, cut="whole"), tools(tmp_path, platform), quiet)
        good = self.findings(tmp_path, model, here, platform)["engine tiny"]
        assert good.startswith("ok: 96x64, whole: agrees with FP32 to 120.0 dB or better on 2 scenes; 1.0 ms")
        stale = self.findings(tmp_path, model, here, ReferencePlatform(tensorrt="10.4.0"))["engine tiny"]
        assert stale.startswith("warn: ")
        assert "built for TensorRT 10.3.0" in stale
        assert "cannot run: no NVIDIA driver" in self.findings(tmp_path, model, none, "")["engine tiny"]


class TestCommand:
    def test_it_builds_what_the_configuration_asks_for(
        self, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """As the unit does, from the shipped conversion to the golden scenes."""
        monkeypatch.setattr(engine_command, "prepare", fixed)  # the tiny network has no parts to keep in FP32
        monkeypatch.setattr(engine_command, "golden_scenes", scenes)
        config_for(tmp_path, model)
        jobs = engine_command._jobs([], None, None, tmp_path / "config.yaml", 3)
        assert jobs == [BuildJob(model, 96, 64, "whole", BuildSettings(3))]
        platform: Any = ReferencePlatform()
        assert engine_command.run(jobs, platform, tmp_path / "engines", force=False) == 0
        assert "eafnet-tiny: built: 96x64, whole: agrees with FP32" in capsys.readouterr().out
        assert engine_command.run(jobs, platform, tmp_path / "engines", force=False) == 0
        assert "up to date" in capsys.readouterr().out
        broken: Any = ReferencePlatform(knobs=Knobs({"build": 0}))
        assert engine_command.run(jobs, broken, tmp_path / "engines", force=True) == 1
        assert "build answers 700" in capsys.readouterr().err

    def test_it_needs_no_torch(self) -> None:
        """The device has none; it has onnx, numpy and what JetPack brings."""
        program = """
import sys
for name in ("torch", "safetensors", "matplotlib"):
    sys.modules[name] = None
from typer.testing import CliRunner
import export.graphs.golden, export.graphs.half, export.graphs.static_shapes
from edge.engines.platform import missing
from export.cli import app
ended = CliRunner().invoke(app, ["engine", "--model", "s", "--size", "64x64", "--folder", "/dev/null/none"])
print(ended.exit_code, bool(missing()), ended.output)
"""
        ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        code, lacking, said = ended.stdout.split(maxsplit=2)
        if lacking == "True":  # then the command says so, and which one to run where
            assert code == "69"
            assert "an engine is built on the machine that runs it; on the device: sudo -u twinhdr" in said
        else:
            assert (code, "/dev/null/none" in said) == ("1", True)

    def test_golden_scenes_reach_the_widest_bracket(self) -> None:
        """FP16 runs out of digits there first, if anywhere."""
        goldens = engine_command.golden_scenes(96, 128)
        assert [golden.name for golden in goldens] == [
            f"{light}-ev{ev}" for light in ("night", "sun", "windows") for ev in (2, 4)
        ]
        assert all(golden.reference.shape == (96, 128, 3) for golden in goldens)
        assert max(golden.light[2] / golden.light[0] for golden in goldens) == pytest.approx(256, rel=0.05)


def test_a_proof_has_all_that_a_person_asks(tmp_path: Path, model: Path) -> None:
    """Which machine, which software, how well, how fast."""
    proof, _ = build(job(model), tools(tmp_path, ReferencePlatform()), quiet)
    (path,) = (tmp_path / "engines").glob("*.json")
    text = path.read_text()
    for word in ("Reference", "10.3.0", "L4T 36.4.3", "random-ev4", "p99", "activations", proof.key):
        assert word in text
    assert isinstance(proof, Proof)
