"""A contract graph rearranged for ONNX Runtime's CPU kernels: the same function, fewer passes over memory.

Only what this runtime gains by is here; measured on one core with AVX2 at 960x540 (``twinhdr bench``).
Graphs that have none of these places come out as they went in.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

CHANNEL_STEP = 4
"""ONNX Runtime's blocked convolution takes input channels in multiples of this; others cost twice as much."""


def for_cpu(model: ModelProto) -> ModelProto:
    """A rearranged copy of ``model``.

    Raises whatever ONNX's shape inference raises on a damaged graph.
    """
    out = onnx.ModelProto.FromString(model.SerializeToString())
    _powers(out)
    _odd_convolutions(out)
    _drop_unused(out)
    return out


def sized(model: ModelProto, height: int, width: int) -> ModelProto:
    """A copy for images of one size: where shapes are known, sums are made inside convolutions.

    A size that is already fixed in the file stays what it is.
    """
    out = onnx.ModelProto.FromString(model.SerializeToString())
    for value in out.graph.input:
        dims = value.type.tensor_type.shape.dim
        if len(dims) == 4:
            for dim, length in zip(dims, (1, 3, height, width), strict=True):
                if not dim.HasField("dim_value"):
                    dim.dim_value = length
    bare = [v for v in out.graph.value_info if all(d.HasField("dim_value") for d in _dims(v))]
    del out.graph.value_info[:]
    out.graph.value_info.extend(bare)
    return onnx.shape_inference.infer_shapes(out, data_prop=True)


def frontier(model: ModelProto, pair_inputs: Collection[str]) -> list[str]:
    """Where to cut: what is made from the pair alone and taken by what sees the reference, in order.

    That is more than the file names: gamma and logits of low and high are then made once per pair too.
    Numbers (shapes, the exposures' ratios) stay out, being cheaper to make twice than to hand over; so do
    copies of what is kept anyway.
    """
    pair, images = _made_from(model, pair_inputs), _images(model, pair_inputs)
    taken = {name for node in model.graph.node if node.output[0] not in pair for name in node.input}
    return [
        name
        for node in model.graph.node
        for name in node.output
        if name in taken & pair & images and not (node.op_type == "Transpose" and node.input[0] in taken)
    ]


def described(model: ModelProto, names: Collection[str]) -> ModelProto:
    """``model``, in which every tensor of ``names`` has a type, as a cut there needs."""
    known = {value.name for value in model.graph.value_info}
    model.graph.value_info.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names if name not in known
    )
    return model


def _dims(value: Any) -> Any:
    return value.type.tensor_type.shape.dim


def _drop_unused(model: ModelProto) -> None:
    needed, kept = {value.name for value in model.graph.output}, []
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    _replace(model, kept[::-1])


def _made_from(model: ModelProto, sources: Collection[str]) -> set[str]:
    """Tensors that follow from ``sources`` and constants alone, and from ``sources`` at least once."""
    constant = {i.name for i in model.graph.initializer} | {""}
    made: set[str] = set(sources)
    for node in model.graph.node:
        known = all(name in made or name in constant for name in node.input)
        if known and made & set(node.input):
            made |= set(node.output)
        elif known:
            constant |= set(node.output)
    return made


def _images(model: ModelProto, sources: Collection[str]) -> set[str]:
    """Tensors computed from pictures, not only from their shapes."""
    reached = {name for name in sources if name in ("low", "high")}
    for node in model.graph.node:
        if node.op_type != "Shape" and reached & set(node.input):
            reached |= set(node.output)
    return reached


def _constants(model: ModelProto) -> dict[str, NDArray[np.generic]]:
    values = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            values[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return values


def _powers(model: ModelProto) -> None:
    """x ^ c, with x clipped above zero, as exp(c log x): half the time, and equal to 1e-6."""
    values = _constants(model)
    made = {name: node for node in model.graph.node for name in node.output}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        base = made.get(node.input[0]) if node.op_type == "Pow" else None
        lowest = values.get(base.input[1]) if base is not None and base.op_type == "Clip" else None
        if lowest is None or float(lowest.item()) <= 0.0 or node.input[1] not in values:
            nodes.append(node)
            continue
        at = node.output[0]
        nodes += [
            helper.make_node("Log", [node.input[0]], [f"{at}/log"], f"{at}/Log"),
            helper.make_node("Mul", [f"{at}/log", node.input[1]], [f"{at}/scaled"], f"{at}/Mul"),
            helper.make_node("Exp", [f"{at}/scaled"], [at], f"{at}/Exp"),
        ]
    _replace(model, nodes)


def _odd_convolutions(model: ModelProto) -> None:
    """Convolutions over concatenated maps whose channels are no multiple of ``CHANNEL_STEP`` get some more:
    maps that are there anyway, under weights of zero."""
    channels = _channels(model)
    made = {name: node for node in model.graph.node for name in node.output}
    weights = {i.name: i for i in model.graph.initializer}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        concat = made.get(node.input[0]) if node.op_type == "Conv" else None
        if concat is None or concat.op_type != "Concat" or node.input[1] not in weights or _grouped(node):
            nodes.append(node)
            continue
        kernel = numpy_helper.to_array(weights[node.input[1]])
        maps = list(concat.input)
        more = _filling(maps, channels, kernel.shape[1])
        if more:
            at = f"{node.output[0]}/filled"
            zeros = np.zeros((len(kernel), sum(channels[m] for m in more), *kernel.shape[2:]), kernel.dtype)
            wider = np.concatenate([kernel, zeros], axis=1)
            model.graph.initializer.append(numpy_helper.from_array(wider, f"{at}/kernel"))
            nodes.append(helper.make_node("Concat", [*maps, *more], [at], f"{at}/Concat", axis=1))
            conv = helper.make_node(
                "Conv", [at, f"{at}/kernel", *node.input[2:]], list(node.output), node.name
            )
            conv.attribute.extend(node.attribute)
            node = conv
        nodes.append(node)
    _replace(model, nodes)


def _filling(maps: list[str], channels: dict[str, int], total: int) -> list[str]:
    """Maps that bring ``total`` channels to a multiple of ``CHANNEL_STEP``; none where it is one already."""
    for name in maps:
        for times in range(CHANNEL_STEP):
            if not (total + times * channels.get(name, 0)) % CHANNEL_STEP:
                return [name] * times
    return []


def _channels(model: ModelProto) -> dict[str, int]:
    """Channels of every tensor of rank 4 whose channels are known."""
    shaped = onnx.shape_inference.infer_shapes(model, data_prop=True)
    found = {}
    for value in [*shaped.graph.input, *shaped.graph.value_info]:
        dims = value.type.tensor_type.shape.dim
        if len(dims) == 4 and dims[1].HasField("dim_value"):
            found[value.name] = int(dims[1].dim_value)
    return found


def _grouped(node: NodeProto) -> bool:
    return any(a.name == "group" and a.i != 1 for a in node.attribute)


def _replace(model: ModelProto, nodes: list[NodeProto]) -> None:
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)
