"""The tone curve on the GPU is the CPU's: the same codes to one, for every picture and either signal."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edge.develop.prepare import Prepared
from edge.encode.recorder import HdrRecorder
from edge.engines import EngineError, VideoEngine
from edge.engines.onnx import OnnxEngine
from edge.engines.prove import Golden, tone_codes
from edge.engines.tensorrt import TensorrtEngine
from edge.engines.tone import toned
from edge.frames import Exposure, FloatImage, Frame, Group, HdrFrame, Rung
from edge.fuse.fuser import Fuser
from edge.fuse.stopwatch import untimed
from edge.session.config import session_config
from edge.session.recording import Session, SessionWriter
from edge.tone.tonemap import HdrFormat, HdrToneMapper, YuvImage
from tests.edge import rtx
from tests.edge.engines.test_tensorrt import LIGHT, bracket, graphs
from tests.edge.reference_gpu import MAGIC, ReferenceGpu
from tests.edge.tiny_model import write_tiny_model

FORMATS = [HdrFormat(), HdrFormat("hlg"), HdrFormat("pq", 100.0, 4000.0), HdrFormat("hlg", 203.0, 400.0)]
SIZES = [(54, 97), (64, 96), (33, 40), (31, 50), (2, 2), (1, 1), (5, 3)]


def identity(height: int, width: int) -> onnx.ModelProto:
    """A "network" whose radiance is its reference."""
    image = [height, width, 3]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["reference"], ["radiance"], "same")],
        "identity",
        [helper.make_tensor_value_info("reference", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info("radiance", TensorProto.FLOAT, image)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def engine_for(height: int, width: int) -> TensorrtEngine:
    plan = MAGIC + toned(identity(height, width), height, width).SerializeToString()
    return TensorrtEngine("identity", [plan], ReferenceGpu(), "x")  # type: ignore[arg-type]


def on_gpu(engine: TensorrtEngine, radiance: FloatImage, fmt: HdrFormat) -> YuvImage:
    cache = engine.encode_pair(radiance, radiance, LIGHT, 0.5, (0.5, 0.5))
    same, image = engine.fuse_video(cache, radiance, fmt)
    np.testing.assert_array_equal(same, radiance)
    assert image is not None
    return image


def off(image: YuvImage, expected: YuvImage) -> int:
    worst = 0
    for plane in ("y", "cb", "cr"):
        there, wanted = getattr(image, plane), getattr(expected, plane)
        assert (there.shape, there.dtype, there.flags.c_contiguous) == (wanted.shape, np.uint16, True)
        worst = max(worst, int(np.abs(there.astype(int) - wanted).max()))
    return worst


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_codes_and_light_are_those_of_the_cpu(size: tuple[int, int], fmt: HdrFormat) -> None:
    """A change of rung moves the tone curve from GPU to CPU in the middle of a video: nobody may see it."""
    scene = np.random.default_rng(1).random((*size, 3)) ** 6 * 16
    scene[: size[0] // 4] = 0.0
    radiance = scene.astype(np.float32)
    image, expected = on_gpu(engine_for(*size), radiance, fmt), HdrToneMapper(fmt).convert(radiance)
    assert off(image, expected) <= 1
    equal = np.mean([np.mean(getattr(image, p) == getattr(expected, p)) for p in ("y", "cb", "cr")])
    assert equal > 0.9
    assert image.format == fmt
    assert (image.light is None) == (fmt.transfer == "hlg")
    if image.light is not None and expected.light is not None:
        assert image.light.peak_nits == pytest.approx(expected.light.peak_nits, rel=2e-3)
        if size[0] % 2 == 0 == size[1] % 2:  # else the CPU counts the repeated row
            assert image.light.average_nits == pytest.approx(expected.light.average_nits, rel=2e-3)


SMALL = engine_for(4, 8)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0.0, 2.0**17, width=32), min_size=96, max_size=96), st.sampled_from(FORMATS))
def test_every_radiance_has_the_codes_of_the_cpu(values: list[float], fmt: HdrFormat) -> None:
    """Black, the smallest counts, the sun: a power that overflows would be a hole in the picture."""
    radiance = np.array(values, np.float32).reshape(4, 8, 3)
    assert off(on_gpu(SMALL, radiance, fmt), HdrToneMapper(fmt).convert(radiance)) <= 1


def test_every_code_of_grey_is_reached() -> None:
    """A curve with a step shows as a band in the sky."""
    for fmt in FORMATS[:2]:
        ramp = np.geomspace(1e-6, 5.0, 64 * 256).astype(np.float32).reshape(64, 256)
        radiance = np.repeat(ramp[..., None], 3, axis=2)
        image, expected = on_gpu(engine_for(64, 256), radiance, fmt), HdrToneMapper(fmt).convert(radiance)
        assert off(image, expected) <= 1
        codes = image.y.ravel().astype(int)
        assert (np.diff(codes) >= 0).all()
        assert np.diff(codes).max() <= np.diff(expected.y.ravel().astype(int)).max() + 1


def test_a_picture_is_the_callers_own_and_the_signal_may_change() -> None:
    """Frames wait for the encoder while the next is fused; graphs are captured, the signal is an input."""
    engine = engine_for(8, 12)
    pictures = [np.full((8, 12, 3), level, np.float32) for level in (0.1, 0.5, 1.0, 2.0)]
    made = [on_gpu(engine, picture, FORMATS[n % 2]) for n, picture in enumerate(pictures)]
    assert engine.captured
    for number, (picture, image) in enumerate(zip(pictures, made, strict=True)):
        assert off(image, HdrToneMapper(FORMATS[number % 2]).convert(picture)) <= 1


def test_the_proof_finds_planes_that_are_wrong(tmp_path: Path) -> None:
    """The gate that a new engine has to pass must be able to fail."""
    low, reference, high = bracket()
    golden = Golden("random", low, reference, high, LIGHT)
    good = toned(identity(*reference.shape[:2]), *reference.shape[:2])
    bad = onnx.ModelProto.FromString(good.SerializeToString())
    offset = next(i for i in bad.graph.initializer if i.name == "tone/offset")
    offset.CopyFrom(onnx.numpy_helper.from_array(np.array([66, 512, 512], np.float32), offset.name))
    without = identity(*reference.shape[:2])
    for graph, worst in ((good, 1), (bad, 3), (without, 1023)):
        plan = MAGIC + graph.SerializeToString()
        engine = TensorrtEngine("x", [plan], ReferenceGpu(), "x")  # type: ignore[arg-type]
        assert abs(tone_codes(engine, golden) - worst) <= 1


def test_an_engine_whose_planes_are_none_of_ours_is_refused() -> None:
    """They are read as two codes an integer."""
    model = toned(identity(8, 12), 8, 12)
    kept = [output for output in model.graph.output if output.name != "light"]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    with pytest.raises(EngineError, match="video planes are none of a twinhdr engine's"):
        TensorrtEngine("x", [MAGIC + model.SerializeToString()], ReferenceGpu(), "x")  # type: ignore[arg-type]


def prepared(frames: tuple[FloatImage, FloatImage, FloatImage]) -> Prepared:
    low, reference, high = frames
    taken = [
        Frame(camera, 0, 0, 0, Exposure(8000.0 * light), np.zeros((2, 2), np.uint8), "bayer_rggb", 8)
        for camera, light in zip(("secondary", "reference", "secondary"), LIGHT, strict=True)
    ]
    return Prepared(Group(0, taken[1], taken[0], taken[2], 0, 0), reference, low, high)


class TestWholeLine:
    @pytest.fixture
    def engine(self, tmp_path: Path) -> TensorrtEngine:
        model = write_tiny_model(tmp_path / "eafnet-tiny.onnx")
        plans = [MAGIC + graph for graph in graphs(model, "whole")]
        return TensorrtEngine("eafnet-tiny", plans, ReferenceGpu(), "x")  # type: ignore[arg-type]

    def test_the_fuser_asks_engines_that_can(self, engine: TensorrtEngine, tmp_path: Path) -> None:
        """And only for a video: without one nothing is computed for it."""
        assert isinstance(engine, VideoEngine)
        plain = OnnxEngine(tmp_path / "eafnet-tiny.onnx", 1)
        assert not isinstance(plain, VideoEngine)
        item = prepared(bracket())
        fmt = HdrFormat("hlg")
        hdr = Fuser({Rung.MODEL: engine}, video=fmt).fuse(item, Rung.MODEL)
        assert hdr.video is not None
        assert off(hdr.video, HdrToneMapper(fmt).convert(hdr.radiance)) <= 1
        assert Fuser({Rung.MODEL: engine}).fuse(item, Rung.MODEL).video is None
        assert Fuser({Rung.MODEL: plain}, video=fmt).fuse(item, Rung.MODEL).video is None
        assert Fuser({Rung.MODEL: engine}, video=fmt).fuse(item, Rung.REFERENCE).video is None

    @pytest.mark.parametrize("same", [True, False])
    def test_the_recorder_writes_what_the_gpu_made(self, recording: Path, tmp_path: Path, same: bool) -> None:
        """Unless it is another signal than the file's, which would be told wrong to every player."""
        folder = shutil.copytree(recording, tmp_path / "session")
        session = Session.open(folder)
        hdr = session_config(session.header.config, folder).hdr
        writer = SessionWriter.refused(folder, "tone")
        info = session.header.cameras["reference"]
        recorder = HdrRecorder(
            writer,
            hdr,
            width=info.width,
            height=info.height,
            fps=30.0,
            origin_ns=0,
            full_scale=4.0,
            watch=untimed(),
            on_segment=writer.sidecar.segment,
        )
        dark, bright = (np.full((info.height, info.width, 3), level, np.float32) for level in (0.1, 1.0))
        fmt = HdrFormat() if same else HdrFormat("pq", 100.0, 600.0)
        video = HdrToneMapper(fmt).convert(bright)
        recorder.write(HdrFrame(0, 0, dark, Rung.MODEL, "eafnet-tiny", 0, 0, 0, 0, video))
        recorder.close()
        writer.sidecar.end()
        (record,) = Session.open(folder).refused("tone").hdr_records()
        assert record.peak_nits == pytest.approx(203.0 if same else 20.3, rel=0.02)


def test_nvidias_builder_takes_it(tmp_path: Path) -> None:
    """In FP32 throughout: a PQ code is a thousandth, and its power of 79 amplifies what went before."""
    seen = rtx.check(toned(identity(54, 97), 54, 97).SerializeToString())
    assert {kind for kinds in seen.precision.values() for kind in kinds} == {"FLOAT"}
