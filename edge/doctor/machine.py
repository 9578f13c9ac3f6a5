"""Doctor's checks that touch the machine: GPU driver, disk, port."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from edge.config.layers import Config
from edge.daemon.housekeeping import disk_floor_bytes
from edge.doctor.findings import Check, Finding
from edge.web.access import access_findings
from hw.device import mount_of, probe_cuda

PROBE_BYTES = 32 * 2**20
SLOW_BYTES_PER_S = 20e6
MASTER_COMPRESSION = 0.7
"""FFV1 on 12-bit mosaics with noise keeps about this share of the packed bits."""


def check_gpu(_config: Config) -> Iterator[Finding]:
    """The driver is asked through ctypes: importing TensorRT without one ends the process."""
    probe = probe_cuda()
    if probe.devices:
        yield Finding("gpu", "ok", f"{probe.devices} CUDA device" + ("s" if probe.devices > 1 else ""))
    else:
        yield Finding("gpu", "info", f"{probe.reason}; the network runs on the CPU")


def check_disk(config: Config, *, measure: bool = False) -> Iterator[Finding]:
    """Room where sessions go. ``measure``: its speed too, with 32 MiB that are written and deleted."""
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
    if measure:
        yield _disk_speed(config, folder)
    elif config.masters.enabled:
        needed = f"masters write {master_bytes_per_s(config) / 1e6:.0f} MB/s"
        yield Finding("disk speed", "info", f"not measured; {needed}", "twinhdr doctor --measure-disk")


def medium_findings(config: Config, root: Path) -> Iterator[Finding]:
    """What sessions are written to, where that is a matter of trust."""
    mount = mount_of(root, config.store.root)
    if mount is None:
        return
    found = f"{config.store.root} is on {mount.source} ({mount.filesystem})"
    if mount.medium == "memory":
        advice = "it is gone when the power is; set store.root to a folder on a disk"
        yield Finding("store medium", "warn", f"{found}, in memory", advice)
    elif mount.medium == "card":
        advice = "an SD card is slow at times and wears out; set store.root to a folder on an SSD"
        yield Finding("store medium", "warn", f"{found}, an SD card", advice)
    elif mount.medium == "network":
        advice = "a network that stops holds the recorder up; set store.root to a folder of this machine"
        yield Finding("store medium", "warn", f"{found}, another machine", advice)
    else:
        yield Finding("store medium", "ok", found)


def _disk_speed(config: Config, folder: Path) -> Finding:
    try:
        speed = write_speed(folder)
    except OSError as error:
        return Finding("disk speed", "fail", f"writing in {folder}: {error.strerror}", "check the disk")
    needed = max(SLOW_BYTES_PER_S, master_bytes_per_s(config) * 2)
    found = f"{speed / 1e6:.0f} MB/s with sync on {folder}"
    if speed >= needed:
        return Finding("disk speed", "ok", found)
    advice = f"at least {needed / 1e6:.0f} MB/s leaves room for this configuration; " + (
        "set masters.enabled: false, or store.root on an SSD" if config.masters.enabled else "use an SSD"
    )
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


def check_access(config: Config) -> Iterator[Finding]:
    """Who can reach the live page, and who may change things there."""
    if config.web.enabled:
        yield from access_findings(config.web)


def check_port(config: Config) -> Iterator[Finding]:
    """Whether the live page can open its port."""
    web = config.web
    if not web.enabled:
        yield Finding("live page", "info", "switched off (web.enabled)")
        return
    fault = port_fault(web.host, web.port)
    if fault is None:
        scheme = "http" if web.tls_certificate is None else "https"
        yield Finding("live page", "ok", f"{scheme}://{web.host}:{web.port} is free")
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


MACHINE_CHECKS: tuple[Check, ...] = (check_gpu, check_port, check_access)
