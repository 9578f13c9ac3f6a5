"""Doctor's checks of the machine: GPU, Jetson, memory, network buffers, disk, port."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from edge.config import Config
from edge.findings import Check, Finding, State
from edge.housekeeping import disk_floor_bytes
from hw.device import Device, probe_cuda, read_device

RMEM_BYTES = 4 * 2**20
"""Two 30 fps GigE Vision streams need it; with the kernel's usual 208 KiB they lost two frames of three."""
HOT_CELSIUS = 85.0
MEMORY_BYTES = 1.5e9
PROBE_BYTES = 32 * 2**20
SLOW_BYTES_PER_S = 20e6
MASTER_COMPRESSION = 0.7
"""FFV1 on 12-bit mosaics with noise keeps about this share of the packed bits."""


def check_device(config: Config) -> Iterator[Finding]:
    """Model, power and heat."""
    yield from device_findings(read_device(), config)


def device_findings(device: Device, _config: Config) -> Iterator[Finding]:
    """What ``device`` says of itself, as findings."""
    what = device.model or "unknown"
    yield Finding("machine", "ok", f"{what}, {platform.machine()}, {os.cpu_count()} cores")
    if device.is_jetson:
        yield Finding("jetson", "ok", f"module {device.module or '?'}, Jetson Linux {device.l4t or '?'}")
        encoder = {True: "present", False: "this module has none; x265 or SVT-AV1 encode", None: "not known"}
        yield Finding("hardware encoder", "info", encoder[device.nvenc])
        yield _power(device)
    if device.celsius:
        zone = max(device.celsius, key=lambda name: device.celsius[name])
        hot = device.celsius[zone] >= HOT_CELSIUS
        advice = "cool it; a hot chip slows down and costs rungs of the ladder" if hot else ""
        yield Finding(
            "temperature", "warn" if hot else "ok", f"{device.celsius[zone]:.0f} C ({zone})", advice
        )
    yield from _memory(device)
    yield _socket_buffers(device)


def _power(device: Device) -> Finding:
    mode = device.power_mode
    if mode is None:
        return Finding("power mode", "info", "not known")
    if "MAXN" in mode:
        return Finding("power mode", "ok", mode)
    return Finding("power mode", "warn", mode, "sudo nvpmodel -q lists the modes; MAXN is the fastest")


def _memory(device: Device) -> Iterator[Finding]:
    free, total = device.memory_available_bytes, device.memory_total_bytes
    if free is None or total is None:
        return
    state: State = "ok" if free >= MEMORY_BYTES else "warn"
    advice = (
        "" if state == "ok" else f"close other programs; at least {MEMORY_BYTES / 1e9:g} GB is comfortable"
    )
    yield Finding("memory", state, f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free", advice)


def _socket_buffers(device: Device) -> Finding:
    largest = device.rmem_max_bytes
    if largest is None:
        return Finding("network buffers", "info", "net.core.rmem_max is not readable here")
    found = f"net.core.rmem_max {largest}"
    if largest >= RMEM_BYTES:
        return Finding("network buffers", "ok", found)
    advice = (
        f"for GigE cameras: sudo sysctl -w net.core.rmem_max={RMEM_BYTES}; the device install makes it last"
    )
    return Finding("network buffers", "warn", found, advice)


def check_gpu(_config: Config) -> Iterator[Finding]:
    """The driver is asked through ctypes: importing TensorRT without one ends the process."""
    probe = probe_cuda()
    if probe.devices:
        yield Finding("gpu", "ok", f"{probe.devices} CUDA device" + ("s" if probe.devices > 1 else ""))
    else:
        yield Finding("gpu", "info", f"{probe.reason}; the network runs on the CPU")


def check_disk(config: Config) -> Iterator[Finding]:
    """Room and speed where sessions go. Writes 32 MiB and deletes them."""
    root = config.store.root
    folder = next((path for path in (root, *root.parents) if path.exists()), Path("/"))
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        # not a failure: the service may run as another user, and run --session goes elsewhere
        advice = f"sudo mkdir -p {root} && sudo chown $USER {root}, or set store.root to a folder of yours"
        yield Finding("store", "warn", f"{root} cannot be written by this user", advice)
        return
    usage = shutil.disk_usage(folder)
    floor = disk_floor_bytes(config.store, usage.total)
    found = f"{root}: {usage.free / 1e9:.1f} GB free, recording stops at {floor / 1e9:.1f} GB"
    if usage.free <= floor:
        advice = "delete or move sessions, or lower store.min_free_gb and store.min_free_share"
        yield Finding("store", "fail", found, advice)
        return
    yield Finding("store", "ok", found)
    yield _disk_speed(config, folder)


def _disk_speed(config: Config, folder: Path) -> Finding:
    try:
        speed = write_speed(folder)
    except OSError as error:
        return Finding("disk speed", "fail", f"writing in {folder}: {error.strerror}", "check the disk")
    needed = max(SLOW_BYTES_PER_S, master_bytes_per_s(config) * 2)
    found = f"{speed / 1e6:.0f} MB/s with sync"
    if speed >= needed:
        return Finding("disk speed", "ok", found)
    advice = f"at least {needed / 1e6:.0f} MB/s leaves room for this configuration; use a faster disk"
    return Finding("disk speed", "warn", found, advice)


def write_speed(folder: Path, size: int = PROBE_BYTES) -> float:
    """Bytes a second that reach the disk of ``folder``, measured with one file. Raises OSError."""
    block = os.urandom(2**20)
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        begin = time.monotonic()
        for _ in range(size // len(block)):
            file.write(block)
        os.fsync(file.fileno())
        return size / max(time.monotonic() - begin, 1e-6)


def master_bytes_per_s(config: Config) -> float:
    """What the masters of both cameras write; 0 where they are off."""
    if not config.masters.enabled:
        return 0.0
    rig = config.rig
    bits = rig.width * rig.height * rig.bit_depth * (rig.reference.fps + rig.secondary.fps)
    return bits / 8.0 * MASTER_COMPRESSION


def check_port(config: Config) -> Iterator[Finding]:
    """Whether the live page can open its port."""
    web = config.web
    if not web.enabled:
        yield Finding("live page", "info", "switched off (web.enabled)")
        return
    fault = port_fault(web.host, web.port)
    if fault is None:
        yield Finding("live page", "ok", f"http://{web.host}:{web.port} is free")
    else:
        advice = "end the other program (a running twinhdr?) or change web.host and web.port"
        yield Finding("live page", "warn", f"{web.host}:{web.port}: {fault}", advice)


def port_fault(host: str, port: int) -> str | None:
    """None where a server could listen on ``host``:``port`` now, else why not."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        return "in use" if error.errno == errno.EADDRINUSE else str(error.strerror or error)
    return None


MACHINE_CHECKS: tuple[Check, ...] = (check_device, check_gpu, check_disk, check_port)
