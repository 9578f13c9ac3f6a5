"""FP16 baked into the graph: where it is, what it costs, and that the proof of it can fail."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="export needs PyTorch: pip install twinhdr[export]")
onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from export.graphs.golden import NAMES, agreement, golden  # noqa: E402
from export.graphs.golden import frames as golden_frames  # noqa: E402
from export.graphs.half import KEEP, halve, rounded  # noqa: E402
from export.graphs.onnx_graph import infer, types  # noqa: E402
from export.graphs.parts import PARTS, Part, parts  # noqa: E402
from export.graphs.static_shapes import fixed  # noqa: E402
from export.graphs.to_onnx import INPUTS, OUTPUT, split  # noqa: E402
from export.graphs.verify import answer, random_frames, run, session  # noqa: E402
from tests.export.tiny_eafnet import tiny_graph  # noqa: E402

WIDEST = "night-ev4"


def dynamic() -> onnx.ModelProto:
    return onnx.ModelProto.FromString(tiny_graph("s"))


def test_precision_is_where_it_is_said_to_be() -> None:
    """A strongly typed engine runs each node in the type it is written in: there is no second chance."""
    model = fixed(dynamic(), 64, 64)
    part_of, half = parts(model), halve(model)
    kinds = types(infer(half))
    for name in (*INPUTS, OUTPUT):
        assert kinds[name] == TensorProto.FLOAT
    cache = [v for v in kinds if v.startswith("pair_") and "/" not in v and "stem" not in v]
    assert {kinds[name] for name in cache} == {TensorProto.FLOAT16}
    for node in half.graph.node:
        if node.op_type != "Cast":
            expected = TensorProto.FLOAT if part_of[node.name] in KEEP else TensorProto.FLOAT16
            assert kinds[node.output[0]] == expected, node.name
    weights = [kinds[n.input[1]] for n in half.graph.node if n.op_type == "Conv"]
    assert set(weights) == {TensorProto.FLOAT16}
    casts = [(n.input[0], n.attribute[0].i) for n in half.graph.node if n.op_type == "Cast"]
    assert len(set(casts)) == len(casts) < 30


@pytest.mark.parametrize("static", [False, True])
def test_it_runs_and_agrees_whole_and_in_two(static: bool) -> None:
    """ONNX Runtime's CPU takes the file as well, so that it can be tried without a GPU."""
    model = fixed(dynamic(), 64, 64) if static else dynamic()
    half = halve(model)
    frames = random_frames(64, 64)
    exact = run(session(model), frames)[OUTPUT]
    once = run(session(half), frames)[OUTPUT]
    assert once.dtype == np.float32
    assert agreement(once, exact, frames["exposure"]) > 60
    pair, fuse = split(half)
    apart = answer([session(pair), session(fuse)], frames)
    assert agreement(apart, once, frames["exposure"]) > 80
    as_on_gpu = answer([session(rounded(part)) for part in (pair, fuse)], frames)
    np.testing.assert_array_equal(as_on_gpu, run(session(rounded(half)), frames)[OUTPUT])


def test_every_rounding_is_made() -> None:
    """ONNX Runtime computes runs of FP16 nodes in FP32: measured there, FP16 looks 10 dB better."""
    model = rounded(halve(dynamic()))
    inner = ["/head/mix/Conv_output_0", "/merge.0/Mul_output_0", "/restore/Add_1_output_0"]
    model.graph.output.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in inner)
    found = run(session(model), random_frames(64, 64))
    for name in inner:
        np.testing.assert_array_equal(found[name], found[name].astype(np.float16).astype(np.float32))
        assert found[name].std() > 0


@pytest.mark.parametrize("part", PARTS)
def test_any_part_can_be_an_island(part: Part) -> None:
    """The table of docs/onnx.md is made so; and what is kept per pair stays FP16, whatever made it."""
    half = halve(fixed(dynamic(), 64, 64), set(KEEP) ^ {part})
    kinds = types(infer(half))
    assert kinds["pair_keys_2_low"] == kinds["pair_values_2_high"] == TensorProto.FLOAT16
    assert kinds[OUTPUT] == TensorProto.FLOAT


def test_a_value_beyond_fp16_is_found() -> None:
    """An overflow is a black or white picture on the device: the gate must see it without one."""
    model = dynamic()
    loud = next(i for i in model.graph.initializer if i.name == "net.restore.down.0.weight")
    loud.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(loud) * np.float32(2e5), loud.name))
    frames = random_frames(64, 64)
    exact, half = (run(session(m), frames)[OUTPUT] for m in (model, rounded(halve(model))))
    assert not agreement(half, exact, frames["exposure"]) > 55
    loud.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(loud) * np.float32(1e4), loud.name))
    with pytest.raises(ValueError, match=r"net\.restore\.down\.0\.weight reaches"):
        halve(model)


def test_halving_twice_is_refused() -> None:
    """Its FP32 islands would be lost without a word."""
    with pytest.raises(ValueError, match="already"):
        halve(halve(dynamic()))


def test_the_golden_scenes_are_what_they_are_called() -> None:
    """Agreement is proven on them: on grey walls every precision agrees."""
    assert len(NAMES) == 9
    scenes = golden(names=(WIDEST, "sun-ev4"))
    night, sun = scenes[WIDEST], scenes["sun-ev4"]
    assert night.exposure[2] / night.exposure[0] == pytest.approx(256, rel=0.02)
    assert night.mean[1] < 0.4 < 0.5 < sun.mean[1]
    for sample in scenes.values():
        assert 0.01 < float((sample.reference >= 1).mean()) < 0.3
        assert float(sample.low.max()) >= 1
    again = golden.__wrapped__((256, 192), (WIDEST,))[WIDEST]
    np.testing.assert_array_equal(again.high, night.high)
    frames = golden_frames(night, 128)
    assert frames["low"].shape == (1, 3, 256, 256)
    with pytest.raises(ValueError, match="night-ev2"):
        golden(names=("noon",))
