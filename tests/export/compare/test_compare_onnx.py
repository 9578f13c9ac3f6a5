"""Other people's networks plug in: the tensors they get are the ones their description asks for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge.engines import EngineError
from edge.judge.quality import mu_law
from export.compare.merges import OnReference, aligned
from export.compare.onnx_file import onnx_row
from tests.edge.tiny_model import write_tiny_model
from tests.export.brackets_known import still

THREE = "inputs: {x1: low, x2: reference, x3: high}\nchannels: [ldr, hdr]\n"


def write_picker(
    path: Path, inputs: dict[str, int], source: str, first: int, multiple: int = 1, outputs: int = 1
) -> Path:
    """A network that answers with three channels of one of its ``inputs`` (name: channels).

    It refuses sizes that are no multiples, as networks with strides do.
    """
    bounds = {"start": np.array([first]), "stop": np.array([first + 3]), "axis": np.array([1])}
    bounds |= {"folded": np.array([0, 3, -1, multiple, multiple])}
    whole = {"shape": np.array([0, 0, 0, 0])}
    nodes = [helper.make_node("Slice", [source, "start", "stop", "axis"], ["picked"])]
    nodes.append(helper.make_node("Shape", ["picked"], ["size"]))
    nodes.append(helper.make_node("Reshape", ["picked", "folded"], ["blocks"]))
    nodes.append(helper.make_node("Reshape", ["blocks", "size"], ["out"]))
    names = ["out"]
    if outputs > 1:
        nodes.append(helper.make_node("Identity", [source], ["other"]))
        names.append("other")
    for unused in inputs:
        nodes.append(helper.make_node("Identity", [unused], [f"{unused}_seen"]))
    constants = {**bounds, **whole}
    graph = helper.make_graph(
        nodes,
        "picker",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, c, "h", "w"]) for n, c in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names],
        [numpy_helper.from_array(value.astype(np.int64), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


SIX = {"x1": 6, "x2": 6, "x3": 6}


@pytest.mark.parametrize("source", ["x1", "x2", "x3"])
def test_kalantari_style_radiance_is_on_the_low_scale(tmp_path: Path, source: str) -> None:
    """Networks of the field take LDR^2.2 / t with t = 1 for the low exposure, and answer on that scale."""
    path = write_picker(tmp_path / "net.onnx", SIX, source, first=3)
    (tmp_path / "net.yaml").write_text(THREE)
    sample = still()
    images = {"x1": sample.low, "x2": sample.reference * 0.25, "x3": sample.high * 0.0625}
    row = onnx_row(path, OnReference(), threads=1)
    assert row.name == "net"
    np.testing.assert_allclose(row.method(sample), images[source], rtol=1e-5)


def test_the_ldr_channels_are_gamma_coded(tmp_path: Path) -> None:
    """A network that was trained on pictures must not be fed linear values."""
    path = write_picker(tmp_path / "net.onnx", SIX, "x2", first=0)
    (tmp_path / "net.yaml").write_text(THREE)
    sample = still()
    answer = onnx_row(path, OnReference(), threads=1).method(sample)
    np.testing.assert_allclose(answer, sample.reference ** (1 / 2.2), rtol=1e-5)


def test_units_domain_and_linear_channels(tmp_path: Path) -> None:
    """Networks differ in what their 1.0 is and in which domain they answer."""
    path = write_picker(tmp_path / "net.onnx", {"x": 9}, "x", first=3)
    (tmp_path / "net.json").write_text(
        '{"inputs": {"x": ["low", "reference", "high"]}, "channels": ["linear"], "unit": "reference"}'
    )
    sample = still()
    answer = onnx_row(path, OnReference(), threads=1).method(sample)
    np.testing.assert_allclose(answer, sample.reference * 0.25, rtol=1e-5)
    toned = still()
    toned.low[...] = mu_law(toned.truth)
    (tmp_path / "net.json").write_text(
        '{"inputs": {"x": ["reference", "low", "high"]}, "channels": ["linear"], "domain": "mu"}'
    )
    answer = onnx_row(path, OnReference(), threads=1).method(toned)
    np.testing.assert_allclose(answer, toned.truth, rtol=1e-3, atol=1e-7)


def test_sizes_are_padded_to_the_multiple(tmp_path: Path) -> None:
    """50 x 70 goes through a network with strides of 16, and comes back as 50 x 70."""
    path = write_picker(tmp_path / "net.onnx", SIX, "x1", first=3, multiple=16)
    sample = still(height=50, width=70)
    (tmp_path / "net.yaml").write_text(THREE + "multiple: 16\n")
    np.testing.assert_allclose(onnx_row(path, OnReference(), threads=1).method(sample), sample.low, rtol=1e-5)
    (tmp_path / "net.yaml").write_text(THREE)
    with pytest.raises(EngineError, match=r"net\.onnx: fails while it runs"):
        onnx_row(path, OnReference(), threads=1).method(sample)


def test_align_gives_it_the_registered_pair(tmp_path: Path) -> None:
    """A network without an alignment of its own is compared fairly only so."""
    path = write_picker(tmp_path / "net.onnx", SIX, "x1", first=3)
    (tmp_path / "net.yaml").write_text(THREE + "align: true\n")
    sample = still()
    sample.exposure[0] *= 1.1  # told wrong: registration finds it, and the answer is still on the told scale
    answer = onnx_row(path, OnReference(), threads=1).method(sample)
    np.testing.assert_allclose(answer, aligned(lambda s: s.low, OnReference())(sample), rtol=1e-4, atol=1e-6)


def test_one_of_ours_runs_through_the_devices_engine(tmp_path: Path) -> None:
    """The ONNX file is judged as the device runs it, its registration included."""
    path = write_tiny_model(tmp_path / "tiny.onnx")
    sample = still()
    answer = onnx_row(path, OnReference(), threads=1).method(sample)
    assert answer.shape == sample.reference.shape
    registered = OnReference()(sample)
    expected = answer[20, 20] / sample.exposure[0]
    around = slice(19, 22), slice(19, 22)
    light = registered.exposure
    radiance = (registered.low[around] / light[0] + registered.high[around] / light[2]) / 3
    radiance += registered.reference[around] / 3
    level = np.mean(registered.mean)
    scale = light[0] / sample.exposure[0]
    np.testing.assert_allclose(expected * scale, radiance.mean((0, 1)) * level * scale, rtol=2e-2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "docs/evaluation.md"),
        ("inputs: {x1: low, x2: reference}\n", "its inputs are x1, x2, x3"),
        ("inputs: {x1: low, x2: medium, x3: high}\n", "inputs.x2"),
        ("inputs: {x1: low}\nchanels: [ldr]\n", "chanels"),
        ("inputs: [", "neither YAML nor JSON"),
        (THREE + "output: nothing\n", "its outputs are out"),
    ],
)
def test_a_wrong_description_is_one_clear_error(tmp_path: Path, text: str | None, says: str) -> None:
    """Somebody writes these lines by hand, once."""
    path = write_picker(tmp_path / "net.onnx", SIX, "x1", first=0)
    if text is not None:
        (tmp_path / "net.yaml").write_text(text)
    with pytest.raises(EngineError, match=says):
        onnx_row(path, OnReference(), threads=1)


def test_the_output_is_named_where_there_are_several(tmp_path: Path) -> None:
    """Networks that also answer with masks or refinement stages are common."""
    path = write_picker(tmp_path / "net.onnx", SIX, "x1", first=3, outputs=2)
    (tmp_path / "net.yaml").write_text(THREE)
    with pytest.raises(EngineError, match="name the fused picture"):
        onnx_row(path, OnReference(), threads=1)
    (tmp_path / "net.yaml").write_text(THREE + "output: out\n")
    sample = still()
    np.testing.assert_allclose(onnx_row(path, OnReference(), threads=1).method(sample), sample.low, rtol=1e-5)
    (tmp_path / "net.yaml").write_text(THREE + "output: other\n")  # six channels: no picture
    with pytest.raises(EngineError, match=r"answers \(1, 6, 48, 64\)"):
        onnx_row(path, OnReference(), threads=1).method(sample)


def test_what_is_no_onnx_file_says_so(tmp_path: Path) -> None:
    """Not a traceback of protobuf's."""
    with pytest.raises(EngineError, match="no such ONNX file"):
        onnx_row(tmp_path / "nowhere.onnx", OnReference())
    path = tmp_path / "text.onnx"
    path.write_text("not a network")
    with pytest.raises(EngineError, match="not a"):
        onnx_row(path, OnReference())
    path.with_suffix(".yaml").write_text(THREE)
    with pytest.raises(EngineError, match="ONNX Runtime refuses it"):
        onnx_row(path, OnReference())
