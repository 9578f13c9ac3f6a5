"""The register space of a GigE Vision device: bootstrap registers (GigE Vision 1.2) and features."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable

MAC_HIGH, MAC_LOW = 0x0008, 0x000C
DISCOVERY_BYTES = 0xF8
TICK_FREQUENCY_HIGH, TICK_FREQUENCY_LOW = 0x093C, 0x0940
TIMESTAMP_CONTROL = 0x0944
TIMESTAMP_LATCH, TIMESTAMP_RESET = 2, 1
TIMESTAMP_VALUE = 0x0948
HEARTBEAT_TIMEOUT_MS = 0x0938
CONTROL_PRIVILEGE = 0x0A00
PRIVILEGE_EXCLUSIVE, PRIVILEGE_CONTROL = 1, 2
CONTROLLER_PORT, CONTROLLER_ADDRESS = 0x0A04, 0x0A14
STREAM_PORT = 0x0D00
STREAM_PACKET_SIZE = 0x0D04
FIRE_TEST_PACKET = 1 << 31
STREAM_ADDRESS = 0x0D18
STREAM_SOURCE_PORT = 0x0D1C

FEATURES_AT = 0x0001_0000
FEATURES_BYTES = 0x1000
XML_AT = 0x0010_0000

_BOOTSTRAP_BYTES = 0x1000
_WRITABLE_BOOTSTRAP = range(0x0900, 0x1000)
_WRITEMEM_RESEND_ACTION = 0b100_0110
_USER_NAME_SERIAL_HEARTBEAT = 0b111 << 29


class AddressError(LookupError):
    """No register there, or none that can be written."""


class Memory:
    """Bytes by address. Multi-byte values are big-endian, as on the wire."""

    def __init__(self, xml: bytes) -> None:
        self._parts: dict[int, bytearray] = {
            0: bytearray(_BOOTSTRAP_BYTES),
            FEATURES_AT: bytearray(FEATURES_BYTES),
            XML_AT: bytearray(xml),
        }
        self.after_write: Callable[[int, int], None] = lambda address, length: None

    def read(self, address: int, length: int) -> bytes:
        """Raises AddressError outside of the device's registers."""
        part, at = self._find(address, length)
        return bytes(part[at : at + length])

    def write(self, address: int, data: bytes) -> None:
        """As a client writes. Raises AddressError where it may not; tells ``after_write``."""
        if address >= XML_AT or (address < FEATURES_AT and address not in _WRITABLE_BOOTSTRAP):
            raise AddressError(f"{address:#x} cannot be written")
        self.put(address, data)
        self.after_write(address, len(data))

    def put(self, address: int, data: bytes) -> None:
        """As the device itself writes."""
        part, at = self._find(address, len(data))
        part[at : at + len(data)] = data

    def word(self, address: int) -> int:
        return int.from_bytes(self.read(address, 4), "big")

    def put_word(self, address: int, value: int) -> None:
        self.put(address, struct.pack(">I", value & 0xFFFF_FFFF))

    def double(self, address: int) -> float:
        return float(struct.unpack(">d", self.read(address, 8))[0])

    def put_double(self, address: int, value: float) -> None:
        self.put(address, struct.pack(">d", value))

    def _find(self, address: int, length: int) -> tuple[bytearray, int]:
        for start, part in self._parts.items():
            if start <= address and address + length <= start + len(part) + (-len(part)) % 4:
                part.extend(bytes(max(0, address + length - start - len(part))))
                return part, address - start
        raise AddressError(f"no register at {address:#x}")


def bootstrap(
    memory: Memory, *, address: str, mac: int, vendor: str, model: str, serial: str, xml: int
) -> None:
    """Fill in what every GigE Vision device says of itself. ``xml`` is the length of its description."""
    memory.put_word(0x0000, 0x0001_0002)  # GigE Vision 1.2
    memory.put_word(0x0004, 0x8000_0001)  # big-endian transmitter, UTF-8
    memory.put_word(MAC_HIGH, mac >> 32)
    memory.put_word(MAC_LOW, mac)
    memory.put_word(0x0010, 0x8000_0007)  # PAUSE; persistent, DHCP and link-local addresses
    memory.put_word(0x0014, 0x0000_0005)
    memory.put_word(0x0024, int(ipaddress.IPv4Address(address)))
    memory.put_word(0x0034, 0xFF00_0000)
    for at, text, size in (
        (0x0048, vendor, 32),
        (0x0068, model, 32),
        (0x0088, "simulated 1.0", 32),
        (0x00A8, "twinhdr simulator", 48),
        (0x00D8, serial, 16),
        (0x00E8, "", 16),
        (0x0200, f"Local:twinhdr-simulator.xml;{XML_AT:x};{xml:x}", 512),
    ):
        memory.put(at, text.encode()[: size - 1].ljust(size, b"\0"))
    memory.put_word(0x0600, 1)  # network interfaces
    memory.put_word(0x0904, 1)  # stream channels
    memory.put_word(0x0934, _USER_NAME_SERIAL_HEARTBEAT | _WRITEMEM_RESEND_ACTION)
    memory.put_word(HEARTBEAT_TIMEOUT_MS, 3000)
    memory.put_word(TICK_FREQUENCY_LOW, 1_000_000_000)
    memory.put_word(STREAM_PACKET_SIZE, 1500)
