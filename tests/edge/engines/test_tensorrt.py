"""The TensorRT engine: the same pictures as ONNX Runtime, from memory that is allocated once.

The GPU is the reference one unless this machine has a real one; then the contract runs there too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge.engines import Engine, EngineError, mean_gamma
from edge.engines.framing import framed, in_two
from edge.engines.gpu import BuildSettings
from edge.engines.onnx import OnnxEngine
from edge.engines.platform import missing, open_platform
from edge.engines.tensorrt import MOST_SLOTS, TensorrtEngine
from edge.engines.tone import toned
from edge.frames import FloatImage
from export.graphs.half import halve
from export.graphs.static_shapes import fixed
from tests.edge.reference_gpu import MAGIC, Knobs, ReferenceGpu
from tests.edge.tiny_model import write_tiny_model

LIGHT = (0.25, 1.0, 4.0)
SIZE = (54, 97)  # neither side a multiple of the network's 32
SHIPPED = Path(__file__).resolve().parents[3] / "edge/models/eafnet-s.onnx"
Images = tuple[FloatImage, FloatImage, FloatImage]


def graphs(model: Path, cut: str, size: tuple[int, int] = SIZE, half: bool = False) -> list[bytes]:
    """What a build of ``model`` hands to TensorRT."""
    whole = fixed(onnx.load(str(model)), *size)
    graph = framed(halve(whole) if half else whole, *size)
    names = {entry.key: entry.value for entry in graph.metadata_props}["twinhdr.pair_cache"].split(",")
    *first, last = in_two(graph, names) if cut == "pair" else (graph,)
    return [part.SerializeToString() for part in (*first, toned(last, *size))]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "eafnet-tiny.onnx")


def on_reference(model: Path, cut: str, gpu: ReferenceGpu, **more: bool) -> TensorrtEngine:
    plans = [MAGIC + graph for graph in graphs(model, cut, **more)]
    return TensorrtEngine("eafnet-tiny", plans, gpu, "/engines/eafnet-tiny.json")  # type: ignore[arg-type]


def on_this_gpu(model: Path, cut: str) -> TensorrtEngine:
    if lacking := missing():
        pytest.skip(f"no TensorRT here: {lacking}; run this file on the device")
    platform = open_platform()
    builder, gpu = platform.builder(), platform.gpu()
    built = [
        builder.build(graph, BuildSettings(), 256 << 20, b"", lambda *_: None) for graph in graphs(model, cut)
    ]
    return TensorrtEngine("eafnet-tiny", [one.plan for one in built], gpu, "/engines/eafnet-tiny.json")


BACKENDS: dict[str, Callable[[Path], Engine]] = {
    "onnxruntime": lambda model: OnnxEngine(model, 1),
    "whole": lambda model: on_reference(model, "whole", ReferenceGpu()),
    "pair": lambda model: on_reference(model, "pair", ReferenceGpu()),
    "whole, unified": lambda model: on_reference(model, "whole", ReferenceGpu(unified=True)),
    "pair, unified": lambda model: on_reference(model, "pair", ReferenceGpu(unified=True)),
    "whole, this GPU": lambda model: on_this_gpu(model, "whole"),
    "pair, this GPU": lambda model: on_this_gpu(model, "pair"),
}


@pytest.fixture(scope="module", params=list(BACKENDS))
def engine(request: pytest.FixtureRequest, tiny: Path) -> Engine:
    return BACKENDS[request.param](tiny)


@pytest.fixture(scope="module")
def exact(tiny: Path) -> OnnxEngine:
    return OnnxEngine(tiny, threads=1)


def bracket(seed: int = 1, size: tuple[int, int] = SIZE) -> Images:
    scene = np.random.default_rng(seed).random((*size, 3), np.float32) * 2
    low, reference, high = (np.clip(scene * light, 0, 1).astype(np.float32) for light in LIGHT)
    return low, reference, high


def fuse(engine: Engine, images: Images) -> FloatImage:
    low, reference, high = images
    return engine.fuse(engine.encode_pair(low, high, LIGHT, mean_gamma(reference)), reference)


class TestContract:
    """What every backend has to do alike."""

    def test_the_picture_is_the_same(self, engine: Engine, exact: OnnxEngine) -> None:
        """Another rung of the ladder, not another camera."""
        for seed in range(4):  # plain, captured, launched
            out = fuse(engine, bracket(seed))
            np.testing.assert_allclose(out, fuse(exact, bracket(seed)), atol=2e-3)
            assert (out.dtype, out.flags.c_contiguous) == (np.float32, True)

    def test_a_pair_serves_all_its_frames(self, engine: Engine, exact: OnnxEngine) -> None:
        """Four reference frames share a pair; the second must not see the first."""
        low, _, high = bracket(1)
        cache, expected = (e.encode_pair(low, high, LIGHT, 0.5) for e in (engine, exact))
        for seed in range(2, 6):
            reference = bracket(seed)[1]
            np.testing.assert_allclose(
                engine.fuse(cache, reference), exact.fuse(expected, reference), atol=2e-3
            )

    def test_an_older_pair_stays_what_it_was(self, engine: Engine, exact: OnnxEngine) -> None:
        """The fuser makes the next cache while it holds the last; both are the network's own pictures."""
        pairs = [bracket(seed) for seed in (1, 2, 3)]
        caches = [engine.encode_pair(low, high, LIGHT, 0.5) for low, _, high in pairs]
        expected = [exact.encode_pair(low, high, LIGHT, 0.5) for low, _, high in pairs]
        for number in (2, 0, 1, 0):
            reference = pairs[number][1]
            np.testing.assert_allclose(
                engine.fuse(caches[number], reference), exact.fuse(expected[number], reference), atol=2e-3
            )

    def test_an_answer_is_the_callers_own(self, engine: Engine) -> None:
        """Frames wait for the encoder while the next one is fused."""
        first = fuse(engine, bracket(1))
        kept = first.copy()
        fuse(engine, bracket(2))
        np.testing.assert_array_equal(first, kept)

    def test_light_counts_by_its_ratios_and_means_are_taken_as_given(
        self, engine: Engine, exact: OnnxEngine
    ) -> None:
        """Microseconds times gain or multiples of the reference; tiles with the means of the whole."""
        low, reference, high = bracket(1)
        told = [
            e.fuse(e.encode_pair(low, high, (2e3, 8e3, 32e3), 0.4, (0.1, 0.9)), reference)
            for e in (engine, exact)
        ]
        np.testing.assert_allclose(*told, atol=2e-3)

    def test_what_belongs_to_another_pair_or_engine_is_refused(self, engine: Engine, tiny: Path) -> None:
        """A foreign address would be read without a word."""
        low, reference, high = bracket(1)
        cache = engine.encode_pair(low, high, LIGHT, 0.5)
        with pytest.raises(ValueError, match="pair is"):
            engine.fuse(cache, np.ascontiguousarray(reference.transpose(1, 0, 2)))
        with pytest.raises(ValueError, match="one size"):
            engine.encode_pair(low, high[1:], LIGHT, 0.5)
        for foreign in (object(), OnnxEngine(tiny, 1).encode_pair(low, high, LIGHT, 0.5)):
            with pytest.raises(TypeError, match="encode_pair"):
                engine.fuse(foreign, reference)


def test_the_shipped_network_in_fp16() -> None:
    """Frames in, frame out, FP16 between: what the device runs, on the real network."""
    gpu = ReferenceGpu()
    engine = on_reference(SHIPPED, "pair", gpu, half=True)
    images = bracket(1)
    expected = fuse(OnnxEngine(SHIPPED, 1), images)
    np.testing.assert_allclose(fuse(engine, images), expected, rtol=0.02, atol=5e-3)


def test_a_pair_is_encoded_once_and_stays_on_the_gpu(tiny: Path) -> None:
    """The saving that two graphs are for."""
    gpu = ReferenceGpu()
    engine = on_reference(tiny, "pair", gpu)
    low, reference, high = bracket(1)
    cache = engine.encode_pair(low, high, LIGHT, 0.5)
    engine.fuse(cache, reference)
    gpu.calls.clear()
    engine.fuse(cache, reference)
    engine.fuse(cache, reference)
    work = [*["to_gpu"] * 2, "enqueue", *["to_host"] * 4]  # reference, signal; radiance, planes, light
    assert gpu.calls == ["capture", *work, "launch", "wait", "launch", "wait"]


def test_nothing_is_allocated_after_the_first_frames(tiny: Path) -> None:
    """Allocations wait for the GPU, and a recorder that grows ends at night."""
    gpu = ReferenceGpu()
    engine = on_reference(tiny, "pair", gpu)
    for seed in range(3):
        fuse(engine, bracket(seed))
    allocated, taken = len(gpu.memory), engine.buffer_bytes
    gpu.calls.clear()
    for seed in range(6):
        fuse(engine, bracket(seed))
    assert len(gpu.memory) == allocated
    assert engine.buffer_bytes == taken == sum(memory.nbytes for memory in gpu.memory.values())
    assert set(gpu.calls) == {"launch", "wait"}
    assert engine.captured


def test_unified_memory_is_not_copied(tiny: Path) -> None:
    """On a Jetson the GPU reads the host's pages; a copy would cost a twentieth of the frame."""
    gpu = ReferenceGpu(unified=True)
    engine = on_reference(tiny, "whole", gpu)
    fuse(engine, bracket(1))
    for memory in engine._frame.values():
        assert np.shares_memory(memory.array, gpu.memory[memory.address])


def test_without_graphs_it_runs_plainly(
    tiny: Path, exact: OnnxEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """Some drivers and some layers cannot be captured: slower, and the same picture; told once."""
    gpu = ReferenceGpu(knobs=Knobs({"capture": 0}))
    engine = on_reference(tiny, "pair", gpu)
    with caplog.at_level(logging.WARNING):
        for seed in range(5):
            np.testing.assert_allclose(fuse(engine, bracket(seed)), fuse(exact, bracket(seed)), atol=1e-6)
    assert not engine.captured
    assert [record.getMessage() for record in caplog.records] == [
        "eafnet-tiny: runs without CUDA graphs (capture answers 700)"
    ]


@pytest.mark.parametrize("call", ["enqueue", "wait", "launch", "to_gpu", "to_host"])
def test_a_gpu_that_fails_costs_the_rung_not_the_process(tiny: Path, call: str) -> None:
    """The fuser turns it into the next rung."""
    knobs = Knobs()
    engine = on_reference(tiny, "pair", ReferenceGpu(knobs=knobs))
    fuse(engine, bracket(1))
    if call == "launch":
        fuse(engine, bracket(1))
    knobs.fails[call] = 0
    with pytest.raises(EngineError) as caught:
        fuse(engine, bracket(1))
    assert str(caught.value) == (
        f"/engines/eafnet-tiny.json: fails while it runs ({call} answers 700); see twinhdr doctor"
    )
    del knobs.fails[call]  # and a driver that came back is used again
    assert np.isfinite(fuse(engine, bracket(1))).all()


@pytest.mark.parametrize("call", ["load", "shared", "private"])
def test_a_gpu_without_memory_is_one_line_at_the_start(tiny: Path, call: str) -> None:
    """Another program took it; the recording goes on with ONNX Runtime."""
    with pytest.raises(EngineError, match=rf"tiny\.json: does not start \({call} answers 700\)"):
        on_reference(tiny, "pair", ReferenceGpu(knobs=Knobs({call: 0})))


def test_pairs_without_end_are_refused(tiny: Path) -> None:
    """A leak of caches is found by its name, not by the end of the memory."""
    engine = on_reference(tiny, "pair", ReferenceGpu())
    low, _, high = bracket(1)
    held = [engine.encode_pair(low, high, LIGHT, 0.5) for _ in range(MOST_SLOTS)]
    with pytest.raises(EngineError, match="pairs are held at once"):
        engine.encode_pair(low, high, LIGHT, 0.5)
    held.clear()
    assert engine.encode_pair(low, high, LIGHT, 0.5)


def test_another_size_is_refused_with_the_way_to_build_it(tiny: Path) -> None:
    """Plans are for one size; the camera was set to another."""
    engine = on_reference(tiny, "whole", ReferenceGpu())
    low, _, high = bracket(1, (64, 96))
    with pytest.raises(EngineError, match=r"built for 97x54, and this picture is 96x64; .*--size 96x64"):
        engine.encode_pair(low, high, LIGHT, 0.5)


def foreign_plan(**shapes: list[int]) -> bytes:
    inputs = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items() if n != "radiance"
    ]
    outputs = [helper.make_tensor_value_info("radiance", TensorProto.FLOAT, shapes["radiance"])]
    node = helper.make_node("Identity", [inputs[0].name], ["radiance"])
    opset = [helper.make_opsetid("", 17)]
    graph = helper.make_graph([node], "foreign", inputs, outputs)
    return MAGIC + helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (foreign_plan(reference=[4, 6, 3], radiance=[4, 6, 3], depth=[4, 6]), "it wants depth"),
        (foreign_plan(reference=[4, 6, 1], radiance=[4, 6, 1]), "does not take and answer pictures"),
        (foreign_plan(low=[4, 6, 3], radiance=[4, 6, 3]), "does not take and answer pictures"),
        (foreign_plan(reference=[4, 6, 3], radiance=[4, 6, 3], low=[4, 5, 3]), "does not take and answer"),
        (b"something else", "the plan is foreign"),
    ],
)
def test_a_plan_of_another_network_is_refused(plan: bytes, says: str) -> None:
    """Buffers are bound by name and written whole; sizes that differ would be foreign memory."""
    with pytest.raises(EngineError, match=says):
        TensorrtEngine("x", [plan], ReferenceGpu(), "/engines/x.json")  # type: ignore[arg-type]


def test_parts_of_two_sizes_do_not_fit_together(tiny: Path) -> None:
    """One file of a pair was replaced."""
    pair, frame = graphs(tiny, "pair")[0], graphs(tiny, "pair", (64, 96))[1]
    with pytest.raises(EngineError, match="parts do not fit together"):
        TensorrtEngine("x", [MAGIC + pair, MAGIC + frame], ReferenceGpu(), "x")  # type: ignore[arg-type]


def test_a_pair_that_nobody_fused_disturbs_no_other(tiny: Path, exact: OnnxEngine) -> None:
    """A new pair arrives before a frame for the last one did; its slot is used again while it computes."""
    engine = on_reference(tiny, "pair", ReferenceGpu())
    for seed in (1, 2, 3):
        low, reference, high = bracket(seed)
        cache = engine.encode_pair(low, high, LIGHT, 0.5)
        if seed < 3:
            del cache
    expected = exact.fuse(exact.encode_pair(low, high, LIGHT, 0.5), reference)
    np.testing.assert_allclose(engine.fuse(cache, reference), expected, atol=1e-6)


@pytest.mark.parametrize("size", [(54, 97), (64, 96), (33, 64)])
def test_framing_is_what_the_host_would_do(tiny: Path, exact: OnnxEngine, size: tuple[int, int]) -> None:
    """Mirrored at the lower right, cropped afterwards; also where nothing has to be mirrored."""
    plans = [MAGIC + graph for graph in graphs(tiny, "whole", size)]
    engine = TensorrtEngine("x", plans, ReferenceGpu(), "x")  # type: ignore[arg-type]
    np.testing.assert_allclose(fuse(engine, bracket(1, size)), fuse(exact, bracket(1, size)), atol=1e-6)


def test_framing_refuses_what_it_cannot_do(tiny: Path) -> None:
    """Free sizes have no buffers, and a picture cannot be mirrored beyond itself."""
    with pytest.raises(ValueError, match="not a static whole graph"):
        framed(onnx.load(str(tiny)), 54, 97)
    with pytest.raises(ValueError, match="cannot take pictures of 97x65"):
        framed(fixed(onnx.load(str(tiny)), 64, 96), 65, 97)
    with pytest.raises(ValueError, match="cannot be cut at nowhere"):
        in_two(framed(fixed(onnx.load(str(tiny)), 64, 96), 64, 96), ["nowhere"])
