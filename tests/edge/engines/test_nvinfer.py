"""TensorRT's own code behind our calls: its parser and builder take what we hand them, in our types.

Without a GPU, through TensorRT-RTX; running a plan needs one (test_tensorrt.py).
"""

from __future__ import annotations

import importlib.metadata
import logging
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper
from packaging.requirements import Requirement

from edge.engines import MODELS
from edge.engines.gpu import BuildSettings, GpuError
from edge.engines.nvinfer import TensorrtBuilder
from edge.engines.onnx import CONTRACT
from tests.edge import rtx
from tests.edge.engines.test_tensorrt import graphs
from tests.edge.tiny_model import write_tiny_model

pytestmark = pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX")  # it times nothing

SHIPPED = sorted(MODELS.glob("*.onnx"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "eafnet-tiny.onnx")


def build(graph: bytes, progress: Any = lambda *_: None) -> bytes:
    return TensorrtBuilder(rtx.Sm86()).build(graph, BuildSettings(), 1 << 30, b"", progress).plan


@pytest.mark.parametrize("size", [(540, 960), (1080, 1920)], ids=str)
@pytest.mark.parametrize("cut", ["whole", "pair"])
@pytest.mark.parametrize("model", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_network_builds_as_it_is_written(
    model: Path, cut: str, size: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    """A node that only ONNX Runtime knows, or a cast that NVIDIA adds, would be found on the device."""
    with caplog.at_level(logging.INFO, "edge.engines.nvinfer"):
        for graph in graphs(model, cut, size, half=True):
            rtx.check(graph)
    assert caplog.messages == []


@pytest.mark.parametrize("model", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_file_builds_as_it_lies_there(model: Path) -> None:
    """FP32 and any size: what other people's TensorRT tools (trtexec) would be given."""
    rtx.check(model.read_bytes())


def test_what_is_shipped_is_seen() -> None:
    """An empty list of models would pass everything above."""
    assert SHIPPED
    for path in SHIPPED:
        facts = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
        assert facts["twinhdr.contract"] == CONTRACT


def test_a_build_tells_how_far_it_is_and_can_be_ended(tiny: Path) -> None:
    """It takes minutes on a small Jetson; Ctrl-C must reach the person's terminal, not end inside C++."""
    graph = graphs(tiny, "pair")[1]
    told: list[tuple[str, float]] = []
    build(graph, lambda what, share: told.append((what, share)))
    assert told
    assert all(what and 0.0 <= share <= 1.0 for what, share in told)

    def stop(_what: str, _share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(graph, stop)


def node_of(kind: str, **more: Any) -> bytes:
    """A graph of one node of ``kind``."""
    image = [1, 3, 8, 8]
    graph = helper.make_graph(
        [helper.make_node(kind, ["x"], ["y"], "the/culprit", **more)],
        "one node",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    opset = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


@pytest.mark.parametrize(
    ("graph", "says"),
    [
        (b"no network", "refuses the file: "),
        (node_of("NoSuchOp"), r"refuses the/culprit \(NoSuchOp\): "),
        (node_of("AveragePool", kernel_shape=[9, 9, 9]), r"refuses the/culprit \(AveragePool\): "),
    ],
    ids=["no ONNX", "an unknown operator", "wrong attributes"],
)
def test_a_broken_graph_is_refused_in_nvidias_words(graph: bytes, says: str) -> None:
    """The node and the reason are known to the parser alone; without them a person is left to guess."""
    with pytest.raises(GpuError, match=f"TensorRT's parser {says}") as caught:
        build(graph)
    assert "\n" not in str(caught.value)


def test_types_that_do_not_fit_are_refused_in_nvidias_words() -> None:
    """Strongly typed means that nobody casts behind our back, in FP16 graphs made by mistake neither."""
    kinds = {"x": TensorProto.FLOAT, "half": TensorProto.FLOAT16, "y": TensorProto.FLOAT}
    values = {name: helper.make_tensor_value_info(name, kind, [1, 8]) for name, kind in kinds.items()}
    node = helper.make_node("Add", ["x", "half"], ["y"], "mixed")
    graph = helper.make_graph([node], "mixed", [values["x"], values["half"]], [values["y"]])
    opset = [helper.make_opsetid("", 17)]
    data = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    with pytest.raises(GpuError, match="mixed"):
        build(data)


def test_a_shipped_file_that_was_cut_short_is_refused() -> None:
    """A download that broke off."""
    with pytest.raises(GpuError, match="TensorRT's parser refuses"):
        build(SHIPPED[0].read_bytes()[:100_000])


def test_nothing_of_nvidias_is_installed_with_twinhdr() -> None:
    """Their packages have a licence that nobody agrees to by installing this program, and weigh gigabytes."""
    pending, seen = ["twinhdr"], set()
    while pending:
        name = pending.pop()
        try:
            wanted = [Requirement(text) for text in importlib.metadata.requires(name) or ()]
        except importlib.metadata.PackageNotFoundError:
            continue
        names = {r.name for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})}
        pending += sorted(names - seen)
        seen |= names
    assert {"numpy", "onnxruntime"} <= seen
    assert not {name for name in seen if name.lower().startswith(("tensorrt", "nvidia", "pycuda", "torch"))}
