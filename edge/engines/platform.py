"""The NVIDIA platform of this machine: driver, TensorRT and pycuda, asked for in this order."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from edge.engines import EngineError
from edge.engines.driver import GpuFacts, probe_driver
from edge.engines.gpu import Builder, Gpu, GpuError, Platform
from edge.engines.nvinfer import OLDEST, TensorrtBuilder, TensorrtPrograms, too_old

JETPACK = "JetPack 6.1 and later bring it (sudo apt install python3-libnvinfer)"


class NvidiaPlatform:
    """See ``edge.engines.gpu.Platform``."""

    def __init__(self, facts: GpuFacts, trt: Any) -> None:
        self.facts = facts
        self._trt = trt
        self._programs: TensorrtPrograms | None = None

    @property
    def tensorrt(self) -> str:
        """See Platform."""
        return str(self._trt.__version__)

    def gpu(self) -> Gpu:
        """See Platform."""
        from edge.engines.cuda import CudaGpu

        if self._programs is None:
            self._programs = TensorrtPrograms(self._trt)
        return CudaGpu(self.facts.unified, self._programs.load)

    def builder(self) -> Builder:
        """See Platform."""
        return TensorrtBuilder(self._trt)


def missing(library: str | None = None) -> str:
    """What this machine lacks to run TensorRT engines, in one line; empty where all is there.

    Imports nothing of NVIDIA's: the packages are looked for, not loaded.
    """
    probe = probe_driver() if library is None else probe_driver(library)
    if probe.gpu is None:
        return probe.reason
    for module, advice in (("tensorrt", JETPACK), ("pycuda", "pip install pycuda (needs the CUDA toolkit)")):
        if importlib.util.find_spec(module) is None:
            return f"{probe.gpu.name} is here, but the Python package {module} is not: {advice}"
    return ""


def open_platform() -> Platform:
    """Everything that is needed to build and run engines. Raises EngineError that says what is missing."""
    lacking = missing()
    if lacking:
        raise EngineError(f"no TensorRT engine can run here: {lacking}")
    facts = probe_driver().gpu
    assert facts is not None
    try:
        trt = importlib.import_module("tensorrt")
        importlib.import_module("pycuda.driver")
    except Exception as error:  # loaders raise ImportError, OSError and RuntimeError over a broken library
        raise EngineError(
            f"no TensorRT engine can run here: {type(error).__name__}: {str(error).splitlines()[0]}"
        ) from error
    if too_old(trt.__version__):
        raise EngineError(
            f"no TensorRT engine can run here: TensorRT {trt.__version__} is older than "
            f"{OLDEST[0]}.{OLDEST[1]}: {JETPACK}"
        )
    return NvidiaPlatform(facts, trt)


__all__ = ["GpuError", "NvidiaPlatform", "missing", "open_platform"]
