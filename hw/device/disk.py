"""What a folder lies on: an SD card, an SSD, memory, another machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, TypeAlias

from hw.device.files import text

Medium: TypeAlias = Literal["card", "ssd", "disk", "memory", "network", "unknown"]
IN_MEMORY = ("tmpfs", "ramfs")
ON_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p")


@dataclass(frozen=True, slots=True)
class Mount:
    """The file system that holds a folder. ``source`` is as mounted, such as /dev/mmcblk0p1."""

    point: str
    source: str
    filesystem: str
    medium: Medium


def mount_of(root: Path, folder: Path) -> Mount | None:
    """The file system of ``folder`` by /proc/mounts below ``root``; None where that does not say."""
    inside = [
        fields
        for line in text(root / "proc/mounts").splitlines()
        if len(fields := [_plain(field) for field in line.split()]) >= 3
        and PurePosixPath(folder).is_relative_to(fields[1])
    ]
    if not inside:
        return None
    # the longest point holds it; of equal ones the last was mounted over the others
    source, point, filesystem = max(reversed(inside), key=lambda fields: len(fields[1]))[:3]
    return Mount(point, source, filesystem, _medium(root, source, filesystem))


def _plain(field: str) -> str:
    """Blanks and backslashes are written as octal numbers (proc(5))."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _medium(root: Path, source: str, filesystem: str) -> Medium:
    if filesystem in IN_MEMORY:
        return "memory"
    if filesystem in ON_NETWORK:
        return "network"
    name = source.removeprefix("/dev/")
    if name.startswith("mmcblk"):
        # eMMC, which is soldered, calls itself MMC; a card calls itself SD
        disk = re.sub(r"p\d+$", "", name)
        return "card" if text(root / f"sys/block/{disk}/device/type") == "SD" else "unknown"
    if name.startswith("nvme"):
        return "ssd"
    if match := re.match(r"sd[a-z]+", name):
        turning = text(root / f"sys/block/{match[0]}/queue/rotational")
        return {"0": "ssd", "1": "disk"}.get(turning, "unknown")  # type: ignore[return-value]
    return "unknown"
