"""What runs the network: one Protocol, a backend per runtime.

``open_engine`` takes the name of a shipped model or the path of an ONNX file and answers with an engine for
this machine.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edge.errors import TwinhdrError
from edge.frames import FloatImage

if TYPE_CHECKING:
    from edge.tone.tonemap import HdrFormat, YuvImage

Light: TypeAlias = tuple[float, float, float]
"""Exposure time times gain of (low, reference, high), relative to the reference: (0.25, 1, 4) at 2 EV."""

MODELS = Path(__file__).parent.parent / "models"
MODEL_NAMES = ("xs", "s", "m", "l")
MEAN_SAMPLES = 1 << 16


class EngineError(TwinhdrError):
    """A model cannot be loaded or run here. The text names the file, the cause and what to do next."""


class PairCache(Protocol):
    """What an engine keeps of one low/high pair. Opaque; belongs to the engine that made it."""


class Engine(Protocol):
    """One network on one runtime. Images are linear (H, W, 3) float32 in [0, 1], of any size."""

    @property
    def name(self) -> str:
        """Short name for sidecar and page, such as ``eafnet-s``."""

    @property
    def multiple(self) -> int:
        """The network's window grid: sizes are padded to multiples of this."""

    def encode_pair(
        self,
        low: FloatImage,
        high: FloatImage,
        light: Light,
        mean_reference: float,
        mean_pair: tuple[float, float] | None = None,
    ) -> PairCache:
        """Everything that depends on the pair alone. ``mean_reference`` comes from ``mean_gamma``.

        ``mean_pair`` is that of the whole low and high image where the arguments are tiles of them.
        """

    def fuse(self, cache: PairCache, reference: FloatImage) -> FloatImage:
        """Radiance (H, W, 3) float32 of the reference view, in reference units, >= 0."""


@runtime_checkable
class SizedEngine(Engine, Protocol):
    """An engine for pictures of one size alone."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of its pictures."""


@runtime_checkable
class VideoEngine(Engine, Protocol):
    """An engine that can bring its answer into a video signal where it computes it."""

    def fuse_video(
        self, cache: PairCache, reference: FloatImage, fmt: HdrFormat
    ) -> tuple[FloatImage, YuvImage | None]:
        """``fuse``, and the same picture as ``HdrToneMapper`` would convert it, to one code of 10 bits."""


def mean_gamma(linear: FloatImage) -> float:
    """Mean over pixels and channels of linear ** (1 / 2.2), for the global alignment (EAFNet eq. 2).

    Large images are sampled on a regular grid; the network takes an error of 1 % here at over 70 dB.
    """
    pixels = linear.shape[0] * linear.shape[1]
    step = max(1, int((pixels / MEAN_SAMPLES) ** 0.5))
    return float(np.mean(np.clip(linear[::step, ::step], 0.0, 1.0) ** (1.0 / 2.2)))


def pair_numbers(
    low: FloatImage,
    high: FloatImage,
    light: Light,
    mean_reference: float,
    mean_pair: tuple[float, float] | None,
) -> dict[str, NDArray[np.float32]]:
    """The inputs ``exposure`` (relative to the reference) and ``mean``, (3,) each, of ``encode_pair``.

    Raises ValueError where low and high differ in size.
    """
    if low.shape != high.shape:
        raise ValueError(f"low is {low.shape}, high is {high.shape}: a pair has one size")
    mean_low, mean_high = mean_pair or (mean_gamma(low), mean_gamma(high))
    return {
        "exposure": np.asarray(light, np.float32) / np.float32(light[1]),
        "mean": np.asarray([mean_low, mean_reference, mean_high], np.float32),
    }


def model_path(model: str) -> Path:
    """The ONNX file of a shipped name (``s``, ``m``...), or the path itself. Raises EngineError."""
    path = MODELS / f"eafnet-{model}.onnx" if model in MODEL_NAMES else Path(model)
    if not path.is_file():
        shipped = sorted(p.stem.removeprefix("eafnet-") for p in MODELS.glob("eafnet-*.onnx"))
        raise EngineError(
            f"model {model}: {path} does not exist; use one of the shipped models ({', '.join(shipped)}) "
            "or the path of an ONNX file"
        )
    return path


def open_engine(
    model: str,
    threads: int = 0,
    size: tuple[int, int] | None = None,
    *,
    aligned: bool = True,
    tell: Callable[[str], None] = lambda _text: None,
) -> Engine:
    """An engine for a shipped model name or an ONNX file. Raises EngineError.

    With ``size`` (height, width) of the pictures it is the proven TensorRT engine for it, if this machine
    has one; ``aligned`` says that every frame brings a pair of its own. Where one should be and cannot be
    used, ``tell`` hears why in one line, and ONNX Runtime takes over. ``threads`` of the CPU, 0: one per
    core.
    """
    path = model_path(model)
    if size is not None:
        from edge.engines.choice import cut_for, on_gpu

        engine = on_gpu(path, size, cut_for(aligned), tell)
        if engine is not None:
            return engine
    from edge.engines.onnx import OnnxEngine

    return OnnxEngine(path, threads)
