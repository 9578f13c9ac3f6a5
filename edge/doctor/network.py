"""Doctor's look at the network of GigE cameras: buffers, jumbo frames, bandwidth. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from edge.config.layers import Config
from edge.doctor.findings import Finding, State
from hw.device import Device, Interface
from hw.gige.pixels import BY_NAME

RMEM_BYTES = 4 * 2**20
"""Two 30 fps GigE Vision streams need it; with the kernel's usual 208 KiB they lost two frames of three."""
JUMBO_MTU = 9000
HEADERS_BYTES = 20 + 8 + 8
"""IPv4, UDP and GVSP header of a packet; GenICam's packet size counts them (GigE Vision 2.0, section 22)."""
ETHERNET_BYTES = 14 + 4 + 8 + 12
"""Header, checksum, preamble and gap of a frame on the wire (IEEE 802.3)."""
LEADER_TRAILER_BYTES = 2 * HEADERS_BYTES + 36 + 8 + 2 * ETHERNET_BYTES
"""The two packets around the image, with the payload of an image leader and trailer."""
FULL_SHARE = 0.9
"""Above this two cameras that begin a frame together fill the switch's buffers."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One camera's images on the wire."""

    width: int
    height: int
    pixel_bits: int
    fps: float

    def mbit_s(self, packet_size: int) -> float:
        """10**6 bits a second that it takes of the link, all headers included.

        ``packet_size`` is GenICam's: bytes of the IP packet.
        """
        image = math.ceil(self.width * self.height * self.pixel_bits / 8)
        packets = math.ceil(image / (packet_size - HEADERS_BYTES))
        wire = image + packets * (HEADERS_BYTES + ETHERNET_BYTES) + LEADER_TRAILER_BYTES
        return wire * 8 * self.fps / 1e6


def network_findings(device: Device, config: Config) -> Iterator[Finding]:
    """Matters of GigE cameras; told as facts where none are configured."""
    configured = config.rig.source == "gige"
    yield _socket_buffers(device, config, configured)
    if not configured:
        return
    links = [link for link in device.interfaces if link.up]
    if not links:
        if device.interfaces:
            advice = "plug the cameras in; ip link shows which port has a carrier"
            yield Finding("network link", "warn", "no wired port has a link", advice)
        return
    link = max(links, key=lambda one: (one.mbit_s or 0, one.mtu))
    yield _jumbo(link)
    yield _bandwidth(link, config)


def _socket_buffers(device: Device, config: Config, configured: bool) -> Finding:
    largest, wanted = device.rmem_max_bytes, config.gige.socket_buffer_mib * 2**20
    if largest is None:
        return Finding("network buffers", "info", "net.core.rmem_max is not readable here")
    found = f"net.core.rmem_max {largest}"
    if largest >= wanted:
        return Finding("network buffers", "ok", found)
    advice = (
        f"for GigE cameras: sudo sysctl -w net.core.rmem_max={wanted}; to keep it: "
        f"echo net.core.rmem_max={wanted} | sudo tee /etc/sysctl.d/60-twinhdr.conf"
    )
    return Finding("network buffers", "warn" if configured else "info", found, advice)


def _jumbo(link: Interface) -> Finding:
    found = f"{link.name}: packets of {link.mtu} bytes"
    if link.mtu >= JUMBO_MTU:
        return Finding("jumbo frames", "ok", found)
    advice = (
        f"sudo ip link set {link.name} mtu {JUMBO_MTU}, where camera and switch can do it: a sixth of the "
        'packets to handle; to keep it: sudo nmcli connection modify "$(nmcli -g GENERAL.CONNECTION device '
        f'show {link.name})" 802-3-ethernet.mtu {JUMBO_MTU}'
    )
    return Finding("jumbo frames", "warn", found, advice)


def _bandwidth(link: Interface, config: Config) -> Finding:
    packet = config.gige.packet_size
    size = min(link.mtu, JUMBO_MTU) if packet == "auto" else packet
    needed = sum(stream.mbit_s(size) for stream in streams(config))
    found = f"both cameras take {needed:.0f} Mbit/s in packets of {size} bytes"
    if link.mbit_s is None:
        return Finding("camera bandwidth", "info", f"{found}; {link.name} does not tell its speed")
    found = f"{found}, of the {link.mbit_s} of {link.name}"
    if needed <= FULL_SHARE * link.mbit_s:
        return Finding("camera bandwidth", "ok", found)
    share = FULL_SHARE * link.mbit_s / needed
    reference, secondary = config.rig.reference.fps * share, config.rig.secondary.fps * share
    advice = (
        f"set rig.reference.fps: {math.floor(reference)} and rig.secondary.fps: {math.floor(secondary)}, or "
        "a packed pixel format or fewer bits, or give each camera a port of its own"
    )
    state: State = "fail" if needed > link.mbit_s else "warn"
    return Finding("camera bandwidth", state, found, advice)


def streams(config: Config) -> tuple[Stream, Stream]:
    """What the two configured cameras send. ``auto`` is the most compact format of ``rig.bit_depth``."""
    rig, gige = config.rig, config.gige
    formats = (gige.reference.pixel_format, gige.secondary.pixel_format)
    bits = [rig.bit_depth if name == "auto" else bits_on_the_wire(name, rig.bit_depth) for name in formats]
    return (
        Stream(rig.width, rig.height, bits[0], rig.reference.fps),
        Stream(rig.width, rig.height, bits[1], rig.secondary.fps),
    )


def bits_on_the_wire(name: str, bit_depth: int) -> int:
    """Bits a pixel of a GenICam format takes on the wire; ``bit_depth`` for one that is not known."""
    wire = BY_NAME.get(name)
    return wire.pixel_bits if wire is not None else bit_depth
