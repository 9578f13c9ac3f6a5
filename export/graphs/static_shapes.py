"""One static graph per resolution: batch 1, no arithmetic on shapes left, every tensor's shape written down.

TensorRT plans memory and picks kernels for the shapes it knows; what a dynamic graph computes about shapes at
run time are small kernels and synchronisation for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from export.graphs.onnx_graph import (
    constants,
    constants_to_initializers,
    cut_points,
    drop_unused,
    facts,
    infer,
    merge_duplicates,
    replace_nodes,
    shapes,
    state,
)

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

SIZES = ((960, 540), (1280, 720), (1440, 1080), (1920, 1080))
"""(width, height) of the pictures that device graphs are written for by default."""

IMAGES = ("low", "reference", "high")


def padded(model: ModelProto, height: int, width: int) -> tuple[int, int]:
    """(height, width) rounded up to the network's multiple. Raises ValueError for a foreign model."""
    multiple = facts(model).get("twinhdr.multiple", "")
    if not multiple.isdigit():
        raise ValueError("not a twinhdr model: its entry twinhdr.multiple is missing")
    return height + -height % int(multiple), width + -width % int(multiple)


def fixed(model: ModelProto, height: int, width: int) -> ModelProto:
    """``model`` (a dynamic whole graph of ours) for pictures of ``height`` x ``width`` alone.

    The inputs become [1, 3, H, W] with H and W the ``padded`` size; the picture's own size is in the
    metadata, ``twinhdr.size``, as WIDTHxHEIGHT. Nodes that computed shapes are gone, constants are folded,
    and what the graph computed twice it computes once. Raises ValueError where a shape stays unknown.
    """
    out = onnx.ModelProto.FromString(model.SerializeToString())
    tall, wide = padded(model, height, width)
    for value in [*out.graph.input, *out.graph.output]:
        if value.name in IMAGES or value.name in {o.name for o in out.graph.output}:
            dims = value.type.tensor_type.shape.dim
            for dim, length in zip(dims, (1, 3, tall, wide), strict=True):
                dim.dim_value = length
    constants_to_initializers(out)
    out = infer(out)
    while _fold(out):
        out = infer(out)
    simplify(out)
    out = infer(out)
    known = shapes(out)
    unknown = [name for node in out.graph.node for name in node.output if name not in known]
    if unknown:
        raise ValueError(f"cannot be made static: the shape of {unknown[0]} depends on values at run time")
    state(out, size=f"{width}x{height}")
    onnx.checker.check_model(out, full_check=True)
    return out


def simplify(model: ModelProto) -> None:
    """Merge what is computed twice and drop what nothing needs, in place."""
    merge_duplicates(model)
    drop_unused(model)


def _fold(model: ModelProto) -> bool:
    """Replace shapes that are known and nodes on constants by their values; whether there were any."""
    known, values = shapes(model), constants(model)
    keep, rest = set(cut_points(model)), []
    for node in model.graph.node:
        if node.op_type == "Shape" and node.input[0] in known:
            start, end = (_integer(node, name) for name in ("start", "end"))
            result = np.array(known[node.input[0]][start:end], np.int64)
        elif node.input and all(i in values or not i for i in node.input) and not keep & set(node.output):
            (result,) = _evaluate(node, values)
        else:
            rest.append(node)
            continue
        model.graph.initializer.append(numpy_helper.from_array(result, node.output[0]))
        values[node.output[0]] = result
    folded = len(rest) < len(model.graph.node)
    replace_nodes(model, rest)
    return folded


def _integer(node: NodeProto, name: str) -> int | None:
    found = [a.i for a in node.attribute if a.name == name]
    return int(found[0]) if found else None


def _evaluate(node: NodeProto, values: dict[str, np.ndarray]) -> list[np.ndarray]:
    feed = {name: values[name] for name in node.input if name}
    inputs = [
        onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
        for n, v in feed.items()
    ]
    outputs = [onnx.helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in node.output]
    graph = onnx.helper.make_graph([node], "constant", inputs, outputs)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    return list(ReferenceEvaluator(model).run(None, feed))
