"""EAFNet through ONNX Runtime, on any machine.

One file holds the whole network. Its metadata names the tensors that depend on the low/high pair alone
(``twinhdr.pair_cache``); with that entry it is cut in two graphs, and the first runs once per pair. A file
without it is run whole for every frame.

Where shapes are known ONNX Runtime computes sums inside convolutions, so the first two picture sizes that
come get sessions of their own. What is kept of a pair stays where the runtime put it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.engines import EngineError, Light, PairCache, pair_numbers
from edge.errors import first_line
from edge.frames import FloatImage

CONTRACT = "1"
INPUTS = {"low", "reference", "high", "exposure", "mean"}
OUTPUT = "radiance"
MAX_MULTIPLE = 1024
SIZES = 2
"""Picture sizes with sessions of their own; a still's tiles have more, and share the free one."""


@dataclass(frozen=True, slots=True)
class _Sessions:
    """ONNX Runtime sessions for one size, or for all: ``encode`` None where the file is not cut."""

    encode: Any | None
    fuse: Any
    encode_takes: tuple[str, ...]
    encode_gives: tuple[str, ...]
    fuse_takes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Cached:
    """The tensors of one pair by name, the inputs the second graph still wants, and the image size."""

    engine: OnnxEngine
    sessions: _Sessions
    tensors: dict[str, Any]
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
                f"{path}: not a readable ONNX file ({first_line(error)}); export it again"
            ) from error
        metadata = {_text(entry.key): _text(entry.value) for entry in model.metadata_props}
        self._check(model, metadata)
        self.name = path.stem
        self.multiple = self._multiple(metadata.get("twinhdr.multiple", "32"))
        cut = [name for name in metadata.get("twinhdr.pair_cache", "").split(",") if name]
        if cut:
            self._split(model, cut)
        self._model, self._cut = self._arranged(model), bool(cut)
        self._threads = threads or len(os.sched_getaffinity(0))
        self._free = self._open(self._model)
        self._sized: dict[tuple[int, int], _Sessions] = {}

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
                f"({first_line(error)}); export it again"
            ) from error

    def _arranged(self, model: Any) -> Any:
        from edge.engines.onnx_cpu import for_cpu

        try:
            return for_cpu(model)
        except Exception as error:  # ONNX raises what its shape inference stumbles over
            raise EngineError(
                f"{self.path}: its graph makes no sense ({first_line(error)}); export it again"
            ) from error

    def _open(self, model: Any) -> _Sessions:
        from edge.engines.onnx_cpu import described, frontier

        pair = sorted(INPUTS - {"reference"})
        cut = frontier(model, pair) if self._cut else []
        first, rest = self._split(described(model, cut), cut) if cut else (None, model)
        encode = None if first is None else self._session(first)
        fuse = self._session(rest)
        return _Sessions(
            encode,
            fuse,
            () if encode is None else tuple(entry.name for entry in encode.get_inputs()),
            () if encode is None else tuple(entry.name for entry in encode.get_outputs()),
            tuple(entry.name for entry in fuse.get_inputs()),
        )

    def _sessions(self, height: int, width: int) -> _Sessions:
        """Those for padded images of this size."""
        if (height, width) not in self._sized and len(self._sized) < SIZES:
            from edge.engines.onnx_cpu import sized

            try:
                model = sized(self._model, height, width)
            except Exception as error:  # ONNX raises what its shape inference stumbles over
                raise EngineError(
                    f"{self.path}: cannot take images of {width}x{height} ({first_line(error)}); "
                    "export it again for this size"
                ) from error
            self._sized[height, width] = self._open(model)
        return self._sized.get((height, width), self._free)

    def _session(self, model: Any) -> Any:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            return ort.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime has one exception class per cause
            raise EngineError(
                f"{self.path}: ONNX Runtime {ort.__version__} refuses it ({first_line(error)}); "
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
        arrays = {"low": self._planes(low), "high": self._planes(high), **numbers}
        sessions = self._sessions(*arrays["low"].shape[2:])
        feed = {name: _held(value) for name, value in arrays.items()}
        tensors = {name: value for name, value in feed.items() if name in sessions.fuse_takes}
        if sessions.encode is not None:
            given = {name: feed[name] for name in sessions.encode_takes}
            answers = self._run(sessions.encode, sessions.encode_gives, given)
            tensors.update(zip(sessions.encode_gives, answers, strict=True))
        return _Cached(self, sessions, tensors, height, width)

    def fuse(self, cache: PairCache, reference: FloatImage) -> FloatImage:
        """See Engine."""
        if not isinstance(cache, _Cached) or cache.engine is not self:
            raise TypeError(f"{self.name}: fuse wants what its own encode_pair answered with")
        if reference.shape[:2] != (cache.height, cache.width):
            raise ValueError(f"reference is {reference.shape[:2]}, pair is {(cache.height, cache.width)}")
        planes = self._planes(reference)
        feed = {**cache.tensors, "reference": _held(planes)}
        wanted = cache.sessions.fuse_takes
        (answer,) = self._run(cache.sessions.fuse, (OUTPUT,), {name: feed[name] for name in wanted})
        radiance: NDArray[np.float32] = answer.numpy()
        if radiance.shape != planes.shape:
            raise EngineError(
                f"{self.path}: answers {radiance.shape} to images of {planes.shape}; export it again"
            )
        out: FloatImage = cv2.merge([plane[: cache.height, : cache.width] for plane in radiance[0]])
        return out

    def _run(self, session: Any, names: tuple[str, ...], feed: dict[str, Any]) -> list[Any]:
        try:
            outputs: list[Any] = session.run_with_ort_values(names, feed)
        except Exception as error:  # ONNX Runtime has one exception class per cause
            raise EngineError(
                f"{self.path}: fails while it runs ({first_line(error)}); export it again for this size"
            ) from error
        return outputs

    def _planes(self, image: FloatImage) -> NDArray[np.float32]:
        """(H, W, 3) to (1, 3, H', W'), continued right and bottom to the network's multiple.

        Mirrored, because black beyond the edge darkened the last three rows and columns by up to a half.
        """
        height, width = image.shape[:2]
        below, right = -height % self.multiple, -width % self.multiple
        mirrored = below < height and right < width
        border = cv2.BORDER_REFLECT_101 if mirrored else cv2.BORDER_REPLICATE
        planes = np.empty((1, 3, height + below, width + right), np.float32)
        for channel, plane in enumerate(planes[0]):
            cv2.copyMakeBorder(cv2.extractChannel(image, channel), 0, below, 0, right, border, dst=plane)
        return planes


def _held(array: NDArray[Any]) -> Any:
    """``array`` as ONNX Runtime holds it, without a copy."""
    import onnxruntime as ort

    return ort.OrtValue.ortvalue_from_numpy(array)


def _text(value: str | bytes) -> str:
    """Protobuf hands out bytes where a damaged file has no valid UTF-8."""
    return value if isinstance(value, str) else value.decode(errors="replace")
