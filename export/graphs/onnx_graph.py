"""Walks over ONNX graphs that more than one step of the export needs; in place unless they say otherwise."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

Shape = tuple[int, ...]


def facts(model: ModelProto) -> dict[str, str]:
    """The metadata of ``model``."""
    return {p.key: p.value for p in model.metadata_props}


def state(model: ModelProto, **more: str) -> None:
    """Add ``twinhdr.<name>`` to the metadata, or change it."""
    helper.set_model_props(model, facts(model) | {f"twinhdr.{k}": v for k, v in more.items()})


def cut_points(model: ModelProto) -> list[str]:
    """Names that must stay: what leaves the graph, and the tensors kept per pair."""
    cache = [n for n in facts(model).get("twinhdr.pair_cache", "").split(",") if n]
    return [*(o.name for o in model.graph.output), *cache]


def constants(model: ModelProto) -> dict[str, NDArray[Any]]:
    """The values of all initializers by name."""
    return {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}


def constants_to_initializers(model: ModelProto) -> None:
    """Make every Constant node an initializer, so that there is one kind of constant."""
    rest = []
    for node in model.graph.node:
        if node.op_type == "Constant":
            value = helper.get_node_attr_value(node, node.attribute[0].name)
            if not isinstance(value, TensorProto):
                value = numpy_helper.from_array(np.asarray(value))
            value.name = node.output[0]
            model.graph.initializer.append(value)
        else:
            rest.append(node)
    replace_nodes(model, rest)


def replace_nodes(model: ModelProto, nodes: Iterable[NodeProto]) -> None:
    """Let the graph consist of ``nodes``, in this order."""
    kept = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)


def drop_unused(model: ModelProto) -> None:
    """Remove nodes that nothing that leaves the graph needs, then initializers and shapes of no tensor."""
    needed, kept = {o.name for o in model.graph.output}, []
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    replace_nodes(model, reversed(kept))
    initializers = [i for i in model.graph.initializer if i.name in needed]
    del model.graph.initializer[:]
    model.graph.initializer.extend(initializers)
    made = {name for node in model.graph.node for name in node.output}
    described = [v for v in model.graph.value_info if v.name in made]
    del model.graph.value_info[:]
    model.graph.value_info.extend(described)


def merge_duplicates(model: ModelProto) -> None:
    """Let nodes that compute the same from the same be one, and equal constants too.

    The exporter writes a function that is called twice twice: the exposures' ratios, gamma of each image.
    """
    names: dict[str, str] = {}
    by_value: dict[Any, str] = {}
    for initializer in model.graph.initializer:
        value = numpy_helper.to_array(initializer)
        key = (initializer.data_type, value.shape, value.tobytes())
        names[initializer.name] = by_value.setdefault(key, initializer.name)
    keep = set(cut_points(model))
    seen: dict[Any, list[str]] = {}
    rest = []
    for node in model.graph.node:
        inputs = [names.get(i, i) for i in node.input]
        del node.input[:]
        node.input.extend(inputs)
        attributes = tuple(sorted(a.SerializeToString(deterministic=True) for a in node.attribute))
        outputs = list(node.output)
        same = seen.setdefault((node.op_type, tuple(inputs), attributes), outputs)
        if same is outputs or keep & set(outputs):
            rest.append(node)
        else:
            names.update(zip(outputs, same, strict=True))
    replace_nodes(model, rest)


def infer(model: ModelProto) -> ModelProto:
    """A copy in which every tensor has its type, and its shape where known; old entries are redone."""
    bare = onnx.ModelProto.FromString(model.SerializeToString())
    del bare.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(bare, check_type=True, strict_mode=True, data_prop=True)


def described(model: ModelProto) -> Iterator[Any]:
    """The value infos of everything: inputs, outputs, what lies between."""
    yield from model.graph.input
    yield from model.graph.output
    yield from model.graph.value_info


def types(model: ModelProto) -> dict[str, int]:
    """Element type of every tensor, initializers included."""
    known = {v.name: int(v.type.tensor_type.elem_type) for v in described(model)}
    return known | {i.name: int(i.data_type) for i in model.graph.initializer}


def shapes(model: ModelProto) -> dict[str, Shape]:
    """Shape of every tensor whose shape is known, initializers included."""
    known: dict[str, Shape] = {i.name: tuple(i.dims) for i in model.graph.initializer}
    for value in described(model):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(d.HasField("dim_value") for d in dims):
            known[value.name] = tuple(int(d.dim_value) for d in dims)
    return known


def producers(model: ModelProto) -> dict[str, NodeProto]:
    """The node that makes each tensor."""
    return {name: node for node in model.graph.node for name in node.output}


def descendants(
    model: ModelProto,
    sources: Collection[str],
    starts: Callable[[NodeProto], bool] = lambda _: False,
    without: Collection[str] = (),
) -> set[str]:
    """Tensors made from ``sources`` or by nodes that ``starts`` picks, not by way of ``without``."""
    reached = set(sources)
    for node in model.graph.node:
        if starts(node) or reached & set(node.input):
            reached |= set(node.output) - set(without)
    return reached


def ancestors(model: ModelProto, targets: Collection[str]) -> set[str]:
    """``targets`` and the tensors they are computed from."""
    reached = set(targets)
    for node in reversed(model.graph.node):
        if reached & set(node.output):
            reached |= set(node.input)
    return reached - {""}
