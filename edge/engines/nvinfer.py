"""TensorRT itself (libnvinfer): build a strongly typed plan from ONNX, deserialize one, run it.

Nothing here imports the package: ``trt`` is handed in by who has asked the driver first. The same calls
exist in ``tensorrt_rtx``, whose builder needs no GPU; the tests run them there.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from edge.engines.gpu import BuildSettings, Built, GpuError, Progress, TensorSpec

log = logging.getLogger(__name__)

OLDEST = (10, 3)
"""JetPack 6.1. Strongly typed networks are older, but their FP16 convolutions were completed by then."""
KEPT_MESSAGES = 8


def too_old(version: str) -> bool:
    """Whether this TensorRT is older than what we build for."""
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    return tuple(numbers) < OLDEST


class TensorrtPrograms:
    """Deserializes plans. One logger and one runtime for the process, as TensorRT wants it."""

    def __init__(self, trt: Any) -> None:
        self._trt = trt
        self._log, self._errors = _logger(trt.ILogger)
        self._runtime = trt.Runtime(self._log)

    def load(self, plan: bytes, stream: int) -> TensorrtProgram:
        """A program that runs on the CUDA stream of this handle. Raises GpuError."""
        self._errors.clear()
        engine = self._runtime.deserialize_cuda_engine(plan)
        context = None if engine is None else engine.create_execution_context()
        if context is None:
            raise GpuError(_told(self._errors, "TensorRT does not load the plan"))
        return TensorrtProgram(self._trt, engine, context, stream, self._errors)


class TensorrtProgram:
    """See ``edge.engines.gpu.Program``."""

    def __init__(self, trt: Any, engine: Any, context: Any, stream: int, errors: deque[str]) -> None:
        self._engine, self._context, self._stream, self._errors = engine, context, stream, errors
        self._tensors = {name: _spec(trt, engine, name) for name in _names(engine)}

    @property
    def tensors(self) -> Mapping[str, TensorSpec]:
        """See Program."""
        return self._tensors

    @property
    def scratch_bytes(self) -> int:
        """See Program."""
        size = getattr(self._engine, "device_memory_size_v2", None)  # 10.1 and later
        return int(self._engine.device_memory_size if size is None else size)

    def bind(self, tensor: str, address: int) -> None:
        """See Program."""
        if not self._context.set_tensor_address(tensor, address):
            raise GpuError(_told(self._errors, f"TensorRT refuses the memory of {tensor}"))

    def enqueue(self) -> None:
        """See Program."""
        self._errors.clear()
        if not self._context.execute_async_v3(self._stream):
            raise GpuError(_told(self._errors, "TensorRT does not run"))


class TensorrtBuilder:
    """See ``edge.engines.gpu.Builder``."""

    def __init__(self, trt: Any) -> None:
        self._trt = trt
        self._log, self._errors = _logger(trt.ILogger)

    def build(
        self, onnx: bytes, settings: BuildSettings, workspace_bytes: int, timings: bytes, progress: Progress
    ) -> Built:
        """See Builder. Types are those of the graph: FP16 where it says FP16, and nowhere else."""
        trt = self._trt
        self._errors.clear()
        builder = trt.Builder(self._log)
        typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        network = builder.create_network(0 if typed is None else 1 << int(typed))
        parser = trt.OnnxParser(network, self._log)
        if not parser.parse(onnx):
            raise GpuError(_refusal(parser))
        config = builder.create_builder_config()
        config.builder_optimization_level = settings.level
        config.max_aux_streams = settings.auxiliary_streams
        config.clear_flag(trt.BuilderFlag.TF32)  # on by default: FP32 convolutions would round like FP16
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_bytes)
        cache = config.create_timing_cache(timings) or config.create_timing_cache(b"")
        if cache is not None:  # none in TensorRT-RTX, which times nothing when it builds
            config.set_timing_cache(cache, False)
        monitor = _monitor(trt, progress)
        config.progress_monitor = monitor
        plan = builder.build_serialized_network(network, config)
        if monitor.stopped is not None:
            raise monitor.stopped
        if plan is None:
            raise GpuError(_told(self._errors, "TensorRT builds no plan"))
        kept = config.get_timing_cache()
        return Built(bytes(plan), b"" if kept is None else bytes(kept.serialize()))


def _names(engine: Any) -> list[str]:
    return [engine.get_tensor_name(number) for number in range(engine.num_io_tensors)]


def _spec(trt: Any, engine: Any, name: str) -> TensorSpec:
    return TensorSpec(
        tuple(int(side) for side in engine.get_tensor_shape(name)),
        np.dtype(trt.nptype(engine.get_tensor_dtype(name))),
        engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT,
    )


def _refusal(parser: Any) -> str:
    """The parser's first error: the node and why."""
    if not parser.num_errors:
        return "TensorRT's parser refuses the graph and does not say why"
    error = parser.get_error(0)
    node, operator = error.node_name(), error.node_operator()  # empty where the file is no ONNX at all
    what = f"{node} ({operator})" if node else "the file"
    return f"TensorRT's parser refuses {what}: {' '.join(error.desc().split())[:200]}"


def _told(errors: deque[str], otherwise: str) -> str:
    """TensorRT's own last error, else ours."""
    return f"{otherwise}: {errors[-1]}" if errors else otherwise


@cache
def _logger(base: Any) -> tuple[Any, deque[str]]:
    """A logger (of ``trt.ILogger``) that keeps the last errors for who asks, and hands warnings on.

    One for the process: TensorRT stays with the first that it was given, and errors told to another are lost.
    """
    errors: deque[str] = deque(maxlen=KEPT_MESSAGES)

    class Log(base):  # type: ignore[misc]
        def __init__(self) -> None:
            base.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in (base.ERROR, base.INTERNAL_ERROR):
                errors.append(" ".join(message.split())[:200])
            elif severity == base.WARNING:
                log.info("TensorRT warns: %s", " ".join(message.split())[:200])

    return Log(), errors


def _monitor(trt: Any, progress: Progress) -> Any:
    """TensorRT's progress monitor around ours. An exception must not cross its C++: kept and raised later."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.stopped: BaseException | None = None
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = max(num_steps, 1)
            self._tell(phase_name, 0.0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._tell(phase_name, min((step + 1) / self._steps.get(phase_name, 1), 1.0))
            return self.stopped is None

        def phase_finish(self, phase_name: str) -> None:
            self._tell(phase_name, 1.0)

        def _tell(self, phase: str, share: float) -> None:
            if self.stopped is None:
                try:
                    progress(phase, share)
                except BaseException as error:  # noqa: BLE001  raised again by build
                    self.stopped = error

    return Monitor()
