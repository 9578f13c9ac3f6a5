"""Does an ONNX file say what its weights say, in one piece and in two? The gate before a model ships."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch

from edge.frames import FloatImage
from export.eafnet.model import Eafnet
from export.to_onnx import CONTRACT, OUTPUT, split
from export.weights import load_weights

TOLERANCE = 1e-4
"""Largest difference of the network's output (in [0, 1]) between torch and ONNX Runtime."""

LOGIT_LIMIT = 100.0
"""FP16 ends at 65504, but a logit beyond this is a sign of a broken network long before."""

FORBIDDEN = ("Col2Im", "Cast", "If", "Loop", "Scan", "Resize")
"""Operators TensorRT lacks, an FP16 conversion stumbles over, or that hide data-dependent control flow."""

Frames = dict[str, FloatImage]


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


def verify(
    onnx_path: Path, weights_path: Path, sizes: tuple[tuple[int, int], ...] | None = None
) -> list[Finding]:
    """Every check of ``onnx_path`` against ``weights_path``; all of them must be ok for a model to ship.

    ``sizes`` are (height, width), multiples of the network's multiple.
    """
    net, _ = load_weights(weights_path)
    model = onnx.load(str(onnx_path))
    facts = {p.key: p.value for p in model.metadata_props}
    findings = [
        Finding(
            "contract", facts.get("twinhdr.contract", "missing"), facts.get("twinhdr.contract") == CONTRACT
        ),
        Finding(
            "multiple",
            facts.get("twinhdr.multiple", "missing"),
            facts.get("twinhdr.multiple") == str(net.config.multiple),
        ),
    ]
    found = sorted({n.op_type for n in model.graph.node} & set(FORBIDDEN))
    findings.append(Finding("operators", ", ".join(found) or f"{len(model.graph.node)} nodes", not found))
    m = net.config.multiple
    whole = session(model)
    for number, (h, w) in enumerate(sizes or ((2 * m, 3 * m), (5 * m, m))):
        frames = random_frames(h, w, number)
        expected, largest = by_torch(net, frames)
        once = run(whole, frames)[OUTPUT]
        scale = frames["exposure"][1] / frames["exposure"][0]
        off = float(np.abs(once - expected).max() / scale)
        apart = float(np.abs(once - in_two(model, frames)).max() / scale)
        findings += [
            Finding(f"ONNX Runtime against torch at {w}x{h}", f"{off:.1e}", off < TOLERANCE),
            Finding(f"in two graphs against one at {w}x{h}", f"{apart:.1e}", apart < TOLERANCE),
            Finding(f"largest logit at {w}x{h}", f"{largest:.1f}", largest < LOGIT_LIMIT),
        ]
    return findings
