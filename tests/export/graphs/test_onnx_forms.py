"""One size, means inside, cut in two: other forms of the same network give the same picture."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="export needs PyTorch: pip install twinhdr[export]")
onnx = pytest.importorskip("onnx")

from export.graphs.census import census  # noqa: E402
from export.graphs.cost import cost  # noqa: E402
from export.graphs.forms import Form, shaped  # noqa: E402
from export.graphs.means import means_inside  # noqa: E402
from export.graphs.onnx_graph import facts, infer, shapes  # noqa: E402
from export.graphs.parts import PARTS, parts  # noqa: E402
from export.graphs.static_shapes import fixed  # noqa: E402
from export.graphs.to_onnx import OUTPUT, split  # noqa: E402
from export.graphs.unfolded import unfolded  # noqa: E402
from export.graphs.verify import Frames, answer, by_torch, in_two, random_frames, run, session  # noqa: E402
from tests.export.tiny_eafnet import tiny, tiny_graph  # noqa: E402

HEIGHT, WIDTH = 50, 70  # padded to 64 x 96


@pytest.fixture(params=["s", "l"])
def dynamic(request: pytest.FixtureRequest) -> onnx.ModelProto:
    return onnx.ModelProto.FromString(tiny_graph(request.param))


def padded_frames() -> Frames:
    """Noise whose padding is white, so that a mean over it would be far off."""
    frames = random_frames(64, 96)
    for name in ("low", "reference", "high"):
        frames[name][..., HEIGHT:, :] = 1.0
        frames[name][..., WIDTH:] = 1.0
    pictures = [frames[n][..., :HEIGHT, :WIDTH] for n in ("low", "reference", "high")]
    means = [np.power(np.maximum(p, 2.0**-20), 1 / 2.2).mean() for p in pictures]
    return {**frames, "mean": np.array(means, np.float32), "mean_reference": np.float32(means[1:2])}


def test_the_static_graph_is_the_dynamic_one(dynamic: onnx.ModelProto) -> None:
    """TensorRT plans for one size; nothing may be left to compute about shapes, and nothing may change."""
    m = int(facts(dynamic)["twinhdr.multiple"])
    static = fixed(dynamic, HEIGHT, WIDTH)
    tall, wide = HEIGHT + -HEIGHT % m, WIDTH + -WIDTH % m
    known = shapes(static)
    assert known["reference"] == known[OUTPUT] == (1, 3, tall, wide)
    assert {name for node in static.graph.node for name in node.output} <= set(known)
    assert facts(static)["twinhdr.size"] == "70x50"
    assert not {"Shape", "Constant", "Identity"} & {node.op_type for node in static.graph.node}
    assert len(static.graph.node) < 0.75 * len(dynamic.graph.node)
    frames = random_frames(64, 96)
    frames = {k: v[..., :tall, :wide] if v.ndim == 4 else v for k, v in frames.items()}
    once = run(session(dynamic), frames)[OUTPUT]
    np.testing.assert_allclose(run(session(static), frames)[OUTPUT], once, atol=1e-5)
    np.testing.assert_allclose(in_two(static, frames), once, atol=1e-5)


def test_every_node_has_a_name_of_its_own(dynamic: onnx.ModelProto) -> None:
    """Profilers and TensorRT's errors speak of nodes by name."""
    names = [n.name for n in shaped(dynamic, Form((WIDTH, HEIGHT), True, True)).graph.node]
    assert all(names)
    assert len(set(names)) == len(names)


def test_means_inside_are_those_of_the_picture() -> None:
    """The device feeds frames and exposures; padding that counted would shift the gain of equation 2."""
    static = fixed(onnx.ModelProto.FromString(tiny_graph("s")), HEIGHT, WIDTH)
    inside = means_inside(static)
    assert [i.name for i in inside.graph.input] == ["low", "reference", "high", "exposure"]
    assert facts(inside)["twinhdr.means"] == "inside"
    frames = padded_frames()
    expected = run(session(static), frames)[OUTPUT]
    np.testing.assert_allclose(run(session(inside), frames)[OUTPUT], expected, atol=1e-5)
    wrong = {**frames, "mean": np.array((0.9, 0.9, 0.9), np.float32)}
    assert np.abs(run(session(static), wrong)[OUTPUT] - expected).max() > 1e-4


@pytest.mark.parametrize("takes", ["mean", "image"])
def test_cut_in_two_the_pair_takes_the_reference_or_its_mean(takes: str) -> None:
    """Its gain is frozen per group: the host hands over the first frame, or four bytes."""
    inside = means_inside(fixed(onnx.ModelProto.FromString(tiny_graph("s")), HEIGHT, WIDTH))
    pair, fuse = split(inside, takes)
    reference = "mean_reference" if takes == "mean" else "reference"
    assert [i.name for i in pair.graph.input] == ["low", "high", "exposure", reference]
    assert facts(pair)["twinhdr.part"] == "encode_pair"
    assert facts(fuse)["twinhdr.multiple"] == "32"
    frames = padded_frames()
    whole = run(session(inside), frames)[OUTPUT]
    np.testing.assert_allclose(answer([session(pair), session(fuse)], frames), whole, atol=1e-5)


def test_means_need_a_size() -> None:
    """Where the size is free nobody knows what is padding."""
    with pytest.raises(ValueError, match="static"):
        means_inside(onnx.ModelProto.FromString(tiny_graph("s")))
    with pytest.raises(ValueError, match="size"):
        Form(None, means_inside=True)
    with pytest.raises(ValueError, match="multiple"):
        fixed(onnx.ModelProto(), 64, 64)


def test_the_census_counts_what_the_network_costs(dynamic: onnx.ModelProto) -> None:
    """A graph that does more work than the network was measured with is slower than the tables say."""
    net = tiny(facts(dynamic)["twinhdr.variant"])
    counted = census(shaped(dynamic, Form((256, 192), True, True)))
    pixels = 256 * 192 * 1000
    assert counted.macs / pixels == pytest.approx(cost(net.config).kmac, rel=0.02)
    assert counted.casts == sum(count for (op, _), (count, _) in counted.by_op().items() if op == "Cast")
    assert sum(count for count, _ in counted.by_op().values()) == len(counted.nodes)
    told = counted.to_json()
    assert told["macs"] == sum(node["macs"] for node in told["nodes"])
    assert {node["precision"] for node in told["nodes"]} == {"fp16", "fp32"}
    assert all(node["shape"] for node in told["nodes"])
    assert census(dynamic).macs == pytest.approx(counted.macs * (960 * 544) / (256 * 192), rel=0.02)


def test_every_part_of_the_network_is_found() -> None:
    """Precision is decided by part: nodes of a part that is not found run in FP16 unnoticed."""
    inside = means_inside(fixed(onnx.ModelProto.FromString(tiny_graph("s")), 64, 64))
    part_of = parts(inside)
    assert set(part_of.values()) == set(PARTS)
    by_op = {(n.op_type, part_of[n.name]) for n in infer(inside).graph.node}
    assert {part for op, part in by_op if op == "Pow"} == {"gamma"}
    assert {part for op, part in by_op if op == "Conv"} == {"features", "last"}
    assert {part for op, part in by_op if op == "ReduceSum"} == {"cosine"}
    assert {part for op, part in by_op if op == "ReduceMean"} == {"means", "skip", "global"}
    assert {part for op, part in by_op if op == "Log"} == {"exposure", "skip"}
    fed = parts(fixed(onnx.ModelProto.FromString(tiny_graph("s")), 64, 64))
    assert {k: v for k, v in part_of.items() if k in fed and v != "gamma"}.items() <= fed.items()


@pytest.mark.parametrize(("name", "changes"), [("l", {}), ("s", {}), ("s", {"dwt": False})], ids=str)
def test_folding_changes_nothing(name: str, changes: dict[str, bool]) -> None:
    """Wavelets and bandpass filters vanish into convolutions: exactly, or what was trained is not shipped."""
    net = tiny(name, **changes)
    for module in net.restore.modules():
        if hasattr(module, "weights"):
            torch.nn.init.normal_(module.weights, mean=1.0, std=0.5)
    frames = random_frames(64, 64)
    steps, _ = by_torch(unfolded(net), frames)
    folded, _ = by_torch(net.freeze(), frames)
    assert float(np.abs(folded - steps).max()) < 4e-5  # times 4: radiance is on the reference's scale
    plain, _ = by_torch(tiny(name, **changes), frames)
    assert float(np.abs(plain - steps).max()) > 1e-4
