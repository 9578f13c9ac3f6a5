"""What is in an exported graph: every node with its precision and its multiply-accumulates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from onnx import TensorProto

from export.graphs.half import precision
from export.graphs.onnx_graph import Shape, facts, infer, shapes, types
from export.graphs.parts import Part, parts
from export.graphs.static_shapes import fixed

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

COUNTED_SIZE = (960, 540)
"""(width, height) at which a dynamic graph's multiply-accumulates are counted."""

PRECISIONS = {
    TensorProto.FLOAT: "fp32",
    TensorProto.FLOAT16: "fp16",
    TensorProto.INT64: "int64",
    TensorProto.INT8: "int8",
    TensorProto.UINT8: "uint8",
}


@dataclass(frozen=True, slots=True)
class Counted:
    """One node. ``macs`` per run; ``shape`` of its first output, None where the size is free."""

    name: str
    op: str
    part: Part
    precision: str
    shape: Shape | None
    macs: int


@dataclass(frozen=True, slots=True)
class Census:
    """The nodes of one graph, in order; ``width`` and ``height`` of the picture that ``macs`` are for."""

    graph: str
    width: int
    height: int
    parameters: int
    nodes: tuple[Counted, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run."""
        return sum(node.macs for node in self.nodes)

    @property
    def casts(self) -> int:
        """Nodes that only change precision."""
        return sum(node.op == "Cast" for node in self.nodes)

    def by_op(self) -> dict[tuple[str, str], tuple[int, int]]:
        """(count, multiply-accumulates) by operator and precision; the costly first, then the frequent."""
        found: dict[tuple[str, str], tuple[int, int]] = {}
        for node in self.nodes:
            count, macs = found.get((node.op, node.precision), (0, 0))
            found[node.op, node.precision] = (count + 1, macs + node.macs)
        return dict(sorted(found.items(), key=lambda item: (-item[1][1], -item[1][0], item[0])))

    def to_json(self) -> dict[str, Any]:
        """Plain values: totals, operators, every node."""
        operators = [
            {"op": op, "precision": kind, "count": count, "macs": macs}
            for (op, kind), (count, macs) in self.by_op().items()
        ]
        return {
            "graph": self.graph,
            "width": self.width,
            "height": self.height,
            "parameters": self.parameters,
            "macs": self.macs,
            "casts": self.casts,
            "operators": operators,
            "nodes": [asdict(node) for node in self.nodes],
        }

    def table(self) -> list[list[str]]:
        """Rows of operator, precision, count, MMAC, share."""
        total = max(1, self.macs)
        return [
            [op, kind, str(count), f"{macs / 1e6:.1f}" if macs else "", f"{macs / total:.1%}" if macs else ""]
            for (op, kind), (count, macs) in self.by_op().items()
        ]


def census(model: ModelProto, part_of: Mapping[str, Part] | None = None) -> Census:
    """Count ``model``, in any form, whole or one of two graphs.

    ``part_of``: parts by node name, where ``model`` is one of two graphs and cannot be told itself.
    """
    out = infer(model)
    size = facts(model).get("twinhdr.size")
    width, height = (int(n) for n in size.split("x")) if size else COUNTED_SIZE
    sized = out if size else infer(fixed(model, height, width))
    macs = _macs(sized)
    known, kinds = shapes(out), types(out)
    part_of = parts(model) if part_of is None else part_of
    nodes = tuple(
        Counted(
            name=node.name,
            op=node.op_type,
            part=part_of.get(node.name, "features"),
            precision=PRECISIONS.get(kinds.get(node.output[0], 0), "other"),
            shape=known.get(node.output[0]),
            macs=macs.get(node.name, 0),
        )
        for node in out.graph.node
        if node.op_type != "Constant"
    )
    weights = sum(math.prod(i.dims) for i in out.graph.initializer if i.data_type in (1, 10))
    return Census(f"{out.graph.name} {precision(model)}", width, height, weights, nodes)


def _macs(model: ModelProto) -> dict[str, int]:
    known = shapes(model)
    return {node.name: _of(node, known) for node in model.graph.node}


def _of(node: NodeProto, known: Mapping[str, Shape]) -> int:
    if node.op_type == "Conv":
        return math.prod(known[node.output[0]]) * math.prod(known[node.input[1]][1:])
    if node.op_type == "MatMul":
        return math.prod(known[node.output[0]]) * known[node.input[0]][-1]
    if node.op_type == "Gemm":
        transposed = any(a.name == "transA" and a.i for a in node.attribute)
        return math.prod(known[node.output[0]]) * known[node.input[0]][0 if transposed else 1]
    return 0
