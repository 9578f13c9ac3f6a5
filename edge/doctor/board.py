"""Doctor's look at the machine itself: board, software, power, heat, memory, clock. Pure."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator

from edge.config.layers import Config
from edge.doctor.findings import Finding, State
from hw.device import Device

HOT_CELSIUS = 85.0
"""Where a machine does not tell its own limit."""
MARGIN_CELSIUS = 10.0
"""So near to the limit the next warm day, or a closed box, is over it."""
MEMORY_BYTES = 1.5e9
SWAPPED_SHARE = 0.1
SMALL_MEMORY_BYTES = 9e9
"""Building an engine needs a few gigabytes besides what a recording holds."""


def board_findings(device: Device, _config: Config) -> Iterator[Finding]:
    """What the machine is."""
    what = device.model or "unknown"
    yield Finding("machine", "ok", f"{what}, {platform.machine()}, {os.cpu_count()} cores")
    if not device.is_jetson:
        return
    parts = [
        f"module {device.module or '?'}",
        f"Jetson Linux {device.l4t or '?'}" + (f" (JetPack {device.jetpack})" if device.jetpack else ""),
        f"GPU {device.gpu or '?'}",
    ]
    if device.tensorrt is None:
        advice = "sudo apt install nvidia-jetpack; without TensorRT the network runs on the processor"
        yield Finding("jetson", "warn", ", ".join((*parts, "no TensorRT")), advice)
    else:
        yield Finding("jetson", "ok", ", ".join((*parts, f"TensorRT {device.tensorrt}")))
    yield _encoder(device)
    yield _power(device)


def _encoder(device: Device) -> Finding:
    if device.nvenc:
        return Finding("hardware encoder", "ok", "present")
    if device.nvenc is None:
        return Finding("hardware encoder", "info", "not known")
    advice = "hdr.codec: av1 with hdr.preset: 12 costs the processor least; twinhdr bench measures it"
    return Finding("hardware encoder", "info", "this module has none; x265 or SVT-AV1 encode", advice)


def _power(device: Device) -> Finding:
    mode, fastest = device.power_mode, device.fastest_power_mode
    if mode is None:
        return Finding("power mode", "info", "not known", "sudo nvpmodel -q tells it")
    if fastest is None:
        return Finding("power mode", "info", mode, "sudo nvpmodel -p --verbose lists the modes")
    if device.power_mode_number == fastest:
        return Finding("power mode", "ok", mode)
    name = device.power_modes[fastest]
    advice = f"sudo nvpmodel -m {fastest} sets {name}, the fastest here; then sudo jetson_clocks"
    return Finding("power mode", "warn", mode, advice)


def heat_findings(device: Device, _config: Config) -> Iterator[Finding]:
    """Temperature, and whether the machine slows down for it now."""
    if device.throttles:
        names = ", ".join(throttle.name for throttle in device.throttles)
        yield Finding("throttling", "warn", f"slowed down now by {names}", _against(names, device))
    elif device.celsius:
        yield Finding("throttling", "ok", "not slowed down")
    if not device.celsius:
        return
    limits = {trip.zone: trip.celsius for trip in device.trips}
    zone = min(
        device.celsius, key=lambda name: limits.get(name, HOT_CELSIUS + MARGIN_CELSIUS) - device.celsius[name]
    )
    limit = limits.get(zone, HOT_CELSIUS + MARGIN_CELSIUS)
    found = f"{device.celsius[zone]:.0f} C ({zone})"
    if device.celsius[zone] >= limit - MARGIN_CELSIUS:
        advice = _against("temperature", device)
        yield Finding("temperature", "warn", f"{found}, it slows down at {limit:.0f} C", advice)
    else:
        yield Finding("temperature", "ok", found)


def _against(cause: str, device: Device) -> str:
    if "under-voltage" in cause:
        return "a stronger power supply or a shorter cable; vcgencmd get_throttled shows whether it helped"
    fan = "sudo jetson_clocks --fan; " if device.is_jetson else ""
    return f"{fan}a larger heat sink or more air; a hot chip slows down and costs rungs of the ladder"


def memory_findings(device: Device, _config: Config) -> Iterator[Finding]:
    """Free memory, and whether there is somewhere to go when it ends."""
    free, total = device.memory_available_bytes, device.memory_total_bytes
    if free is None or total is None:
        return
    state: State = "ok" if free >= MEMORY_BYTES else "warn"
    console = "sudo systemctl set-default multi-user.target frees what the desktop holds; "
    advice = "" if state == "ok" else f"{console}at least {MEMORY_BYTES / 1e9:g} GB is comfortable"
    yield Finding("memory", state, f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free", advice)
    yield from _swap(device, total)


def _swap(device: Device, memory_bytes: int) -> Iterator[Finding]:
    swap = device.swap
    if swap is None:
        return
    kind = "zram" if swap.compressed else "swap"
    found = f"{swap.used_bytes / 1e9:.1f} of {swap.total_bytes / 1e9:.1f} GB of {kind} used"
    if swap.total_bytes and swap.used_bytes > SWAPPED_SHARE * swap.total_bytes:
        advice = (
            "memory is short: frames wait for the disk; ps -eo rss,comm --sort=-rss | head shows who has it"
        )
        yield Finding("swap", "warn", found, advice)
    elif swap.compressed:
        advice = (
            "zram takes processor time when memory is short; with an SSD: "
            "sudo systemctl disable nvzramconfig, then a swap file there"
        )
        yield Finding("swap", "info", found, advice)
    elif not swap.total_bytes and memory_bytes < SMALL_MEMORY_BYTES:
        advice = (
            "building an engine may run out of memory: sudo fallocate -l 8G /swapfile && "
            "sudo chmod 600 /swapfile && sudo mkswap /swapfile && sudo swapon /swapfile"
        )
        yield Finding("swap", "warn", "none", advice)
    elif swap.total_bytes:
        yield Finding("swap", "ok", found)


def clock_findings(device: Device, _config: Config) -> Iterator[Finding]:
    """Whether the time of day is right. Frames do not need it; names of sessions do."""
    clock = device.clock
    keeps = "" if clock.rtc else ", and no hardware clock keeps it without power"
    jumps = "" if clock.rtc else "; until it is right, names of sessions begin with a wrong date and may jump"
    if clock.synchronised is None:
        yield Finding("clock", "info", f"nothing here says whether it is synchronised{keeps}", "timedatectl")
    elif clock.synchronised:
        yield Finding("clock", "ok", f"synchronised{keeps}")
    else:
        advice = f"sudo timedatectl set-ntp true{jumps}"
        yield Finding("clock", "warn", f"not synchronised{keeps}", advice)
