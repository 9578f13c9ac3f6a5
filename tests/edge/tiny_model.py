"""A model file of a few nodes that keeps the contract of EAFNet's, for tests that need no quality."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MULTIPLE = 32


def write_tiny_model(path: Path, gain: float = 1.0) -> Path:
    """Radiance is a weighted mean of the exposures, blurred 3x3, times the mean of the three means.

    Local but for the means, so tiles and whole image agree exactly where the means are those of the whole.
    ``gain`` scales the answer. The pair's part is cut out like EAFNet's.
    """
    weight = np.zeros((3, 3, 3, 3), np.float32)
    for channel in range(3):
        weight[channel, channel] = gain / 9.0
    constants = {
        "weight": weight,
        "first": np.array([0], np.int64),
        "last": np.array([2], np.int64),
        "shape": np.array([1, 1, 1, 1], np.int64),
        "third": np.array(1 / 3, np.float32),
    }
    nodes = [
        helper.make_node("Gather", ["exposure", "first"], ["e_low"]),
        helper.make_node("Gather", ["exposure", "last"], ["e_high"]),
        helper.make_node("Div", ["low", "e_low"], ["h_low"]),
        helper.make_node("Div", ["high", "e_high"], ["h_high"]),
        helper.make_node("Add", ["h_low", "h_high"], ["pair"]),
        helper.make_node("Add", ["pair", "reference"], ["sum"]),
        helper.make_node("Mul", ["sum", "third"], ["merged"]),
        helper.make_node("Conv", ["merged", "weight"], ["blurred"], pads=[1, 1, 1, 1]),
        helper.make_node("ReduceMean", ["mean"], ["level"], keepdims=1, axes=[0]),
        helper.make_node("Reshape", ["level", "shape"], ["level4"]),
        helper.make_node("Mul", ["blurred", "level4"], ["radiance"]),
    ]
    image = [1, 3, "height", "width"]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, image) for name in ("low", "reference", "high")
    ]
    inputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in ("exposure", "mean")]
    graph = helper.make_graph(
        nodes,
        "tiny",
        inputs,
        [helper.make_tensor_value_info("radiance", TensorProto.FLOAT, image)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
        value_info=[helper.make_tensor_value_info("pair", TensorProto.FLOAT, image)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    metadata = {"twinhdr.contract": "1", "twinhdr.multiple": str(MULTIPLE), "twinhdr.pair_cache": "pair"}
    helper.set_model_props(model, metadata)
    onnx.save(model, str(path))
    return path
