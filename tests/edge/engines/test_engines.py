"""What runs the network: files from anywhere, pictures of any size, and no crash from either."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from edge.engines import EngineError, mean_gamma, model_path, open_engine
from edge.engines.onnx import OnnxEngine
from edge.frames import FloatImage
from tests.edge.tiny_model import MULTIPLE, write_tiny_model

LIGHT = (0.25, 1.0, 4.0)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "eafnet-tiny.onnx")


@pytest.fixture(scope="module")
def engine(tiny: Path) -> OnnxEngine:
    return OnnxEngine(tiny, threads=1)


def bracket(height: int, width: int, seed: int = 1) -> tuple[FloatImage, FloatImage, FloatImage]:
    """Low, reference and high of one random scene."""
    scene = np.random.default_rng(seed).random((height, width, 3), np.float32) * 2
    low, reference, high = (np.clip(scene * light, 0, 1).astype(np.float32) for light in LIGHT)
    return low, reference, high


def fuse(engine: OnnxEngine, images: tuple[FloatImage, FloatImage, FloatImage]) -> FloatImage:
    low, reference, high = images
    return engine.fuse(engine.encode_pair(low, high, LIGHT, mean_gamma(reference)), reference)


def changed(source: Path, target: Path, change: Callable[[Any], None]) -> Path:
    model = onnx.load(str(source))
    change(model)
    onnx.save(model, str(target))
    return target


def with_metadata(**entries: str | None) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        kept = {entry.key: entry.value for entry in model.metadata_props}
        for key, value in entries.items():
            kept[f"twinhdr.{key}"] = value  # type: ignore[assignment]
        del model.metadata_props[:]
        helper.set_model_props(model, {k: v for k, v in kept.items() if v is not None})

    return change


def error_of(path: Path) -> str:
    with pytest.raises(EngineError) as caught:
        OnnxEngine(path, threads=1)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    assert len(text) < 800
    return text


def test_the_cut_model_answers_as_the_whole_one(tiny: Path, engine: OnnxEngine, tmp_path: Path) -> None:
    """The cut is for speed; a different picture would be a wrong cut."""
    whole = OnnxEngine(changed(tiny, tmp_path / "whole.onnx", with_metadata(pair_cache=None)), threads=1)
    images = bracket(96, 128)
    np.testing.assert_allclose(fuse(engine, images), fuse(whole, images), atol=1e-6)


def test_the_shipped_model_is_cut_without_a_difference(tmp_path: Path) -> None:
    """The same for the real network."""
    shipped = model_path("s")
    whole = OnnxEngine(changed(shipped, tmp_path / "whole.onnx", with_metadata(pair_cache=None)), threads=1)
    images = bracket(64, 96)
    np.testing.assert_allclose(fuse(OnnxEngine(shipped, 1), images), fuse(whole, images), atol=2e-5)


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (31, 33), (32, 64), (33, 65), (54, 97)])
def test_any_size_goes_in_and_comes_out(engine: OnnxEngine, size: tuple[int, int]) -> None:
    """540 lines are no multiple of 32; the padding must not show."""
    low, reference, high = bracket(*size)
    out = fuse(engine, (low, reference, high))
    assert out.shape == (*size, 3)
    assert out.dtype == np.float32
    assert out.flags.c_contiguous
    height, width = (-(-side // MULTIPLE) * MULTIPLE for side in size)
    # Mirrored; what is smaller than the padding is continued by its last row and column.
    continued: Any = "reflect" if height < 2 * size[0] and width < 2 * size[1] else "edge"
    padded = tuple(
        np.pad(image, ((0, height - size[0]), (0, width - size[1]), (0, 0)), mode=continued)
        for image in (low, reference, high)
    )
    cache = engine.encode_pair(
        padded[0], padded[2], LIGHT, mean_gamma(reference), (mean_gamma(low), mean_gamma(high))
    )
    np.testing.assert_allclose(out, engine.fuse(cache, padded[1])[: size[0], : size[1]], atol=1e-6)


def test_light_counts_by_its_ratios_alone(engine: OnnxEngine) -> None:
    """Microseconds times gain or multiples of the reference: the picture is the same."""
    low, reference, high = bracket(32, 32)
    mean = mean_gamma(reference)
    as_ratio = engine.fuse(engine.encode_pair(low, high, LIGHT, mean), reference)
    as_us = engine.fuse(engine.encode_pair(low, high, (2_000.0, 8_000.0, 32_000.0), mean), reference)
    np.testing.assert_allclose(as_ratio, as_us, rtol=1e-6)


def test_what_belongs_to_another_pair_or_engine_is_refused(tiny: Path, engine: OnnxEngine) -> None:
    """A cache of another size would read foreign memory in a less careful runtime."""
    low, _, high = bracket(32, 64)
    cache = engine.encode_pair(low, high, LIGHT, 0.5)
    with pytest.raises(ValueError, match="pair is"):
        engine.fuse(cache, bracket(64, 32)[1])
    with pytest.raises(ValueError, match="one size"):
        engine.encode_pair(low, bracket(32, 32)[2], LIGHT, 0.5)
    with pytest.raises(TypeError, match="encode_pair"):
        OnnxEngine(tiny, threads=1).fuse(cache, bracket(32, 64)[1])
    with pytest.raises(TypeError, match="encode_pair"):
        engine.fuse(object(), bracket(32, 64)[1])


@pytest.mark.parametrize("multiple", ["0", "-32", "abc", "", "3.5", "1e3", "99999999999", "٣٢"])
def test_a_nonsense_grid_is_named(tiny: Path, tmp_path: Path, multiple: str) -> None:
    """Else division by zero in the middle of a recording."""
    path = changed(tiny, tmp_path / "grid.onnx", with_metadata(multiple=multiple))
    assert "twinhdr.multiple" in error_of(path)


@pytest.mark.parametrize("cut", ["nowhere", "pair,nowhere", "radiance,,x"])
def test_a_cut_that_is_not_there_is_named(tiny: Path, tmp_path: Path, cut: str) -> None:
    """Metadata can be edited; the answer is one line that says so."""
    path = changed(tiny, tmp_path / "cut.onnx", with_metadata(pair_cache=cut))
    assert "twinhdr.pair_cache" in error_of(path) or "refuses" in error_of(path)


@pytest.mark.parametrize("contract", [None, "2", ""])
def test_another_contract_is_refused(tiny: Path, tmp_path: Path, contract: str | None) -> None:
    """A model of next year has other inputs; running it would give a wrong picture, not an error."""
    assert "contract" in error_of(changed(tiny, tmp_path / "new.onnx", with_metadata(contract=contract)))


def test_a_foreign_network_is_refused(tmp_path: Path) -> None:
    """Any ONNX file can be named in the configuration."""
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    out = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "foreign", [value], [out])
    onnx.save(helper.make_model(graph, ir_version=8), str(tmp_path / "foreign.onnx"))
    assert "not a twinhdr model" in error_of(tmp_path / "foreign.onnx")


@pytest.mark.parametrize("content", [b"", b"\x00" * 4096, b"version: 1\n", b"\x08\x08" + b"\xff" * 100])
def test_files_that_are_no_networks_are_refused(tmp_path: Path, content: bytes) -> None:
    """A wrong path in the configuration costs a line, not a traceback."""
    path = tmp_path / "wrong.onnx"
    path.write_bytes(content)
    error_of(path)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0, 0.999), st.integers(1, 255))
def test_a_torn_file_never_crashes(tiny: Path, tmp_path: Path, share: float, flip: int) -> None:
    """A copy that broke off, or a bad sector: EngineError, or a network that really runs."""
    data, place = tiny.read_bytes(), int(share * tiny.stat().st_size)
    for damaged in (data[:place], data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :]):
        path = tmp_path / "damaged.onnx"
        path.write_bytes(damaged)
        try:
            answer = fuse(OnnxEngine(path, threads=1), bracket(32, 32))
        except EngineError as error:
            told = str(error)
        else:
            told = str(answer.shape)
        assert "\n" not in told


def test_a_network_for_another_size_fails_by_name(tiny: Path, tmp_path: Path) -> None:
    """A static graph exported for 1080p, run at 540p, must say so and not die in C++."""

    def fix_size(model: Any) -> None:
        for entry in model.graph.input:
            if entry.name in ("low", "reference", "high"):
                entry.type.tensor_type.shape.dim[2].dim_value = 64
                entry.type.tensor_type.shape.dim[3].dim_value = 64

    engine = OnnxEngine(changed(tiny, tmp_path / "static.onnx", fix_size), threads=1)
    assert fuse(engine, bracket(64, 64)).shape == (64, 64, 3)
    with pytest.raises(EngineError, match=r"static\.onnx") as caught:
        fuse(engine, bracket(96, 64))
    assert "\n" not in str(caught.value)


def test_an_answer_of_another_shape_fails_by_name(tiny: Path, tmp_path: Path) -> None:
    """One channel would be broadcast to a grey picture without a word."""

    def grey(model: Any) -> None:
        node = next(node for node in model.graph.node if node.output[0] == "radiance")
        node.output[0] = "colour"
        model.graph.node.append(
            helper.make_node("ReduceMean", ["colour"], ["radiance"], axes=[1], keepdims=1)
        )
        model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 1

    engine = OnnxEngine(changed(tiny, tmp_path / "grey.onnx", grey), threads=1)
    with pytest.raises(EngineError, match="answers"):
        fuse(engine, bracket(32, 32))


def test_a_missing_model_lists_what_is_there(tmp_path: Path) -> None:
    """The next step is in the message."""
    with pytest.raises(EngineError, match=r"shipped models \(.*s.*\)"):
        open_engine(str(tmp_path / "none.onnx"))
    with pytest.raises(EngineError, match="does not exist"):
        open_engine(str(tmp_path))


def test_threads_are_those_asked_for(tiny: Path) -> None:
    """The recorder leaves cores to the encoder; a network that takes all starves it."""
    for threads in (1, 2):
        session = OnnxEngine(tiny, threads=threads)._free.fuse
        assert session.get_session_options().intra_op_num_threads == threads
    assert OnnxEngine(tiny)._free.fuse.get_session_options().intra_op_num_threads >= 1


def test_the_mean_is_sampled_well() -> None:
    """Equation 2 scales the exposures by it; one percent is what the network tolerates."""
    image = np.random.default_rng(1).random((1080, 1920, 3), np.float32) ** 3
    image[:, 960:] *= 0.2
    exact = float(np.mean(image ** (1 / 2.2)))
    assert mean_gamma(image) == pytest.approx(exact, rel=0.01)
    assert mean_gamma(np.full((1, 1, 3), 4.0, np.float32)) == 1.0
