"""Wired network interfaces: where GigE cameras may be plugged in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hw.device.files import integer, names, text

ETHERNET = 1
"""``ARPHRD_ETHER`` of linux/if_arp.h; the loopback is 772."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One wired interface. ``mbit_s`` is None without a cable, or where the driver does not say."""

    name: str
    mbit_s: int | None
    mtu: int
    up: bool


def interfaces_of(root: Path) -> tuple[Interface, ...]:
    """The wired interfaces that are hardware: bridges, tunnels and radios carry no camera."""
    folder = root / "sys/class/net"
    return tuple(
        Interface(
            name,
            speed if (speed := integer(folder / name / "speed")) is not None and speed > 0 else None,
            integer(folder / name / "mtu") or 1500,
            text(folder / name / "operstate") == "up",
        )
        for name in names(folder)
        if integer(folder / name / "type") == ETHERNET
        and (folder / name / "device").exists()
        and not (folder / name / "wireless").exists()
    )
