"""NVIDIA's own ONNX parser and builder without a GPU: TensorRT-RTX, told which one to build for.

It is not the device's TensorRT, but its parser is the same and its builder refuses what no kernel of NVIDIA's
can do. ``install.sh test`` installs it where it exists (x86_64); it is no part of twinhdr.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx
import pytest
from onnx import TensorProto

from edge.engines.build import MOST_WORKSPACE_BYTES
from edge.engines.gpu import BuildSettings, Built
from edge.engines.nvinfer import TensorrtBuilder

FREE_SIZES = ((64, 64), (544, 960), (1088, 1920))
"""Smallest, usual and largest (height, width) of a graph whose size is free; multiples of every network's."""

FLOATS = {TensorProto.FLOAT: "FLOAT", TensorProto.FLOAT16: "HALF"}


@dataclass(frozen=True, slots=True)
class Seen:
    """A build as NVIDIA saw it. ``precision``: of the layers that each ONNX node became, by its name."""

    built: Built
    strongly_typed: bool
    layers: frozenset[str]
    precision: dict[str, set[str]]


class Sm86:
    """The module ``tensorrt_rtx`` with a builder for SM 8.6 (Orin's is 8.7, which it does not offer)."""

    def __init__(self) -> None:
        trt = pytest.importorskip(
            "tensorrt_rtx",
            reason="tensorrt_rtx is missing (./install.sh test installs it on x86_64): "
            "not tested is that NVIDIA's own parser and builder take our graphs",
            exc_type=ImportError,
        )
        self._trt = trt
        self.networks: list[Any] = []
        kept = self.networks
        self.flags: list[int] = []
        asked = self.flags

        class Builder(trt.Builder):  # type: ignore[misc]
            def create_builder_config(self) -> Any:
                config = super().create_builder_config()
                config.num_compute_capabilities = 1
                config.set_compute_capability(trt.ComputeCapability.SM86, 0)
                free = [value for value in inputs(kept[-1]) if -1 in value.shape]
                if free:
                    profile = self.create_optimization_profile()
                    for value in free:
                        profile.set_shape(value.name, *((1, 3, *size) for size in FREE_SIZES))
                    config.add_optimization_profile(profile)
                return config

            def create_network(self, flags: int) -> Any:
                asked.append(flags)
                kept.append(super().create_network(flags))
                return kept[-1]

        self.Builder = Builder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trt, name)


def inputs(network: Any) -> list[Any]:
    """Of a parsed network."""
    return [network.get_input(number) for number in range(network.num_inputs)]


def build(graph: bytes) -> Seen:
    """``graph`` through the device's own builder code. Skips the test where there is no TensorRT-RTX."""
    trt = Sm86()
    built = TensorrtBuilder(trt).build(graph, BuildSettings(), MOST_WORKSPACE_BYTES, b"", lambda *_: None)
    (network,) = trt.networks
    typed = trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED
    layers = [network.get_layer(number) for number in range(network.num_layers)]
    precision: dict[str, set[str]] = {}
    for layer in layers:
        node = layer.metadata.removeprefix("[ONNX Layer: ").removesuffix("]")
        kinds = {layer.get_output(number).dtype.name for number in range(layer.num_outputs)}
        precision.setdefault(node, set()).update(kinds & set(FLOATS.values()))
    return Seen(
        built,
        # TensorRT-RTX knows nothing else; TensorRT 10 has to be asked
        network.get_flag(typed) and bool(trt.flags[0] & 1 << int(typed)),
        frozenset(layer.type.name for layer in layers),
        precision,
    )


def written(graph: bytes) -> dict[str, set[str]]:
    """The precision that every node of ``graph`` with a floating answer is written in."""
    shaped = onnx.shape_inference.infer_shapes(onnx.ModelProto.FromString(graph), strict_mode=True).graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in [*shaped.value_info, *shaped.output]}
    return {
        node.name: {FLOATS[kinds[name]] for name in node.output}
        for node in shaped.node
        if kinds[node.output[0]] in FLOATS and node.op_type != "Constant"  # weights to the parser
    }


def check(graph: bytes) -> Seen:
    """Build ``graph`` and hold NVIDIA's view of it against what is written: types, and no plugin anywhere."""
    seen = build(graph)
    assert len(seen.built.plan) > 1000
    assert seen.strongly_typed
    assert not {kind for kind in seen.layers if kind.startswith("PLUGIN")}
    pairs = {name: (kinds, seen.precision.get(name)) for name, kinds in written(graph).items()}
    assert {name: pair for name, pair in pairs.items() if pair[0] != pair[1]} == {}
    return seen
