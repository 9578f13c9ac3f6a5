"""Which board, which software on it, in which power mode."""

from __future__ import annotations

import re
from pathlib import Path

from hw.device.files import names, text

WITHOUT_NVENC = ("p3767-0003", "p3767-0004", "p3767-0005")
"""Orin Nano 8 GB, 4 GB and its developer kit: no hardware encoder (NVIDIA Jetson Orin Nano data sheet)."""

GPUS = {
    "tegra210": "Maxwell, sm_53",
    "tegra186": "Pascal, sm_62",
    "tegra194": "Volta, sm_72",
    "tegra234": "Ampere, sm_87",
    "tegra264": "Blackwell, sm_110",
}
"""By system on chip; compute capabilities from NVIDIA's table of CUDA GPUs (Thor: as of CUDA 13)."""

JETPACKS = (
    ("39.", "7.2"),
    ("38.4", "7.1"),
    ("38.", "7.0"),
    ("36.5", "6.2.2"),
    ("36.4.7", "6.2.1"),
    ("36.4.4", "6.2.1"),
    ("36.4.3", "6.2"),
    ("36.4", "6.1"),
    ("36.3", "6.0"),
    ("36.", "6"),
    ("35.", "5"),
    ("34.", "5"),
    ("32.", "4"),
)
"""Beginning of the Jetson Linux release -> JetPack (NVIDIA's Jetson Linux archive); the first that fits."""


def model_of(root: Path) -> str | None:
    """As the device tree or the firmware names it."""
    for name in ("proc/device-tree/model", "sys/class/dmi/id/product_name"):
        if found := text(root / name):
            return found
    match = re.search(r"^model name\s*:\s*(.+)$", text(root / "proc/cpuinfo"), re.MULTILINE)
    return match[1] if match else None


def compatible_of(root: Path) -> list[str]:
    """The device tree's names of the board, the most exact first."""
    return [name for name in text(root / "proc/device-tree/compatible").split("\0") if name]


def module_of(compatible: list[str]) -> str | None:
    """Jetson module number with its variant, such as p3767-0005."""
    modules = [match[0] for name in compatible if (match := re.search(r"p\d{4}-\d{4}$", name))]
    return modules[-1] if modules else None


def gpu_of(root: Path, compatible: list[str]) -> str | None:
    """The GPU by its architecture on a Jetson, by its name where the desktop driver runs."""
    for name in compatible:
        if (chip := name.removeprefix("nvidia,")) in GPUS:
            return f"{chip}: {GPUS[chip]}"
    cards = root / "proc/driver/nvidia/gpus"
    for card in names(cards):
        if match := re.search(r"^Model:\s*(.+)$", text(cards / card / "information"), re.MULTILINE):
            return match[1].strip()
    return None


def l4t_of(root: Path) -> str | None:
    """Jetson Linux release, such as 36.4.3."""
    match = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", text(root / "etc/nv_tegra_release"))
    return f"{match[1]}.{match[2]}" if match else None


def jetpack_of(l4t: str | None) -> str | None:
    """The JetPack that came with a Jetson Linux release."""
    return next((jetpack for start, jetpack in JETPACKS if l4t and l4t.startswith(start)), None)


def tensorrt_of(root: Path) -> str | None:
    """Version of the installed TensorRT library, from the name of its file."""
    for folder in ("usr/lib/aarch64-linux-gnu", "usr/lib/x86_64-linux-gnu", "usr/local/lib"):
        for name in names(root / folder, "libnvinfer.so."):
            if match := re.fullmatch(r"libnvinfer\.so\.(\d+\.\d+\.\d+)", name):
                return match[1]
    return None


def power_modes_of(root: Path) -> dict[int, str]:
    """Name by number, as nvpmodel's configuration has them."""
    found = re.findall(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", text(root / "etc/nvpmodel.conf"))
    return {int(number): name for number, name in found}


def power_mode_number_of(root: Path) -> int | None:
    """The mode that nvpmodel set last."""
    match = re.search(r"pmode:(\d+)", text(root / "var/lib/nvpmodel/status"))
    return int(match[1]) if match else None


def fastest(modes: dict[int, str]) -> int | None:
    """The mode without a power limit (MAXN...), else the one of most watts; every board numbers them anew."""
    unlimited = [number for number, name in modes.items() if "MAXN" in name]
    if unlimited:
        return max(unlimited, key=lambda number: len(modes[number]))  # MAXN_SUPER before MAXN
    watts = {number: int(match[1]) for number, name in modes.items() if (match := re.search(r"(\d+)W", name))}
    return max(watts, key=lambda number: watts[number]) if watts else None
