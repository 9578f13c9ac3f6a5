"""A graph rearranged for the CPU computes what it computed, and does less of it per frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge.engines import model_path
from edge.engines.onnx import INPUTS, OnnxEngine
from edge.engines.onnx_cpu import for_cpu, frontier, sized
from tests.edge.tiny_model import write_tiny_model

PAIR = sorted(INPUTS - {"reference"})


def answer(model: onnx.ModelProto, feed: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    wanted = {entry.name for entry in session.get_inputs()}
    out: NDArray[np.float32] = session.run(None, {k: v for k, v in feed.items() if k in wanted})[0]
    return out


def feed(height: int, width: int) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(5)
    images = {name: rng.random((1, 3, height, width), np.float32) for name in ("low", "reference", "high")}
    mean = np.array([0.3, 0.5, 0.7], np.float32)
    return {**images, "exposure": np.array([0.25, 1.0, 4.0], np.float32), "mean": mean}


@pytest.mark.parametrize("size", [(64, 96), (32, 160)])
def test_the_shipped_network_stays_the_same(size: tuple[int, int]) -> None:
    """Faster and another picture is no speed-up; 1e-5 is the bar for every rearrangement."""
    model = onnx.load(str(model_path("s")))
    expected = answer(model, feed(*size))
    for changed in (for_cpu(model), sized(for_cpu(model), *size)):
        np.testing.assert_allclose(answer(changed, feed(*size)), expected, atol=1e-5)


def test_gamma_of_the_pair_is_made_once_per_pair() -> None:
    """It is the costliest thing done to a picture outside convolutions, and fuse asks for it again."""
    model = for_cpu(onnx.load(str(model_path("s"))))
    names = {entry.key: entry.value for entry in model.metadata_props}["twinhdr.pair_cache"].split(",")
    cut = frontier(model, PAIR)
    assert set(names) <= set(cut)
    made = {name: node.op_type for node in model.graph.node for name in node.output}
    assert [made[name] for name in cut].count("Exp") == 2  # low and high
    assert "Pow" not in made.values()


def test_what_is_kept_comes_from_the_pair_alone(tmp_path: Path) -> None:
    """A tensor that saw the reference would show one frame's picture in the next."""
    tiny = onnx.load(str(write_tiny_model(tmp_path / "tiny.onnx")))
    assert frontier(tiny, PAIR) == ["pair"]


def test_a_graph_without_such_places_comes_out_as_it_went_in(tmp_path: Path) -> None:
    """Files of others run too; what is not understood is left alone."""
    tiny = onnx.load(str(write_tiny_model(tmp_path / "tiny.onnx")))
    assert [n.SerializeToString() for n in for_cpu(tiny).graph.node] == [
        n.SerializeToString() for n in tiny.graph.node
    ]


def _powers_of(smallest: float) -> onnx.ModelProto:
    values = {"least": np.float32(smallest), "most": np.float32(1.0), "exponent": np.float32(1 / 2.2)}
    graph = helper.make_graph(
        [
            helper.make_node("Clip", ["reference", "least", "most"], ["clipped"]),
            helper.make_node("Pow", ["clipped", "exponent"], ["radiance"]),
        ],
        "power",
        [helper.make_tensor_value_info("reference", TensorProto.FLOAT, [1, 3, "H", "W"])],
        [helper.make_tensor_value_info("radiance", TensorProto.FLOAT, [1, 3, "H", "W"])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_power_of_what_may_be_zero_stays_a_power() -> None:
    """log(0) is minus infinity: black pixels would come out as NaN somewhere down the line."""
    for smallest, operators in ((2.0**-20, ["Clip", "Log", "Mul", "Exp"]), (0.0, ["Clip", "Pow"])):
        changed = for_cpu(_powers_of(smallest))
        assert [node.op_type for node in changed.graph.node] == operators
        dark = {"reference": np.zeros((1, 3, 4, 4), np.float32)}
        np.testing.assert_allclose(answer(changed, dark), answer(_powers_of(smallest), dark), rtol=1e-5)


def test_odd_channels_are_filled_up_without_a_difference() -> None:
    """37 channels into a convolution cost a third more than 40 do."""
    rng = np.random.default_rng(2)
    kernel = rng.standard_normal((8, 9, 3, 3)).astype(np.float32)
    images = ["low", "reference", "high"]
    graph = helper.make_graph(
        [
            helper.make_node("Concat", images, ["maps"], axis=1),
            helper.make_node("Conv", ["maps", "kernel"], ["radiance"], "mix", pads=[1, 1, 1, 1]),
        ],
        "odd",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, "H", "W"]) for name in images],
        [helper.make_tensor_value_info("radiance", TensorProto.FLOAT, [1, 8, "H", "W"])],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    changed = for_cpu(model)
    conv = changed.graph.node[-1]
    weights = {i.name: i for i in changed.graph.initializer}
    assert weights[conv.input[1]].dims[1] == 12
    np.testing.assert_allclose(answer(changed, feed(16, 24)), answer(model, feed(16, 24)), atol=1e-5)


def test_many_sizes_share_one_session(tmp_path: Path) -> None:
    """A still is cut in tiles of many sizes; a session for each would fill the memory."""
    engine = OnnxEngine(write_tiny_model(tmp_path / "tiny.onnx"), threads=1)
    rng = np.random.default_rng(1)
    for side in (32, 64, 96, 128, 64):
        low, high, reference = (rng.random((side, side, 3), np.float32) for _ in range(3))
        cache = engine.encode_pair(low, high, (0.25, 1.0, 4.0), 0.5)
        assert engine.fuse(cache, reference).shape == (side, side, 3)
    assert sorted(engine._sized) == [(32, 32), (64, 64)]
