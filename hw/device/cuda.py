"""The driver itself, asked how many GPUs there are."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CudaProbe:
    """How many CUDA devices the driver reports, and the reason where there are none."""

    devices: int
    reason: str


def probe_cuda(library: str = "libcuda.so.1") -> CudaProbe:
    """Ask the driver itself. Initialises the driver in this process, but makes no context."""
    try:
        cuda = ctypes.CDLL(library)
    except OSError:
        return CudaProbe(0, f"no NVIDIA driver ({library} is not there)")
    result = cuda.cuInit(0)
    if result:
        return CudaProbe(0, f"the NVIDIA driver does not start (cuInit answers {result})")
    count = ctypes.c_int()
    result = cuda.cuDeviceGetCount(ctypes.byref(count))
    if result:
        return CudaProbe(0, f"the NVIDIA driver does not count its devices (error {result})")
    return CudaProbe(count.value, "" if count.value else "the NVIDIA driver sees no device")
