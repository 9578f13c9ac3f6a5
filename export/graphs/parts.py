"""Which part of EAFNet each node of its graph belongs to: precision is decided by part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from export.graphs.onnx_graph import ancestors, descendants, producers
from export.graphs.static_shapes import IMAGES

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

Part: TypeAlias = Literal[
    "exposure",
    "means",
    "gamma",
    "radiance",
    "align",
    "skip",
    "pooling",
    "global",
    "selection",
    "cosine",
    "softmax",
    "features",
    "last",
    "answer",
]

PARTS: dict[Part, str] = {
    "exposure": "the few numbers that follow from exposures and means",
    "means": "means of the images in the gamma domain",
    "gamma": "L, the images to the power of 1/2.2",
    "radiance": "H, the images over their exposure",
    "align": "G, the gain of equation 2 on L",
    "skip": "the blend that the sigmoid starts from, and its logit",
    "pooling": "means of the features over 8x8 pixels",
    "global": "means of those over the image",
    "selection": "the small networks from there to the channels' weights",
    "cosine": "queries and keys brought to length 1",
    "softmax": "softmax of the attention",
    "features": "convolutions, products with keys and values, and what moves their results",
    "last": "the last convolution",
    "answer": "its sum with the skip, sigmoid, scale",
}
"""Every part and what it is, in the order in which a frame meets them."""

assert tuple(PARTS) == get_args(Part)


def parts(model: ModelProto) -> dict[str, Part]:
    """The part of every node of a whole graph of ours, by the node's name.

    Told by structure: what follows from a convolution is of the features; what leads from the images to a
    stem prepares them; what is left on the images' side makes the skip.
    """
    features = descendants(model, (), lambda node: node.op_type == "Conv")
    seen = descendants(model, IMAGES, without=("mean",))  # which is numbers, wherever it came from
    stems = {n.input[0] for n in model.graph.node if n.op_type == "Conv"} - features
    to_stem = ancestors(model, stems)
    last = descendants(model, (), lambda node: node.name == "/head/last/Conv")
    unit = _unit_lengths(model)

    def of(node: NodeProto) -> Part:
        out = node.output[0]
        if out in last:
            return "last" if node.op_type == "Conv" else "answer"
        if node.name in unit:
            return "cosine"
        if node.name.startswith("/select"):
            return _selecting(node)
        if out in features:
            return "softmax" if node.op_type == "Softmax" else "features"
        if node.name.startswith("means/"):
            return "means"
        if out not in seen:
            return "exposure"
        return _of_an_image(node, out in to_stem)

    return {node.name: of(node) for node in model.graph.node}


def _selecting(node: NodeProto) -> Part:
    if node.op_type in ("AveragePool", "ReduceMean"):
        return "pooling" if node.op_type == "AveragePool" else "global"
    return "features" if node.op_type == "Mul" else "selection"  # the product with the features is theirs


def _of_an_image(node: NodeProto, to_stem: bool) -> Part:
    if node.op_type in ("Concat", "SpaceToDepth"):
        return "features"
    of_image = node.input[0] in IMAGES
    if node.op_type == "Pow" or (of_image and node.op_type == "Clip"):
        return "gamma"
    if of_image and node.op_type == "Div":
        return "radiance"
    return "align" if to_stem else "skip"


def _unit_lengths(model: ModelProto) -> set[str]:
    """Nodes of x / sqrt(sum(x * x) + tiny), found from the division backwards."""
    made, found = producers(model), set()
    for node in model.graph.node:
        root = made.get(node.input[1]) if node.op_type == "Div" else None
        if root is not None and root.op_type == "Sqrt":
            add = made[root.input[0]]
            total = made[add.input[0]]
            found |= {node.name, root.name, add.name, total.name, made[total.input[0]].name}
    return found
