"""USB cameras and what the bus does to them: memory for transfers, speed, sleep, current."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hw.device.files import integer, names, text

USB3_VISION = ("ef", "05")
"""Interface class and subclass (USB3 Vision, section 4.2)."""
VIDEO_CLASS = "0e"


@dataclass(frozen=True, slots=True)
class UsbDevice:
    """One camera, or a hub that cameras hang on. ``port`` is the kernel's name, such as 1-2.3."""

    port: str
    kind: Literal["usb3_vision", "webcam", "hub"]
    product: str
    mbit_s: int | None
    usb3: bool
    """Whether it could do 5 Gbit/s: it says so even when a cable or port holds it at less."""
    may_sleep: bool
    milliamperes: int | None
    self_powered: bool


def usb_of(root: Path) -> tuple[UsbDevice, ...]:
    """Cameras and hubs on the bus."""
    folder = root / "sys/bus/usb/devices"
    found = []
    for port in names(folder):
        kind = _kind(folder, port)
        if kind is None:
            continue
        device = folder / port
        version = re.match(r"\s*(\d+)\.(\d+)", text(device / "version"))
        current = re.match(r"(\d+)mA", text(device / "bMaxPower"))
        attributes = text(device / "bmAttributes")
        found.append(
            UsbDevice(
                port,
                kind,
                text(device / "product") or port,
                integer(device / "speed"),
                # 2.10 is how a USB 3 device speaks on a USB 2 line (USB 3.2, section 9.6.1)
                version is not None and (int(version[1]), int(version[2])) >= (2, 10),
                text(device / "power/control") == "auto",
                int(current[1]) if current else None,
                bool(int(attributes, 16) & 0x40) if re.fullmatch(r"[0-9a-f]{2}", attributes) else True,
            )
        )
    return tuple(found)


def usbfs_memory_of(root: Path) -> int | None:
    """Megabytes that all user programs together may hold for transfers; 0: no limit."""
    return integer(root / "sys/module/usbcore/parameters/usbfs_memory_mb")


def _kind(folder: Path, port: str) -> Literal["usb3_vision", "webcam", "hub"] | None:
    if ":" in port or port.startswith("usb"):
        return None  # an interface, or a root hub, which is powered by the board
    if text(folder / port / "bDeviceClass") == "09":
        return "hub"
    interfaces = names(folder, f"{port}:")
    classes = [
        (text(folder / name / "bInterfaceClass"), text(folder / name / "bInterfaceSubClass"))
        for name in interfaces
    ]
    if USB3_VISION in classes:
        return "usb3_vision"
    return "webcam" if any(kind == VIDEO_CLASS for kind, _ in classes) else None
