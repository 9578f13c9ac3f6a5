"""Doctor's look at the configured cameras: are they there, and does USB let them work?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from edge.config.gige import GigeCameraConfig
from edge.config.layers import Config
from edge.doctor.findings import Finding
from edge.errors import TwinhdrError, UnavailableError
from hw.camera import CameraError
from hw.device import Device, UsbDevice
from hw.gige.discovery import Selector, discover, pick
from hw.jetson import find_jetson_utils
from hw.video.uri import VideoUri, parse_uri

USBFS_MB = 1000
"""What makers of USB3 Vision cameras ask for; the kernel's 16 MB hold two frames of 3 megapixels."""
PORT_MILLIAMPERES = {True: 900, False: 500}
"""What a hub without a supply of its own may draw: on a USB 3 port, on USB 2 (USB 3.2, section 11.4.1)."""


def video_findings(device: Device, config: Config, root: Path) -> Iterator[Finding]:
    """CSI and V4L2 cameras and files, for rig.source video."""
    if config.rig.source != "video":
        return
    for name, camera in (("reference", config.video.reference), ("secondary", config.video.secondary)):
        if camera.uri is None:
            continue  # the configuration's own fault
        try:
            yield _video(f"{name} camera", parse_uri(camera.uri), device, root)
        except CameraError as error:
            yield Finding(f"{name} camera", "fail", str(error))


def _video(name: str, uri: VideoUri, device: Device, root: Path) -> Finding:
    if uri.kind == "file":
        # a file of the configuration is one of this machine, whatever root its facts are read from
        if Path(uri.place).is_file():
            return Finding(name, "ok", f"{uri}, a video file")
        return Finding(name, "fail", f"{uri}: no such video file", f"correct video.{name.split()[0]}.uri")
    node = str(uri.node)
    if node not in device.video_nodes and not (root / node.lstrip("/")).exists():
        there = ", ".join(f"{node} ({card})" for node, card in device.video_nodes.items()) or "no camera"
        advice = (
            "sudo systemctl restart nvargus-daemon, and check the flat cable with the power off; "
            "sudo /opt/nvidia/jetson-io/jetson-io.py names the sensor to the kernel"
            if uri.kind == "csi"
            else "plug it in; v4l2-ctl --list-devices shows what is there"
        )
        return Finding(name, "fail", f"{uri} is not there; there is {there}", advice)
    if uri.kind == "csi" and find_jetson_utils() is None:
        advice = "build it: git clone --recursive https://github.com/dusty-nv/jetson-inference (docs/v4l2.md)"
        return Finding(name, "fail", f"{uri} needs jetson-utils, which is not here", advice)
    return Finding(name, "ok", f"{uri} ({device.video_nodes.get(node) or 'there'})")


def check_gige(config: Config) -> Iterator[Finding]:
    """GigE and USB3 Vision cameras, for rig.source gige: they are asked, which takes about a second."""
    if config.rig.source != "gige":
        return
    try:
        found = discover()
    except UnavailableError as error:
        yield Finding("cameras", "fail", str(error))
        return
    for name, camera in (("reference", config.gige.reference), ("secondary", config.gige.secondary)):
        try:
            meant = pick(found, _selector(camera), name)
        except TwinhdrError as error:
            yield Finding(f"{name} camera", "fail", str(error), "twinhdr cameras lists what answers")
        else:
            yield Finding(
                f"{name} camera",
                "ok",
                f"{meant.vendor} {meant.model} serial {meant.serial} at {meant.address}",
            )


def _selector(camera: GigeCameraConfig) -> Selector:
    return Selector(camera.serial, camera.ip, camera.mac)


def usb_findings(device: Device, _config: Config) -> Iterator[Finding]:
    """What the bus does to cameras. Silent where there are none."""
    cameras = [one for one in device.usb if one.kind != "hub"]
    vision = [one for one in cameras if one.kind == "usb3_vision"]
    memory = device.usbfs_memory_mb
    if vision and memory is not None:
        # 0: without a limit
        enough = memory == 0 or memory >= USBFS_MB
        advice = (
            f"echo {USBFS_MB} | sudo tee /sys/module/usbcore/parameters/usbfs_memory_mb; to keep it: "
            f"usbcore.usbfs_memory_mb={USBFS_MB} on the kernel's command line"
        )
        text = f"{memory} MB for transfers" if memory else "no limit"
        yield Finding("usb memory", "ok" if enough else "warn", text, "" if enough else advice)
    yield from _slow(vision)
    yield from _sleepy(cameras)
    yield from _hungry(cameras, [one for one in device.usb if one.kind == "hub"])


def _slow(vision: Iterable[UsbDevice]) -> Iterator[Finding]:
    for camera in vision:
        if camera.usb3 and camera.mbit_s is not None and camera.mbit_s < 5000:
            advice = "a blue port and a USB 3 cable of at most 3 m; lsusb -t shows the speed"
            yield Finding(
                "usb speed", "warn", f"{camera.product} at {camera.port}: {camera.mbit_s} Mbit/s", advice
            )


def _sleepy(cameras: Iterable[UsbDevice]) -> Iterator[Finding]:
    sleepers = [camera for camera in cameras if camera.may_sleep]
    if sleepers:
        names = ", ".join(f"{camera.product} at {camera.port}" for camera in sleepers)
        files = " ".join(f"/sys/bus/usb/devices/{camera.port}/power/control" for camera in sleepers)
        advice = f"a camera that was put to sleep starts late or not at all: echo on | sudo tee {files}"
        yield Finding("usb sleep", "warn", f"the kernel may put to sleep: {names}", advice)


def _hungry(cameras: Iterable[UsbDevice], hubs: Iterable[UsbDevice]) -> Iterator[Finding]:
    for hub in hubs:
        if hub.self_powered:
            continue
        drawn = sum(camera.milliamperes or 0 for camera in cameras if camera.port.startswith(f"{hub.port}."))
        limit = PORT_MILLIAMPERES[(hub.mbit_s or 0) >= 5000]
        if drawn > limit:
            yield Finding(
                "usb current",
                "warn",
                f"cameras at {hub.product} ({hub.port}) may draw {drawn} mA, its port gives {limit}",
                "a hub with a supply of its own, or a port for each camera; dmesg | grep -i over-current",
            )
