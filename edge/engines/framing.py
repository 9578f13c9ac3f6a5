"""Frames in, frame out: the graph that a device runs takes pictures as cameras and developers make them.

Contract 1 wants planes, padded to the network's multiple. On the host that is a transposition and a mirrored
copy of three pictures per frame; on the GPU they are two cheap nodes, and the host's buffer is the picture
itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.utils import Extractor

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

IMAGES = ("low", "reference", "high")
OUTPUT = "radiance"
PAIR_INPUTS = ("low", "high", "exposure", "mean")


def framed(model: ModelProto, height: int, width: int) -> ModelProto:
    """A copy of a static whole graph of ours whose images are float32 (height, width, 3), unpadded.

    ``exposure`` and ``mean`` stay as they are. Raises ValueError where the graph is not static, or smaller
    than the picture, or padded by more than the picture can mirror.
    """
    out = onnx.ModelProto.FromString(model.SerializeToString())
    tall, wide = _padded_size(out)
    below, right = tall - height, wide - width
    if not (0 <= below < height and 0 <= right < width):
        raise ValueError(f"a graph for {wide}x{tall} cannot take pictures of {width}x{height}")
    constants: dict[str, Any] = {
        "frame/pads": np.array([0, 0, 0, 0, 0, 0, below, right], np.int64),
        "frame/axis": np.array([0], np.int64),
        "frame/start": np.array([0, 0], np.int64),
        "frame/end": np.array([height, width], np.int64),
        "frame/rows_columns": np.array([2, 3], np.int64),
    }
    before: list[NodeProto] = []
    for image in IMAGES:
        _rename_uses(out, image, f"frame/{image}")
        before += _planes_of(image, padded=below > 0 or right > 0)
    after = _picture_from(out, cropped=below > 0 or right > 0)
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in out.graph.node]
    del out.graph.node[:]
    out.graph.node.extend([*before, *nodes, *after])
    used = {name for node in out.graph.node for name in node.input}
    out.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in constants.items() if name in used
    )
    for value in [*out.graph.input, *out.graph.output]:
        if value.name in (*IMAGES, OUTPUT):
            described = helper.make_tensor_value_info(value.name, TensorProto.FLOAT, [height, width, 3])
            value.CopyFrom(described)
    onnx.checker.check_model(out)
    return out


def in_two(model: ModelProto, cut: list[str]) -> tuple[ModelProto, ModelProto]:
    """What depends on the pair alone, and the rest; each without inputs that it does not use.

    Raises ValueError where the graph cannot be cut at the tensors named ``cut``.
    """
    shaped = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    inputs = [value.name for value in shaped.graph.input]
    try:
        pair = part(shaped, [name for name in inputs if name in PAIR_INPUTS], cut)
        rest = part(shaped, [*inputs, *cut], [OUTPUT])
    except Exception as error:  # ONNX raises what its graph walk stumbles over
        raise ValueError(f"cannot be cut at {', '.join(cut)[:200]}: {error}") from error
    return pair, rest


def part(model: ModelProto, inputs: list[str], outputs: list[str]) -> ModelProto:
    """The subgraph between named tensors, without the inputs that it does not use."""
    found: ModelProto = Extractor(model).extract_model(inputs, outputs)
    used = {name for node in found.graph.node for name in node.input}
    kept = [value for value in found.graph.input if value.name in used]
    del found.graph.input[:]
    found.graph.input.extend(kept)
    return found


def _padded_size(model: ModelProto) -> tuple[int, int]:
    for value in model.graph.input:
        if value.name == "reference":
            sides = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            if len(sides) == 4 and sides[:2] == [1, 3] and min(sides) > 0:
                return sides[2], sides[3]
    raise ValueError("not a static whole graph of ours: its input reference has no fixed size [1, 3, H, W]")


def _rename_uses(model: ModelProto, name: str, new: str) -> None:
    for node in model.graph.node:
        for position, used in enumerate(node.input):
            if used == name:
                node.input[position] = new


def _planes_of(image: str, *, padded: bool) -> list[NodeProto]:
    """(H, W, 3) to (1, 3, H', W')."""
    at = f"frame/{image}"
    last = f"{at}/batch" if padded else at
    nodes = [
        helper.make_node("Transpose", [image], [f"{at}/planes"], f"{at}/Transpose", perm=[2, 0, 1]),
        helper.make_node("Unsqueeze", [f"{at}/planes", "frame/axis"], [last], f"{at}/Unsqueeze"),
    ]
    if padded:
        nodes.append(helper.make_node("Pad", [last, "frame/pads"], [at], f"{at}/Pad", mode="reflect"))
    return nodes


def _picture_from(model: ModelProto, *, cropped: bool) -> list[NodeProto]:
    """(1, 3, H', W') to (H, W, 3)."""
    inner = "frame/answer"
    for node in model.graph.node:
        for position, made in enumerate(node.output):
            if made == OUTPUT:
                node.output[position] = inner
        for position, used in enumerate(node.input):
            if used == OUTPUT:
                node.input[position] = inner
    nodes, last = [], inner
    if cropped:
        last = "frame/cropped"
        window = ["frame/start", "frame/end", "frame/rows_columns"]
        nodes.append(helper.make_node("Slice", [inner, *window], [last], "frame/Slice"))
    nodes += [
        helper.make_node("Squeeze", [last, "frame/axis"], ["frame/chosen"], "frame/Squeeze"),
        helper.make_node("Transpose", ["frame/chosen"], [OUTPUT], "frame/Transpose", perm=[1, 2, 0]),
    ]
    return nodes
