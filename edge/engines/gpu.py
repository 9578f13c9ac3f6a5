"""The seam to CUDA and TensorRT: all that the engine needs of them, as Protocols.

``cuda.py`` and ``nvinfer.py`` are the thin real side. The tests have another one, which computes the same on
the CPU with ONNX Runtime, so that buffers, caches, captured graphs and failures are exercised where there is
no GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.engines.driver import GpuFacts

Progress = Callable[[str, float], None]
"""Told what is being done and which share of it is, 0 to 1. May raise KeyboardInterrupt to end it."""


class GpuError(Exception):
    """CUDA or TensorRT refused. One line; the engine's own errors say which file and what to do."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a program: its shape is static."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_input: bool

    @property
    def nbytes(self) -> int:
        """Bytes that the tensor takes."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


class Shared(Protocol):
    """Memory of one tensor that the host writes or reads: page-locked, mapped where memory is unified."""

    @property
    def array(self) -> NDArray[Any]:
        """The host's view."""

    @property
    def address(self) -> int:
        """Where the GPU finds it."""


class Private(Protocol):
    """Memory of one tensor that only the GPU sees."""

    @property
    def address(self) -> int:
        """Where the GPU finds it."""


class Program(Protocol):
    """One deserialized plan with its execution context."""

    @property
    def tensors(self) -> Mapping[str, TensorSpec]:
        """Inputs and outputs by name."""

    @property
    def scratch_bytes(self) -> int:
        """Memory for activations while it runs."""

    def bind(self, tensor: str, address: int) -> None:
        """Where the next ``enqueue`` finds ``tensor``. Raises GpuError."""

    def enqueue(self) -> None:
        """Put one run onto the stream; returns before it is done. Raises GpuError."""


class Graph(Protocol):
    """Work that was captured and can be launched again as one piece."""


class Gpu(Protocol):
    """One device with one stream. All but ``active`` is called inside ``active``, by one thread a time."""

    def active(self) -> AbstractContextManager[None]:
        """Make the device's primary context current for this thread."""

    def shared(self, spec: TensorSpec) -> Shared:
        """Memory for host and GPU. Raises GpuError where there is none left."""

    def private(self, spec: TensorSpec) -> Private:
        """Memory for the GPU alone. Raises GpuError where there is none left."""

    def to_gpu(self, memory: Shared) -> None:
        """Put the host's bytes before the GPU, in stream order; nothing where memory is unified."""

    def to_host(self, memory: Shared) -> None:
        """The other way; readable after ``wait``."""

    def load(self, plan: bytes) -> Program:
        """Deserialize a plan. Raises GpuError. Damaged bytes may end the process: check them before."""

    def capture(self, work: Callable[[], None]) -> Graph:
        """Record what ``work`` puts onto the stream, without running it. Raises GpuError."""

    def launch(self, graph: Graph) -> None:
        """Put captured work onto the stream. Raises GpuError."""

    def wait(self) -> None:
        """Until everything on the stream is done. Raises GpuError for what went wrong since."""

    def free_bytes(self) -> int:
        """Device memory that is free now."""


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """How a plan is built; part of its key, except for the workspace, which follows the free memory."""

    level: int = 3
    """TensorRT's optimization level, 0 to 5: higher tries more kernels."""
    auxiliary_streams: int = 0
    """Streams beside ours. None: one stream is what a captured graph and one small GPU are best with."""

    def text(self) -> str:
        """As it stands in the key."""
        return f"level {self.level}, {self.auxiliary_streams} auxiliary streams, strongly typed, no TF32"


@dataclass(frozen=True, slots=True)
class Built:
    """A plan, and the timings that make the next build faster."""

    plan: bytes
    timings: bytes


class Builder(Protocol):
    """Turns ONNX into a plan for this machine."""

    def build(
        self, onnx: bytes, settings: BuildSettings, workspace_bytes: int, timings: bytes, progress: Progress
    ) -> Built:
        """Raises GpuError with the parser's or the builder's own words."""


class Platform(Protocol):
    """What can build and run plans on this machine."""

    @property
    def facts(self) -> GpuFacts:
        """The GPU."""

    @property
    def tensorrt(self) -> str:
        """TensorRT's version."""

    def gpu(self) -> Gpu:
        """The device with a stream of its own. Raises GpuError."""

    def builder(self) -> Builder:
        """Raises GpuError."""
