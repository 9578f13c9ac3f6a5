"""All facts of one machine together."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hw.device import board, system, thermal
from hw.device.files import integer, names, text
from hw.device.network import Interface, interfaces_of
from hw.device.system import Clock, Swap
from hw.device.thermal import Throttle, Trip
from hw.device.usb import UsbDevice, usb_of, usbfs_memory_of


@dataclass(frozen=True, slots=True)
class Device:
    """What can be read without asking a driver; None or empty where this machine does not say."""

    model: str | None = None
    """As the device tree or the firmware names it."""
    module: str | None = None
    """Jetson module number with its variant, such as p3767-0005."""
    l4t: str | None = None
    """Jetson Linux release, such as 36.4.3."""
    jetpack: str | None = None
    tensorrt: str | None = None
    """Version of the library that JetPack or the system packages brought."""
    gpu: str | None = None
    power_mode: str | None = None
    """As ``MAXN_SUPER (mode 2)``."""
    power_modes: dict[int, str] = field(default_factory=dict)
    power_mode_number: int | None = None
    nvenc: bool | None = None
    """Whether the module has a hardware video encoder; None: not a Jetson, or not known."""
    celsius: dict[str, float] = field(default_factory=dict)
    """Temperature by thermal zone. Zones that are switched off are left out."""
    trips: tuple[Trip, ...] = ()
    throttles: tuple[Throttle, ...] = ()
    memory_total_bytes: int | None = None
    memory_available_bytes: int | None = None
    swap: Swap | None = None
    rmem_max_bytes: int | None = None
    """Largest socket receive buffer a process may ask for."""
    interfaces: tuple[Interface, ...] = ()
    clock: Clock = field(default_factory=lambda: Clock(None, None))
    usb: tuple[UsbDevice, ...] = ()
    usbfs_memory_mb: int | None = None
    video_nodes: dict[str, str] = field(default_factory=dict)
    """Name of each V4L2 device by its node, as {"/dev/video0": "HD Webcam"}."""

    @property
    def is_jetson(self) -> bool:
        """Whether this is an NVIDIA Jetson."""
        return self.l4t is not None or self.module is not None

    @property
    def fastest_power_mode(self) -> int | None:
        """Number of the mode without a power limit."""
        return board.fastest(self.power_modes)


def read_device(root: Path = Path("/")) -> Device:
    """The facts of the machine whose file system begins at ``root``. Never raises for what is missing."""
    compatible = board.compatible_of(root)
    module, l4t = board.module_of(compatible), board.l4t_of(root)
    modes, number = board.power_modes_of(root), board.power_mode_number_of(root)
    video = root / "sys/class/video4linux"
    return Device(
        model=board.model_of(root),
        module=module,
        l4t=l4t,
        jetpack=board.jetpack_of(l4t),
        tensorrt=board.tensorrt_of(root),
        gpu=board.gpu_of(root, compatible),
        power_mode=_mode_text(modes, number),
        power_modes=modes,
        power_mode_number=number,
        nvenc=None if module is None else module not in board.WITHOUT_NVENC,
        celsius=thermal.temperatures_of(root),
        trips=thermal.trips_of(root),
        throttles=thermal.throttles_of(root),
        memory_total_bytes=system.memory_of(root, "MemTotal"),
        memory_available_bytes=system.memory_of(root, "MemAvailable"),
        swap=system.swap_of(root),
        rmem_max_bytes=integer(root / "proc/sys/net/core/rmem_max"),
        interfaces=interfaces_of(root),
        clock=system.clock_of(root),
        usb=usb_of(root),
        usbfs_memory_mb=usbfs_memory_of(root),
        video_nodes={f"/dev/{name}": text(video / name / "name") for name in names(video, "video")},
    )


def _mode_text(modes: dict[int, str], number: int | None) -> str | None:
    if number is None:
        return None
    return f"{modes[number]} (mode {number})" if number in modes else f"mode {number}"
