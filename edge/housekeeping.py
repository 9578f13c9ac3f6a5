"""Once a second: disk, memory, temperature."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from edge.config_schema import StoreConfig
from edge.health import Health

THERMAL = Path("/sys/class/thermal/thermal_zone0/temp")
STATM = Path("/proc/self/statm")


def disk_floor_bytes(store: StoreConfig, total_bytes: int) -> int:
    """What must stay free: the larger of the absolute floor and the share of the disk."""
    return max(round(store.min_free_gb * 1e9), round(store.min_free_share * total_bytes))


def publish_machine(health: Health, folder: Path, store: StoreConfig, session_s: float, now_ns: int) -> bool:
    """Publish disk, memory and temperature. False when the disk has reached its floor."""
    health.gauge("rss_bytes", _resident_bytes())
    health.gauge("cpu_celsius", _celsius())
    usage = shutil.disk_usage(folder)
    above_bytes = usage.free - disk_floor_bytes(store, usage.total)
    health.gauge("disk_free_bytes", usage.free)
    written = _written_bytes(folder)
    if written and session_s > 1.0:
        health.gauge("disk_left_s", max(0.0, above_bytes / (written / session_s)))
    return health_of_disk(health, above_bytes, usage.free, now_ns)


def health_of_disk(health: Health, above_bytes: int, free_bytes: int, now_ns: int) -> bool:
    """Name the condition of the disk; False when recording must end."""
    ok = above_bytes > 0
    health.condition(
        "disk",
        ok,
        now_ns,
        f"{free_bytes / 1e9:.1f} GB are free, which is the floor that store.min_free_gb and "
        "store.min_free_share set; recording ends.",
        "Delete or move sessions, or lower the floor.",
    )
    return ok


def _written_bytes(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in folder.rglob("*") if entry.is_file())


def _resident_bytes() -> float | None:
    try:
        return float(int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, IndexError):
        return None


def _celsius() -> float | None:
    try:
        return int(THERMAL.read_text()) / 1000.0
    except (OSError, ValueError):
        return None
