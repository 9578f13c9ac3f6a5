"""FP16 baked into the graph, with FP32 where numbers demand it.

TensorRT 11 has no precision flags any more: a strongly typed network runs every node in the type it is
written in, in TensorRT 10 and ONNX Runtime too. So precision is the graph's own business: weights are stored
in FP16, and casts stand where FP16 and FP32 meet, one per tensor and direction. Inputs and outputs stay
float32; the tensors kept per pair are FP16, half as large.

What each part of the network costs in FP16 was measured on the golden scenes: docs/onnx.md.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.graphs.onnx_graph import (
    constants_to_initializers,
    cut_points,
    drop_unused,
    facts,
    infer,
    replace_nodes,
    state,
    types,
)
from export.graphs.parts import PARTS, Part, parts

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

KEEP: frozenset[Part] = frozenset(("exposure", "means", "gamma", "radiance", "skip", "global", "answer"))
"""The parts that stay FP32."""

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)
LARGEST = 65504.0
MOVES = frozenset(("Concat", "DepthToSpace", "Gather", "Reshape", "Slice", "SpaceToDepth", "Transpose"))
"""What moves values and rounds nothing."""


def halve(model: ModelProto, keep: Collection[Part] = KEEP) -> ModelProto:
    """A copy of a whole float32 graph of ours in FP16, except for the parts in ``keep``.

    Raises ValueError for a graph that is FP16 already and for a weight that FP16 cannot hold.
    """
    out = onnx.ModelProto.FromString(model.SerializeToString())
    constants_to_initializers(out)
    out = infer(out)
    if TensorProto.FLOAT16 in types(out).values():
        raise ValueError("this graph has FP16 in it already; halve the float32 one")
    part_of = parts(out)
    writer = _Writer(out)
    for node in out.graph.node:
        part = part_of[node.name]
        writer.add(node, TensorProto.FLOAT if part in keep else TensorProto.FLOAT16)
    writer.finish()
    state(out, precision="fp16", float32=",".join(p for p in PARTS if p in keep))
    out = infer(out)
    onnx.checker.check_model(out, full_check=True)
    return out


class _Writer:
    """Writes the nodes of a model again, each in its type, with casts where they are needed."""

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.types = types(model)
        self.floats = {name for name, kind in self.types.items() if kind == TensorProto.FLOAT}
        self.constants = {i.name: i for i in model.graph.initializer}
        self.cache = set(cut_points(model)) - {o.name for o in model.graph.output}
        self.outputs = {o.name for o in model.graph.output}
        self.nodes: list[NodeProto] = []
        self.cast: dict[tuple[str, int], str] = {}

    def add(self, node: NodeProto, kind: int) -> None:
        """``node`` with its float inputs and outputs of type ``kind``."""
        inputs = [self._as(name, kind) if name in self.floats else name for name in node.input]
        del node.input[:]
        node.input.extend(inputs)
        self.nodes.append(node)
        for position, name in enumerate(node.output):
            if name not in self.floats:
                continue
            wanted = self._leaves_as(name, kind)
            self.types[name] = wanted
            if wanted != kind:
                inner = f"{name}_made"
                node.output[position] = inner
                self.types[inner] = kind
                self._write_cast(inner, name, wanted)

    def _leaves_as(self, name: str, kind: int) -> int:
        """Outputs of the graph are float32 and what is kept per pair FP16, whatever made them."""
        if name in self.outputs:
            return int(TensorProto.FLOAT)
        return int(TensorProto.FLOAT16) if name in self.cache else kind

    def _as(self, name: str, kind: int) -> str:
        if self.types[name] == kind:
            return name
        if (name, kind) not in self.cast:
            self.cast[name, kind] = f"{name}_{_word(kind)}"
            if name in self.constants:
                self._convert(name, self.cast[name, kind])
            else:
                self._write_cast(name, self.cast[name, kind], kind)
        return self.cast[name, kind]

    def _write_cast(self, source: str, target: str, kind: int) -> None:
        self.nodes.append(helper.make_node("Cast", [source], [target], f"{target}/Cast", to=kind))
        self.cast[source, kind] = target

    def _convert(self, name: str, target: str) -> None:
        value = numpy_helper.to_array(self.constants[name])
        largest = float(np.abs(value).max(initial=0.0))
        if largest > LARGEST:
            raise ValueError(f"{name} reaches {largest:.3g}, beyond FP16's 65504: is the network broken?")
        self.model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float16), target))

    def finish(self) -> None:
        """Put the nodes in place of the old ones."""
        replace_nodes(self.model, self.nodes)
        drop_unused(self.model)


def _word(kind: int) -> str:
    return "half" if kind == TensorProto.FLOAT16 else "single"


def rounded(model: ModelProto) -> ModelProto:
    """A halved ``model`` as a float32 graph that rounds to FP16 wherever the halved one does.

    ONNX Runtime's CPU has no FP16 kernels: it computes runs of FP16 nodes in FP32 and rounds where they end,
    so running the halved file there flatters it. This graph rounds the result of every FP16 node, which is
    what a GPU does that adds up in FP32 and stores FP16. Values beyond 65504 become infinite as they would
    there.
    """
    out = infer(model)
    kinds, nodes = types(out), []
    for value in [*out.graph.input, *out.graph.output]:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for node in out.graph.node:
        name = node.output[0]
        if node.op_type == "Cast" and kinds[name] == TensorProto.FLOAT:
            nodes.append(helper.make_node("Identity", list(node.input), [name], node.name))
            continue
        if node.op_type == "Cast":
            nodes += _rounding(node.input[0], name)
            continue
        if kinds[name] == TensorProto.FLOAT16 and node.op_type not in MOVES:
            node.output[0] = f"{name}_exact"
            nodes += [node, *_rounding(f"{name}_exact", name)]
        else:
            nodes.append(node)
    for constant in out.graph.initializer:
        if constant.data_type == TensorProto.FLOAT16:
            value = numpy_helper.to_array(constant).astype(np.float32)
            constant.CopyFrom(numpy_helper.from_array(value, constant.name))
    replace_nodes(out, nodes)
    out = infer(out)
    onnx.checker.check_model(out, full_check=True)
    return out


def _rounding(source: str, target: str) -> list[NodeProto]:
    return [
        helper.make_node("Cast", [source], [f"{target}_fp16"], f"{target}/Round", to=TensorProto.FLOAT16),
        helper.make_node("Cast", [f"{target}_fp16"], [target], f"{target}/Back", to=TensorProto.FLOAT),
    ]


def precision(model: ModelProto) -> str:
    """``fp16`` or ``fp32``, as the file says."""
    return facts(model).get("twinhdr.precision", "fp32")
