"""Every network of the family as NVIDIA's own parser and builder see it, for SM 8.6 and without a GPU.

Shipped ones are built in tests/edge/engines/test_nvinfer.py too; here are those that nobody has trained yet,
with random weights: what a builder refuses are operators, types and shapes.
"""

from __future__ import annotations

from functools import cache

import pytest

torch = pytest.importorskip("torch", reason="export needs PyTorch: pip install twinhdr[export]")
onnx = pytest.importorskip("onnx")

from edge.engines.framing import framed, in_two  # noqa: E402
from edge.engines.tone import toned  # noqa: E402
from export.eafnet.config import variant  # noqa: E402
from export.eafnet.model import Eafnet  # noqa: E402
from export.graphs.census import PRECISIONS, census  # noqa: E402
from export.graphs.engine_command import prepare  # noqa: E402
from export.graphs.forms import Form, shaped  # noqa: E402
from export.graphs.onnx_graph import facts  # noqa: E402
from export.graphs.parts import parts  # noqa: E402
from export.graphs.to_onnx import build, split  # noqa: E402
from tests.edge import rtx  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX")

SIZES = {"960x544": (960, 544), "1920x1080": (1920, 1080)}
TYPES = {"fp32": "FLOAT", "fp16": "HALF"}


@cache
def network(name: str) -> onnx.ModelProto:
    """An untrained network at its full width."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return build(Eafnet(variant(name)).eval())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["s", "m", "l"])
def test_the_engines_graphs_build(name: str, size: str) -> None:
    """What ``twinhdr-export engine`` hands to TensorRT: whole, and in two."""
    width, height = SIZES[size]
    whole = framed(prepare(network(name), height, width), height, width)
    pair, fuse = in_two(whole, facts(whole)["twinhdr.pair_cache"].split(","))
    for graph in (toned(whole, height, width), pair, toned(fuse, height, width)):
        rtx.check(graph.SerializeToString())


@pytest.mark.parametrize("name", ["s", "m", "l", "xs"])
def test_device_files_build_in_the_precision_of_their_census(name: str) -> None:
    """What ``twinhdr-export onnx --half --split`` writes; its report names each node's precision."""
    whole = shaped(network(name), Form((960, 540), half=True, means_inside=True))
    part_of = parts(whole)
    for graph in (whole, *split(whole)):
        seen = rtx.check(graph.SerializeToString())
        for node in census(graph, part_of).nodes:
            if node.precision in TYPES:
                assert seen.precision[node.name] == {TYPES[node.precision]}, node.name
    assert set(TYPES) <= set(PRECISIONS.values())
