"""Does an ONNX file say what its weights say, in one piece and in two? The gate before a model ships.

A float32 file is compared with torch, on noise and on the golden scenes, and its FP16 form with itself. An
FP16 file, or one for a single size, is compared with what its weights give in float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch

from edge.frames import FloatImage
from export.eafnet.model import Eafnet
from export.graphs.census import census
from export.graphs.cost import cost
from export.graphs.forms import Form, partner, shaped
from export.graphs.golden import SIZE, agreement, golden
from export.graphs.golden import frames as golden_frames
from export.graphs.half import precision, rounded
from export.graphs.means import picture_size
from export.graphs.onnx_graph import facts
from export.graphs.to_onnx import CONTRACT, OUTPUT, build, split
from export.graphs.unfolded import unfolded
from export.training.brackets import Sample
from export.training.weights import load_weights

TOLERANCE = 1e-4
"""Largest difference of the network's output (in [0, 1]) between torch and ONNX Runtime."""

AGREEMENT_DB = 55.0
"""PSNR-mu that FP16 must reach against FP32 on every golden scene."""

FOLDING_TOLERANCE = 1e-5
"""Largest difference between wavelets and filters as steps of their own and folded into convolutions."""

MORE_MACS = 1.015
"""Multiply-accumulates of the graph over those of the network, at most."""

LOGIT_LIMIT = 100.0
"""FP16 ends at 65504, but a logit beyond this is a sign of a broken network long before."""

FORBIDDEN = ("Col2Im", "Cast", "If", "Loop", "Scan", "Resize")
"""Operators TensorRT lacks or that hide data-dependent control flow; casts belong to FP16 graphs alone."""

Frames = dict[str, FloatImage]
Network = Sequence[ort.InferenceSession]
"""One whole graph, or encode_pair and fuse."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check and how it went."""

    check: str
    value: str
    ok: bool


def random_frames(height: int, width: int, seed: int = 0) -> Frames:
    """Inputs of the contract: smooth noise over the whole range, with clipped and black parts."""
    rng = np.random.default_rng(seed)
    frames: Frames = {}
    for name in ("low", "reference", "high"):
        coarse = rng.uniform(-0.3, 1.4, (1, 3, height // 8, width // 8)).repeat(8, 2).repeat(8, 3)
        noisy = coarse + rng.normal(0, 0.02, coarse.shape)
        frames[name] = np.clip(noisy, 0, 1).astype(np.float32)
    frames["exposure"] = np.array((0.25, 1.0, 4.0), np.float32)
    means = [np.power(frames[n], 1 / 2.2).mean() for n in ("low", "reference", "high")]
    frames["mean"] = np.array(means, np.float32)
    return frames


def session(model: onnx.ModelProto, threads: int = 1) -> ort.InferenceSession:
    """``model`` on the CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(sess: ort.InferenceSession, frames: Frames) -> Frames:
    """Feed the inputs that ``sess`` has; outputs by name."""
    feed = {i.name: frames[i.name] for i in sess.get_inputs()}
    names = [o.name for o in sess.get_outputs()]
    return dict(zip(names, sess.run(names, feed), strict=True))


def in_two(model: onnx.ModelProto, frames: Frames) -> FloatImage:
    """Radiance by way of encode_pair and fuse."""
    pair, fuse = split(model)
    cache = run(session(pair), frames)
    return run(session(fuse), {**frames, **cache})[OUTPUT]


def by_torch(net: Eafnet, frames: Frames) -> tuple[FloatImage, float]:
    """Radiance by torch, and the largest absolute logit before the last sigmoid."""
    largest = 0.0

    def watch(_module: object, _inputs: object, output: torch.Tensor) -> None:
        nonlocal largest
        largest = max(largest, float(output.abs().max()))

    handle = net.head.register_forward_hook(watch)
    try:
        tensors = {k: torch.from_numpy(v) for k, v in frames.items()}
        exposure, mean = tensors["exposure"][None], tensors["mean"][None]
        with torch.inference_mode():
            out = net(tensors["low"], tensors["reference"], tensors["high"], exposure, mean)
    finally:
        handle.remove()
    radiance: FloatImage = out.numpy() * (frames["exposure"][1] / frames["exposure"][0])
    return radiance, largest


def answer(network: Network, frames: Frames) -> FloatImage:
    """Radiance of one graph, or of two after one another."""
    outputs = dict(frames)
    for part in network:
        outputs |= run(part, outputs)
    return outputs[OUTPUT]


def verify(
    onnx_path: Path,
    weights_path: Path,
    sizes: Sequence[tuple[int, int]] | None = None,
    scenes: Sequence[str] | None = None,
) -> list[Finding]:
    """Every check of ``onnx_path`` against ``weights_path``; all of them must be ok for a model to ship.

    ``sizes``: (height, width) of the noise that a dynamic file is fed, multiples of the network's multiple.
    ``scenes``: golden scenes by name, where not all. Either file of a model in two graphs stands for both.
    """
    net, _ = load_weights(weights_path)
    model = onnx.load(str(onnx_path))
    both = partner(onnx_path, model)
    models = [model] if both is None else [onnx.load(str(path)) for path in both]
    findings = list(_names(models, net))
    if not all(f.ok for f in findings):
        return findings
    samples = _samples(model, scenes)
    if precision(model) == "fp16" or both is not None or "twinhdr.size" in facts(model):
        return [*findings, *_as_its_weights(models, net, samples)]
    findings += _on_noise(model, net, sizes)
    findings += _folding(net)
    findings += _macs(model, net)
    findings += _on_golden(model, net, samples)
    return findings


def _names(models: Sequence[onnx.ModelProto], net: Eafnet) -> Iterator[Finding]:
    """Contract, multiple and operators."""
    for model in models:
        known = facts(model)
        contract, multiple = (known.get(f"twinhdr.{n}", "missing") for n in ("contract", "multiple"))
        yield Finding("contract", contract, contract == CONTRACT)
        yield Finding("multiple", multiple, multiple == str(net.config.multiple))
        casts = {"Cast"} if precision(model) == "fp16" else set()
        found = sorted({n.op_type for n in model.graph.node} & set(FORBIDDEN) - casts)
        yield Finding("operators", ", ".join(found) or f"{len(model.graph.node)} nodes", not found)


def _samples(model: onnx.ModelProto, scenes: Sequence[str] | None) -> Mapping[str, Sample]:
    """Golden scenes for ``model``'s size; for large pictures those with the widest brackets."""
    size = SIZE
    if "twinhdr.size" in facts(model):
        height, width = picture_size(model)
        size = width, height
    if scenes is None and size[0] * size[1] > SIZE[0] * SIZE[1]:
        scenes = ("night-ev4", "sun-ev4", "windows-ev4")
    return golden(size, None if scenes is None else tuple(scenes))


def _on_noise(
    model: onnx.ModelProto, net: Eafnet, sizes: Sequence[tuple[int, int]] | None
) -> Iterator[Finding]:
    m = net.config.multiple
    whole = session(model)
    for number, (h, w) in enumerate(sizes or ((2 * m, 3 * m), (5 * m, m))):
        frames = random_frames(h, w, number)
        expected, largest = by_torch(net, frames)
        once = run(whole, frames)[OUTPUT]
        scale = frames["exposure"][1] / frames["exposure"][0]
        off = float(np.abs(once - expected).max() / scale)
        apart = float(np.abs(once - in_two(model, frames)).max() / scale)
        yield Finding(f"ONNX Runtime against torch at {w}x{h}", f"{off:.1e}", off < TOLERANCE)
        yield Finding(f"in two graphs against one at {w}x{h}", f"{apart:.1e}", apart < TOLERANCE)
        yield Finding(f"largest logit at {w}x{h}", f"{largest:.1f}", largest < LOGIT_LIMIT)


def _folding(net: Eafnet) -> Iterator[Finding]:
    m = net.config.multiple
    frames = random_frames(2 * m, 2 * m, 7)
    scale = frames["exposure"][1] / frames["exposure"][0]
    frozen = Eafnet(net.config)
    frozen.load_state_dict(net.state_dict())
    folded, steps = by_torch(frozen.freeze(), frames)[0], by_torch(unfolded(net), frames)[0]
    off = float(np.abs(folded - steps).max() / scale)
    yield Finding("wavelets and filters folded against step by step", f"{off:.1e}", off < FOLDING_TOLERANCE)


def _macs(model: onnx.ModelProto, net: Eafnet) -> Iterator[Finding]:
    counted = census(shaped(model, Form(SIZE)))
    in_graph, expected = counted.macs / (1000 * SIZE[0] * SIZE[1]), cost(net.config).kmac
    yield Finding(
        "kMAC per pixel in the graph against the network's",
        f"{in_graph:.1f} against {expected:.1f}",
        in_graph < MORE_MACS * expected,
    )


def _on_golden(model: onnx.ModelProto, net: Eafnet, samples: Mapping[str, Sample]) -> Iterator[Finding]:
    """FP32 against torch, and the FP16 form against FP32, as the GPU rounds it."""
    single = [session(model)]
    half = [session(rounded(shaped(model, Form(SIZE, half=True))))]
    worst, where, agreements = 0.0, "", {}
    for name, sample in samples.items():
        frames = golden_frames(sample, net.config.multiple)
        expected, _ = by_torch(net, frames)
        once = answer(single, frames)
        off = float(np.abs(once - expected).max() * frames["exposure"][0] / frames["exposure"][1])
        worst, where = max((worst, where), (off, name))
        agreements[name] = agreement(answer(half, frames), once, frames["exposure"])
    yield Finding(
        f"ONNX Runtime against torch on {len(samples)} golden scenes",
        f"{worst:.1e} ({where})",
        worst < TOLERANCE,
    )
    for name, decibels in agreements.items():
        yield _agrees(f"FP16 against FP32 on {name}", decibels)


def _agrees(check: str, decibels: float) -> Finding:
    return Finding(check, f"{decibels:.1f} dB", decibels >= AGREEMENT_DB)


def _as_its_weights(
    models: Sequence[onnx.ModelProto], net: Eafnet, samples: Mapping[str, Sample]
) -> Iterator[Finding]:
    """A file in another form against the float32 graph of the same weights, on pictures of its size."""
    half = any(precision(model) == "fp16" for model in models)
    single = [session(build(net))]
    itself = [session(model) for model in models]
    as_on_gpu = [session(rounded(model)) for model in models] if half else itself
    for name, sample in samples.items():
        frames = golden_frames(sample, net.config.multiple)
        height, width = sample.reference.shape[:2]
        picture = (..., slice(0, height), slice(0, width))
        expected = answer(single, frames)[picture]
        found = answer(itself, frames)[picture]
        if half:
            gpu = answer(as_on_gpu, frames)[picture]
            yield _agrees(f"FP16 against FP32 on {name}", agreement(gpu, expected, frames["exposure"]))
            ran = agreement(found, expected, frames["exposure"])
            yield _agrees(f"the file in ONNX Runtime on {name}", ran)
            continue
        off = float(np.abs(found - expected).max() * frames["exposure"][0] / frames["exposure"][1])
        yield Finding(f"against the dynamic graph on {name}", f"{off:.1e}", off < TOLERANCE)
