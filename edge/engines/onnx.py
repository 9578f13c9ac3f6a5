"""EAFNet through ONNX Runtime, on any machine.

One file holds the whole network. Its metadata names the tensors that depend on the low/high pair alone
(``twinhdr.pair_cache``); cut there, it becomes two graphs, and the first runs once per pair. A file without
that entry is run whole for every frame.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.engines import EngineError, Light, PairCache, mean_gamma
from edge.frames import FloatImage

CONTRACT = "1"
INPUTS = {"low", "reference", "high", "exposure", "mean"}
OUTPUT = "radiance"


@dataclass(frozen=True, slots=True)
class _Cached:
    """The tensors of one pair by name, the inputs the second graph still wants, and the image size."""

    tensors: dict[str, NDArray[Any]]
    height: int
    width: int


class OnnxEngine:
    """One EAFNet model file on ONNX Runtime's CPU provider."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        import onnx

        self.path = path
        try:
            # Named fp32 graph of a few MB: held whole, so that it can be cut.
            model = onnx.load(str(path))
            onnx.checker.check_model(model)
        except Exception as error:  # the parsers raise whatever protobuf and C++ raise
            raise EngineError(
                f"{path}: not a readable ONNX file ({_first_line(error)}); export it again"
            ) from error
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        self._check(model, metadata)
        self.name = path.stem
        self.multiple = int(metadata.get("twinhdr.multiple", "32"))
        cut = [name for name in metadata.get("twinhdr.pair_cache", "").split(",") if name]
        self._encode = (
            self._session(_part(model, sorted(INPUTS - {"reference"}), cut), threads) if cut else None
        )
        rest = _part(model, [*sorted(INPUTS), *cut], [OUTPUT]) if cut else model
        self._fuse = self._session(rest, threads)
        self._wanted = [entry.name for entry in self._fuse.get_inputs()]

    def _check(self, model: Any, metadata: dict[str, str]) -> None:
        inputs = {entry.name for entry in model.graph.input}
        outputs = {entry.name for entry in model.graph.output}
        if inputs != INPUTS or OUTPUT not in outputs or metadata.get("twinhdr.contract") != CONTRACT:
            raise EngineError(
                f"{self.path}: not a twinhdr model of contract {CONTRACT} (inputs "
                f"{', '.join(sorted(inputs))}; outputs {', '.join(sorted(outputs))}); "
                "export it with: twinhdr-export onnx"
            )

    def _session(self, model: Any, threads: int) -> Any:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or (os.cpu_count() or 1)
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            return ort.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime has one exception class per cause
            raise EngineError(
                f"{self.path}: ONNX Runtime {ort.__version__} refuses it ({_first_line(error)}); "
                "export it again"
            ) from error

    def encode_pair(
        self,
        low: FloatImage,
        high: FloatImage,
        light: Light,
        mean_reference: float,
        mean_pair: tuple[float, float] | None = None,
    ) -> PairCache:
        """See Engine. ``light`` may be in any unit; only its ratios count."""
        if low.shape != high.shape:
            raise ValueError(f"low is {low.shape}, high is {high.shape}: a pair has one size")
        height, width = low.shape[:2]
        relative = np.asarray(light, np.float32) / np.float32(light[1])
        mean_low, mean_high = mean_pair or (mean_gamma(low), mean_gamma(high))
        feed: dict[str, NDArray[Any]] = {
            "low": self._planes(low),
            "high": self._planes(high),
            "exposure": relative,
            "mean": np.asarray([mean_low, mean_reference, mean_high], np.float32),
        }
        tensors = {name: value for name, value in feed.items() if name in self._wanted}
        if self._encode is not None:
            names = [entry.name for entry in self._encode.get_outputs()]
            wanted = {entry.name for entry in self._encode.get_inputs()}
            outputs = self._encode.run(names, {k: v for k, v in feed.items() if k in wanted})
            tensors.update(zip(names, outputs, strict=True))
        return _Cached(tensors, height, width)

    def fuse(self, cache: PairCache, reference: FloatImage) -> FloatImage:
        """See Engine."""
        if not isinstance(cache, _Cached):
            raise TypeError(f"fuse wants the cache of {type(self).__name__}.encode_pair, got {type(cache)}")
        if reference.shape[:2] != (cache.height, cache.width):
            raise ValueError(f"reference is {reference.shape[:2]}, pair is {(cache.height, cache.width)}")
        feed = {**cache.tensors, "reference": self._planes(reference)}
        (radiance,) = self._fuse.run([OUTPUT], {name: feed[name] for name in self._wanted})
        out: FloatImage = np.ascontiguousarray(
            radiance[0, :, : cache.height, : cache.width].transpose(1, 2, 0)
        )
        return out

    def _planes(self, image: FloatImage) -> NDArray[np.float32]:
        """(H, W, 3) to (1, 3, H', W'), zero-padded right and bottom to the network's multiple."""
        height, width = image.shape[:2]
        padded_height = -(-height // self.multiple) * self.multiple
        padded_width = -(-width // self.multiple) * self.multiple
        planes = np.zeros((1, 3, padded_height, padded_width), np.float32)
        planes[0, :, :height, :width] = image.transpose(2, 0, 1)
        return planes


def _part(model: Any, inputs: list[str], outputs: list[str]) -> Any:
    """The subgraph between named tensors, without the inputs that it does not use."""
    from onnx.utils import Extractor

    part = Extractor(model).extract_model(inputs, outputs)
    used = {name for node in part.graph.node for name in node.input}
    kept = [entry for entry in part.graph.input if entry.name in used]
    del part.graph.input[:]
    part.graph.input.extend(kept)
    return part


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
