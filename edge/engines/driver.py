"""What the NVIDIA driver says of the first GPU, asked through ctypes.

This comes before every import of TensorRT or pycuda: without a driver TensorRT's runtime ends the whole
process (seen with 8.6 and 11.4), where a missing library here is one sentence.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw.device import probe_cuda, read_device

LIBRARY = "libcuda.so.1"
INTEGRATED, CAN_MAP, SM_MAJOR, SM_MINOR = 18, 19, 75, 76
"""Of ``CUdevice_attribute`` (CUDA driver API, cuda.h)."""


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """The GPU that networks run on, and the software below them."""

    name: str
    """Such as ``Orin``."""
    sm: str
    """Compute capability, such as ``8.7``."""
    cuda: str
    """Newest CUDA that the driver serves, such as ``12.6``."""
    release: str
    """``L4T 36.4.3`` on a Jetson, ``driver 580.95`` elsewhere, empty where the machine does not say."""
    unified: bool
    """GPU and CPU share one memory, and the GPU reads the host's pages in place: a Jetson."""
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class DriverProbe:
    """The first GPU, or why there is none. ``library`` tells a machine without the driver from a sick one."""

    gpu: GpuFacts | None
    reason: str
    library: bool = True


def probe_driver(library: str = LIBRARY, root: Path = Path("/")) -> DriverProbe:
    """Ask the driver for its first device. Makes no context and never raises."""
    counted = probe_cuda(library)
    if not counted.devices:
        return DriverProbe(None, counted.reason, _loads(library))
    try:
        return DriverProbe(_facts(ctypes.CDLL(library), root), "")
    except (OSError, AttributeError, _DriverError) as error:
        return DriverProbe(None, f"the NVIDIA driver does not describe its device ({error})")


class _DriverError(Exception):
    """A driver call answered with an error number."""


def _facts(cuda: Any, root: Path) -> GpuFacts:
    device, version, memory = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(256)
    _call(cuda, "cuDeviceGet", ctypes.byref(device), 0)
    _call(cuda, "cuDeviceGetName", name, len(name), device)
    _call(cuda, "cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    _call(cuda, "cuDriverGetVersion", ctypes.byref(version))
    integrated, can_map, major, minor = (
        _attribute(cuda, number, device) for number in (INTEGRATED, CAN_MAP, SM_MAJOR, SM_MINOR)
    )
    return GpuFacts(
        name=name.value.decode(errors="replace"),
        sm=f"{major}.{minor}",
        cuda=f"{version.value // 1000}.{version.value % 1000 // 10}",
        release=_release(root),
        unified=bool(integrated and can_map),
        memory_bytes=memory.value,
    )


def _attribute(cuda: Any, number: int, device: ctypes.c_int) -> int:
    value = ctypes.c_int()
    _call(cuda, "cuDeviceGetAttribute", ctypes.byref(value), number, device)
    return value.value


def _call(cuda: Any, function: str, *arguments: Any) -> None:
    result = getattr(cuda, function)(*arguments)
    if result:
        raise _DriverError(f"{function} answers {result}")


def _release(root: Path) -> str:
    """Jetson Linux, else the kernel module: a JetPack or driver update changes it."""
    l4t = read_device(root).l4t
    if l4t:
        return f"L4T {l4t}"
    try:
        return f"driver {(root / 'sys/module/nvidia/version').read_text().strip()}"
    except OSError:
        return ""


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
