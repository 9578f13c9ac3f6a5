"""Once a second: what was written, what room is left, memory, temperature."""

from __future__ import annotations

import contextlib
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


class Housekeeper:
    """Publishes the figures of the machine and of one session's folder. One thread calls ``tick``."""

    def __init__(self, health: Health, folder: Path, store: StoreConfig) -> None:
        self._health = health
        self._folder = folder
        self._store = store
        self._written: dict[str, int] = {}

    def configure(self, store: StoreConfig) -> None:
        """From the next tick on. Any thread."""
        self._store = store

    def tick(self, running_s: float, now_ns: int) -> bool:
        """Publish; ``running_s`` is real time since recording began. False when the disk is at its floor."""
        health = self._health
        health.gauge("rss_bytes", _resident_bytes())
        health.gauge("cpu_celsius", _celsius())
        written = self._publish_written()
        try:
            usage = shutil.disk_usage(self._folder)
        except OSError as error:
            todo = "Check the disk and its cable."
            health.condition(
                "disk", False, now_ns, f"{self._folder}: {error.strerror}; recording ends.", todo
            )
            return False
        above_bytes = usage.free - disk_floor_bytes(self._store, usage.total)
        health.gauge("disk_free_bytes", usage.free)
        if written and running_s > 1.0:
            health.gauge("disk_left_s", max(0.0, above_bytes * running_s / written))
        health.condition(
            "disk",
            above_bytes > 0,
            now_ns,
            f"{usage.free / 1e9:.1f} GB are free, which is the floor that store.min_free_gb and "
            "store.min_free_share set; recording ends.",
            "Delete or move sessions, or lower the floor.",
        )
        return above_bytes > 0

    def _publish_written(self) -> int:
        """Count what each stream has grown by since the last tick; returns the size of all."""
        sizes = {name: _size_bytes(self._folder / name) for name in _folders(self._folder)}
        for stream, size in sizes.items():
            grown = size - self._written.get(stream, 0)
            self._health.count("recorded_bytes", stream, n=max(0, grown))
        self._written |= sizes
        return sum(sizes.values())


def _folders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _size_bytes(folder: Path) -> int:
    """Of all files below. What is removed while we look, or cannot be read, counts nothing."""
    total = 0
    for path, _folders_below, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(path, name)).st_size
    return total


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
