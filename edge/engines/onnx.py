"""EAFNet through ONNX Runtime, on any machine.

One file holds the whole network. Its metadata names the tensors that depend on the low/high pair alone
(``twinhdr.pair_cache``); cut there, it becomes two graphs, and the first runs once per pair. A file without
that entry is run whole for every frame.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge.engines import EngineError, Light, PairCache, pair_numbers
from edge.frames import FloatImage

CONTRACT = "1"
INPUTS = {"low", "reference", "high", "exposure", "mean"}
OUTPUT = "radiance"
MAX_MULTIPLE = 1024


@dataclass(frozen=True, slots=True)
class _Cached:
    """The tensors of one pair by name, the inputs the second graph still wants, and the image size."""

    engine: OnnxEngine
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
        metadata = {_text(entry.key): _text(entry.value) for entry in model.metadata_props}
        self._check(model, metadata)
        self.name = path.stem
        self.multiple = self._multiple(metadata.get("twinhdr.multiple", "32"))
        cut = [name for name in metadata.get("twinhdr.pair_cache", "").split(",") if name]
        first, rest = self._split(model, cut) if cut else (None, model)
        self._encode = None if first is None else self._session(first, threads)
        self._fuse = self._session(rest, threads)
        self._wanted = [entry.name for entry in self._fuse.get_inputs()]

    def _check(self, model: Any, metadata: dict[str, str]) -> None:
        inputs = {_text(entry.name) for entry in model.graph.input}
        outputs = {_text(entry.name) for entry in model.graph.output}
        if inputs != INPUTS or OUTPUT not in outputs or metadata.get("twinhdr.contract") != CONTRACT:
            raise EngineError(
                f"{self.path}: not a twinhdr model of contract {CONTRACT} (inputs "
                f"{', '.join(sorted(inputs))}; outputs {', '.join(sorted(outputs))}); "
                "export it with: twinhdr-export onnx"
            )

    def _multiple(self, text: str) -> int:
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_MULTIPLE:
            raise EngineError(
                f"{self.path}: its entry twinhdr.multiple is {text!r}, not a whole number from 1 to "
                f"{MAX_MULTIPLE}; export it again"
            )
        return int(text)

    def _split(self, model: Any, cut: list[str]) -> tuple[Any, Any]:
        """The part that depends on the pair alone, and the rest."""
        from edge.engines.framing import part

        try:
            return (
                part(model, sorted(INPUTS - {"reference"}), cut),
                part(model, [*sorted(INPUTS), *cut], [OUTPUT]),
            )
        except Exception as error:  # ONNX raises what its graph walk stumbles over
            raise EngineError(
                f"{self.path}: cannot be cut at its entry twinhdr.pair_cache, {', '.join(cut)[:200]} "
                f"({_first_line(error)}); export it again"
            ) from error

    def _session(self, model: Any, threads: int) -> Any:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
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
        numbers = pair_numbers(low, high, light, mean_reference, mean_pair)
        height, width = low.shape[:2]
        feed: dict[str, NDArray[Any]] = {
            "low": self._planes(low),
            "high": self._planes(high),
            **numbers,
        }
        tensors = {name: value for name, value in feed.items() if name in self._wanted}
        if self._encode is not None:
            names = [entry.name for entry in self._encode.get_outputs()]
            wanted = {entry.name for entry in self._encode.get_inputs()}
            outputs = self._run(self._encode, names, {k: v for k, v in feed.items() if k in wanted})
            tensors.update(zip(names, outputs, strict=True))
        return _Cached(self, tensors, height, width)

    def fuse(self, cache: PairCache, reference: FloatImage) -> FloatImage:
        """See Engine."""
        if not isinstance(cache, _Cached) or cache.engine is not self:
            raise TypeError(f"{self.name}: fuse wants what its own encode_pair answered with")
        if reference.shape[:2] != (cache.height, cache.width):
            raise ValueError(f"reference is {reference.shape[:2]}, pair is {(cache.height, cache.width)}")
        planes = self._planes(reference)
        feed = {**cache.tensors, "reference": planes}
        (radiance,) = self._run(self._fuse, [OUTPUT], {name: feed[name] for name in self._wanted})
        if radiance.shape != planes.shape:
            raise EngineError(
                f"{self.path}: answers {radiance.shape} to images of {planes.shape}; export it again"
            )
        out: FloatImage = np.ascontiguousarray(
            radiance[0, :, : cache.height, : cache.width].transpose(1, 2, 0)
        )
        return out

    def _run(self, session: Any, names: list[str], feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        try:
            outputs: list[NDArray[Any]] = session.run(names, feed)
        except Exception as error:  # ONNX Runtime has one exception class per cause
            raise EngineError(
                f"{self.path}: fails while it runs ({_first_line(error)}); export it again for this size"
            ) from error
        return outputs

    def _planes(self, image: FloatImage) -> NDArray[np.float32]:
        """(H, W, 3) to (1, 3, H', W'), continued right and bottom to the network's multiple.

        Mirrored, because black beyond the edge darkened the last three rows and columns by up to a half.
        """
        height, width = image.shape[:2]
        below, right = -height % self.multiple, -width % self.multiple
        mode: Literal["reflect", "edge"] = "reflect" if below < height and right < width else "edge"
        planes = np.empty((1, 3, height + below, width + right), np.float32)
        planes[0] = np.pad(image.transpose(2, 0, 1), ((0, 0), (0, below), (0, right)), mode=mode)
        return planes


def _text(value: str | bytes) -> str:
    """Protobuf hands out bytes where a damaged file has no valid UTF-8."""
    return value if isinstance(value, str) else value.decode(errors="replace")


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
