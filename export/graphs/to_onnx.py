"""Write a trained EAFNet as one ONNX file that holds two graphs: encode_pair and fuse.

Contract, version 1. Inputs ``low``, ``reference``, ``high``: float32 [1,3,H,W], linear sensor values in
[0, 1], H and W multiples of ``twinhdr.multiple``, mirrored at the bottom and right (black there would darken
the last rows). ``exposure``: float32 [3], light of low, reference, high in a common unit. ``mean``: float32
[3], means of the unpadded gamma-domain (linear^(1/2.2)) low, reference, high over all pixels and channels.
Output ``radiance``: float32 [1,3,H,W] in reference units.

What depends on the pair alone passes through the tensors named in the metadata ``twinhdr.pair_cache``; cut
there (``split``), the file falls into encode_pair (low, high, exposure, mean -> cache) and fuse (reference,
exposure, cache, and low and high as far as skip and head see them -> radiance).

Device graphs are made from this one: ``static_shapes.fixed`` (one size), ``means.means_inside`` (without
``mean``), ``half.halve`` (FP16). docs/onnx.md has the contract of each.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from export.eafnet.config import EafnetConfig
from export.eafnet.layout import KEYS
from export.eafnet.model import Eafnet
from export.graphs.deploy import deployed
from export.graphs.means import MEAN_REFERENCE
from export.graphs.onnx_graph import facts, state

if TYPE_CHECKING:
    from onnx import ModelProto

    from export.eafnet.attention import Merging

CONTRACT = "1"
OPSET = 17
INPUTS = ("low", "reference", "high", "exposure", "mean")
OUTPUT = "radiance"


class Contract(nn.Module):
    """``Eafnet`` behind the contract's inputs; answers radiance and the pair's tensors."""

    def __init__(self, net: Eafnet) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, low: Tensor, reference: Tensor, high: Tensor, exposure: Tensor, mean: Tensor
    ) -> tuple[Tensor, ...]:
        exposures = exposure.reshape(1, 3)
        pair = self.net.encode_pair(low, high, exposures, mean.reshape(1, 3))
        hdr = self.net.fuse(reference, low, high, exposures, pair)
        radiance = hdr * (exposures[:, 1:2] / exposures[:, 0:1]).reshape(1, 1, 1, 1)
        return (radiance, *(t for side in pair for t in side.tensors()))


def pair_cache(net: Eafnet) -> dict[str, list[int | str]]:
    """Names and shapes of the tensors to keep per pair, in the order of ``PairFeatures.tensors``."""
    cache: dict[str, list[int | str]] = {}
    frames, width = net.frames, net.config.width
    for side in ("",) if frames == 2 else ("_low", "_high"):
        for scale in (1 + attended for attended in net.config.attended_scales):
            windows: list[int | str] = [frames, f"windows_{scale}", KEYS, width]
            cache[f"pair_keys_{scale}{side}"] = windows
            cache[f"pair_values_{scale}{side}"] = windows
        if cast("Merging", net.merge[0]).keeps_raw:
            cache[f"pair_guidance{side}"] = [frames, width, "rows", "columns"]
    return cache


def build(net: Eafnet, card: Mapping[str, Any] | None = None) -> ModelProto:
    """``net`` (any state; it is copied and folded) as an ONNX model with contract metadata.

    ``card`` says what the weights are in a few plain values; it goes into ``twinhdr.card`` as JSON.
    """
    config = net.config
    copy = Eafnet(config)
    copy.load_state_dict(net.state_dict())
    copy = deployed(copy.freeze())
    side = 2 * config.multiple
    images = [torch.rand(1, 3, side, side) for _ in range(3)]
    example = (*images, torch.tensor([0.25, 1.0, 4.0]), torch.tensor([0.3, 0.5, 0.7]))
    wrapped = Contract(copy).eval()
    cache = pair_cache(copy)
    with tempfile.TemporaryDirectory(prefix="twinhdr-onnx-") as folder, warnings.catch_warnings():
        file = f"{folder}/eafnet.onnx"
        # The TorchScript exporter is the one that honours our symbolics; torch calls it legacy.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            wrapped,
            example,
            file,
            input_names=list(INPUTS),
            output_names=[OUTPUT, *cache],
            dynamic_axes={name: {2: "H", 3: "W"} for name in ("low", "reference", "high", OUTPUT)},
            opset_version=OPSET,
            dynamo=False,
        )
        model = onnx.load(file)
    _declare_inputs(model)
    _cut_points(model, cache)
    _describe(model, net, cache, card or {})
    onnx.checker.check_model(model, full_check=True)
    return model


def _declare_inputs(model: ModelProto) -> None:
    """Give back the inputs that the exporter dropped: without G (an ablation) nothing reads ``mean``."""
    there = {value.name for value in model.graph.input}
    for name in ("exposure", "mean"):
        if name not in there:
            model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]))


def _cut_points(model: ModelProto, cache: Mapping[str, list[int | str]]) -> None:
    """Turn the cache outputs into inner tensors with shape information, which is what a cut needs."""
    graph = model.graph
    for value in [v for v in graph.output if v.name in cache]:
        graph.output.remove(value)
    for value in [v for v in graph.value_info if v.name in cache]:
        graph.value_info.remove(value)
    for name, shape in cache.items():
        graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))


def _describe(model: ModelProto, net: Eafnet, cache: Iterable[str], card: Mapping[str, Any]) -> None:
    facts = {
        "twinhdr.contract": CONTRACT,
        "twinhdr.variant": net.config.name,
        "twinhdr.multiple": str(net.config.multiple),
        "twinhdr.pair_cache": ",".join(cache),
        "twinhdr.skip": net.config.skip,
        "twinhdr.config": json.dumps(net.config.to_dict()),
        "twinhdr.card": json.dumps(dict(card)),
    }
    helper.set_model_props(model, facts)
    model.producer_name = "twinhdr"
    model.graph.name = f"eafnet-{net.config.name}"
    model.doc_string = "EAFNet: one reference frame and a low/high pair to one HDR frame."


def split(model: ModelProto, reference: Literal["mean", "image"] = "mean") -> tuple[ModelProto, ModelProto]:
    """Cut a model of ours, in any form, at its pair cache: (encode_pair, fuse).

    ``reference``: what encode_pair takes of the reference where the means are computed inside, its mean
    (``mean_reference`` [1]) or the image. Raises ValueError on a foreign model.
    """
    known = facts(model)
    if known.get("twinhdr.contract") != CONTRACT:
        raise ValueError(
            f"not a twinhdr model of contract {CONTRACT}: metadata twinhdr.contract is missing or other"
        )
    cache = known["twinhdr.pair_cache"].split(",")
    extractor = onnx.utils.Extractor(model)
    inside = ["low", "high", "exposure"]
    if known.get("twinhdr.means") != "inside":
        inside.append("mean")
    elif MEAN_REFERENCE in extractor.value_infos:
        inside.append(MEAN_REFERENCE if reference == "mean" else "reference")
    pair = extractor.extract_model(inside, cache)
    outside = ["reference", "exposure", *cache]
    if known.get("twinhdr.skip") in ("blend", "steady"):
        outside.append("low")
    if EafnetConfig.from_dict(json.loads(known["twinhdr.config"])).sees_high:
        outside.append("high")
    fuse = extractor.extract_model(outside, [OUTPUT])
    for name, part in (("encode_pair", pair), ("fuse", fuse)):
        helper.set_model_props(part, known)
        state(part, part=name)
        part.graph.name = f"{model.graph.name}-{name}"
    return pair, fuse


def write(net: Eafnet, path: Path, card: Mapping[str, Any] | None = None) -> None:
    """``build`` into ``path``, whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_bytes(build(net, card).SerializeToString())
    partial.replace(path)
