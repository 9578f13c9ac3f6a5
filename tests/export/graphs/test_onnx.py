"""The ONNX file says what the weights say, in one piece and cut at the pair's tensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="export needs PyTorch: pip install twinhdr[export]")
onnx = pytest.importorskip("onnx")

from export.eafnet.config import variant  # noqa: E402
from export.eafnet.model import Eafnet  # noqa: E402
from export.graphs.to_onnx import INPUTS, OUTPUT, build, split, write  # noqa: E402
from export.graphs.verify import FORBIDDEN, by_torch, in_two, random_frames, run, session, verify  # noqa: E402
from export.training.weights import load_weights, save_weights  # noqa: E402


def tiny(name: str, **changes: Any) -> Eafnet:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = Eafnet(variant(name, width=8, growth=4, attention_width=4, **changes)).eval()
    torch.nn.init.normal_(net.head.last.weight, std=0.1)
    return net


def facts(model: Any) -> dict[str, str]:
    return {p.key: p.value for p in model.metadata_props}


@pytest.mark.parametrize(
    ("name", "changes"),
    [("s", {}), ("s", {"skip": "reference", "guidance_source": "attention"}), ("l", {}), ("xs", {})],
    ids=["s", "s-attention", "l", "xs"],
)
def test_one_file_two_graphs_and_torch_agree(name: str, changes: dict[str, Any]) -> None:
    """The device runs the two graphs; training measured the torch network. H and W stay free."""
    net = tiny(name, **changes)
    model = build(net)
    whole = session(model)
    m = net.config.multiple
    for number, (h, w) in enumerate(((m, 2 * m), (3 * m, m), (2 * m, 2 * m))):
        frames = random_frames(h, w, number)
        expected, _ = by_torch(net, frames)
        once = run(whole, frames)[OUTPUT]
        assert once.shape == (1, 3, h, w)
        assert float(np.abs(once - expected).max()) < 1e-4
        assert float(np.abs(once - in_two(model, frames)).max()) < 1e-4


def test_the_contract_is_in_the_file() -> None:
    """The device code reads names and metadata; without them it must refuse the model."""
    model = build(tiny("s"), {"patches": 3})
    props = facts(model)
    assert props["twinhdr.contract"] == "1"
    assert props["twinhdr.variant"] == "s"
    assert props["twinhdr.multiple"] == "32"
    assert json.loads(props["twinhdr.card"]) == {"patches": 3}
    assert [i.name for i in model.graph.input] == list(INPUTS)
    assert [o.name for o in model.graph.output] == [OUTPUT]
    cache = props["twinhdr.pair_cache"].split(",")
    assert len(cache) == 6
    assert set(cache) <= {v.name for v in model.graph.value_info}


def test_the_pair_graph_never_sees_the_reference() -> None:
    """Otherwise nothing could be kept for the next reference frame."""
    pair, fuse = split(build(tiny("s")))
    assert [i.name for i in pair.graph.input] == ["low", "high", "exposure", "mean"]
    assert {"reference", "low"} <= {i.name for i in fuse.graph.input}
    assert "mean" not in {i.name for i in fuse.graph.input}


def test_the_graph_holds_nothing_tensorrt_lacks() -> None:
    """Col2Im does not parse, casts break the FP16 conversion, and every shape node costs dynamic sizes."""
    kinds = [n.op_type for n in build(tiny("s")).graph.node]
    assert not set(kinds) & set(FORBIDDEN)
    assert kinds.count("Shape") <= 10


def test_a_foreign_model_is_refused() -> None:
    """Cutting an unknown graph at unknown names must not end in a traceback of the onnx package."""
    with pytest.raises(ValueError, match="twinhdr"):
        split(onnx.ModelProto())


def test_verify_finds_weights_that_are_not_the_files(tmp_path: Path) -> None:
    """The gate before a model ships must be able to fail."""
    net = tiny("s")
    write(net, tmp_path / "m.onnx")
    save_weights(net, tmp_path / "m.safetensors", {"note": 1})
    assert load_weights(tmp_path / "m.safetensors")[1] == {"note": 1}
    sizes = ((32, 64),)
    assert all(f.ok for f in verify(tmp_path / "m.onnx", tmp_path / "m.safetensors", sizes, ("night-ev4",)))
    with torch.no_grad():
        net.opening.weight += 0.1
    save_weights(net, tmp_path / "m.safetensors")
    assert not all(
        f.ok for f in verify(tmp_path / "m.onnx", tmp_path / "m.safetensors", sizes, ("night-ev4",))
    )
