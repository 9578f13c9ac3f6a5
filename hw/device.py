"""What machine this is: Jetson model and software, power mode, temperatures, memory, GPU.

Everything is read from files below ``root``, so that a test can show any machine. Nothing here imports CUDA
or TensorRT: without a driver TensorRT's runtime ends the whole process.
"""

from __future__ import annotations

import ctypes
import os
import re
from dataclasses import dataclass
from pathlib import Path

WITHOUT_NVENC = ("p3767-0003", "p3767-0004", "p3767-0005")
"""Orin Nano 8 GB, 4 GB and its developer kit: no hardware encoder (NVIDIA Jetson Orin Nano data sheet)."""


@dataclass(frozen=True, slots=True)
class Device:
    """What can be read without asking a driver; None or empty where this machine does not say."""

    model: str | None
    """As the device tree or the firmware names it."""
    module: str | None
    """Jetson module number with its variant, such as p3767-0005."""
    l4t: str | None
    """Jetson Linux release, such as 36.4.3."""
    power_mode: str | None
    nvenc: bool | None
    """Whether the module has a hardware video encoder; None: not a Jetson, or not known."""
    celsius: dict[str, float]
    """Temperature by thermal zone. Zones that are switched off are left out."""
    memory_total_bytes: int | None
    memory_available_bytes: int | None
    rmem_max_bytes: int | None
    """Largest socket receive buffer a process may ask for."""

    @property
    def is_jetson(self) -> bool:
        """Whether this is an NVIDIA Jetson."""
        return self.l4t is not None or self.module is not None


def read_device(root: Path = Path("/")) -> Device:
    """The facts of the machine whose file system begins at ``root``. Never raises for what is missing."""
    compatible = _text(root / "proc/device-tree/compatible").split("\0")
    modules = [match[0] for name in compatible if (match := re.search(r"p\d{4}-\d{4}$", name))]
    module = modules[-1] if modules else None
    return Device(
        model=_model(root),
        module=module,
        l4t=_l4t(_text(root / "etc/nv_tegra_release")),
        power_mode=_power_mode(root),
        nvenc=None if module is None else module not in WITHOUT_NVENC,
        celsius=_temperatures(root / "sys/class/thermal"),
        memory_total_bytes=_memory(root, "MemTotal"),
        memory_available_bytes=_memory(root, "MemAvailable"),
        rmem_max_bytes=_integer(_text(root / "proc/sys/net/core/rmem_max")),
    )


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


def _text(path: Path) -> str:
    """The file's text, empty where it cannot be read: a sensor that sleeps answers EAGAIN."""
    try:
        return path.read_text(errors="replace").strip("\0 \n")
    except OSError:
        return ""


def _integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?\d{1,18}", text) else None


def _model(root: Path) -> str | None:
    for name in ("proc/device-tree/model", "sys/class/dmi/id/product_name"):
        if text := _text(root / name):
            return text
    match = re.search(r"^model name\s*:\s*(.+)$", _text(root / "proc/cpuinfo"), re.MULTILINE)
    return match[1] if match else None


def _l4t(release: str) -> str | None:
    match = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", release)
    return f"{match[1]}.{match[2]}" if match else None


def _power_mode(root: Path) -> str | None:
    """The mode nvpmodel set last: its number from ``status``, its name from the configuration."""
    match = re.search(r"pmode:(\d+)", _text(root / "var/lib/nvpmodel/status"))
    if not match:
        return None
    number = int(match[1])
    config = _text(root / "etc/nvpmodel.conf")
    name = re.search(rf"<\s*POWER_MODEL\s+ID={number}\s+NAME=(\S+)\s*>", config)
    return f"{name[1]} (mode {number})" if name else f"mode {number}"


def _temperatures(folder: Path) -> dict[str, float]:
    """Millidegrees in ``temp``; switched-off zones are empty, unreadable or at -256 degrees."""
    found: dict[str, float] = {}
    try:
        zones = sorted(name for name in os.listdir(folder) if name.startswith("thermal_zone"))
    except OSError:
        return found
    for zone in zones:
        millidegrees = _integer(_text(folder / zone / "temp"))
        if millidegrees is not None and -50_000 < millidegrees < 200_000:
            found[_text(folder / zone / "type") or zone] = millidegrees / 1000.0
    return found


def _memory(root: Path, field: str) -> int | None:
    match = re.search(rf"^{field}:\s*(\d+) kB$", _text(root / "proc/meminfo"), re.MULTILINE)
    return int(match[1]) * 1024 if match else None
