"""The gamma means of equation 2, computed in the graph, so that a device feeds frames and exposures only.

Contract 1 with ``mean`` absent (metadata ``twinhdr.means: inside``): of each image the part that is picture,
without the padding, is averaged in two steps, lines first, in FP32. A sum over half a million values in one
step loses digits, and in FP16 it overflows.

The reference's mean is a tensor of its own, ``mean_reference`` [1]. In the whole graph it comes from the
reference. Cut at the pair's tensors, ``encode_pair`` takes it as an input: the gain of equation 2 is frozen
per group, so the host hands over the mean of the frame that began the group, four bytes that it has anyway
(the Engine protocol passes it), and not six megabytes of picture. ``split(model, reference="image")`` cuts so
that encode_pair takes the reference itself instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper, numpy_helper

from export.graphs.onnx_graph import facts, infer, replace_nodes, state
from export.graphs.static_shapes import IMAGES, simplify

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

MEAN = "mean"
MEAN_REFERENCE = "mean_reference"
GAMMA = 2.2
SMALLEST = 2.0**-20
"""As ``export.eafnet.prealign.gamma`` has it: the two powers are then one node each."""


def picture_size(model: ModelProto) -> tuple[int, int]:
    """(height, width) of the picture inside a static graph's padded images. Raises ValueError if dynamic."""
    size = facts(model).get("twinhdr.size", "")
    width, x, height = size.partition("x")
    if not (x and width.isdigit() and height.isdigit()):
        raise ValueError(
            "this graph's size is free: make it static first (its entry twinhdr.size is missing)"
        )
    return int(height), int(width)


def means_inside(model: ModelProto) -> ModelProto:
    """A copy of a static ``model`` that computes ``mean`` from its images instead of being told.

    A network that does not use the means (an ablation without G) only loses the input.
    """
    height, width = picture_size(model)
    out = onnx.ModelProto.FromString(model.SerializeToString())
    kept = [i for i in out.graph.input if i.name != MEAN]
    del out.graph.input[:]
    out.graph.input.extend(kept)
    state(out, means="inside")
    if not any(MEAN in node.input for node in out.graph.node):
        return out
    constants = {
        "means/smallest": np.float32(SMALLEST),
        "means/one": np.float32(1.0),
        "means/exponent": np.float32(1 / GAMMA),
        "means/start": np.zeros(2, np.int64),
        "means/end": np.array((height, width), np.int64),
        "means/axes": np.array((2, 3), np.int64),
    }
    out.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items())
    nodes = [node for image in IMAGES for node in _mean_of(image)]
    parts = [MEAN_REFERENCE if image == "reference" else f"means/{image}/mean" for image in IMAGES]
    nodes.append(helper.make_node("Concat", parts, [MEAN], "means/Concat", axis=0))
    replace_nodes(out, [*nodes, *out.graph.node])
    simplify(out)
    out = infer(out)
    onnx.checker.check_model(out, full_check=True)
    return out


def _mean_of(image: str) -> list[NodeProto]:
    at = f"means/{image}/"
    mean = MEAN_REFERENCE if image == "reference" else f"{at}mean"
    clip, picture = ["means/smallest", "means/one"], ["means/start", "means/end", "means/axes"]
    gamma = f"gamma/{image}"
    return [
        helper.make_node("Clip", [image, *clip], [f"{gamma}/clipped"], f"{gamma}/Clip"),
        helper.make_node("Pow", [f"{gamma}/clipped", "means/exponent"], [gamma], f"{gamma}/Pow"),
        helper.make_node("Slice", [gamma, *picture], [f"{at}picture"], f"{at}Slice"),
        helper.make_node("ReduceMean", [f"{at}picture"], [f"{at}lines"], f"{at}Lines", axes=[3], keepdims=0),
        helper.make_node("ReduceMean", [f"{at}lines"], [mean], f"{at}Mean", axes=[1, 2], keepdims=0),
    ]
