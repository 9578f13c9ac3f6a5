"""Which cameras there are, and which of them is meant."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, replace

from hw.camera import CameraError, CameraLostError
from hw.gige import gvcp
from hw.gige.aravis import load


@dataclass(frozen=True, slots=True)
class Found:
    """One camera on the network or the bus. ``address`` is an IP address, or the USB device."""

    id: str
    protocol: str
    vendor: str
    model: str
    serial: str
    address: str
    mac: str

    @property
    def is_gige(self) -> bool:
        return self.protocol == "GigEVision"


@dataclass(frozen=True, slots=True)
class Selector:
    """Which camera is meant: all that is set must fit."""

    serial: str | None = None
    ip: str | None = None
    mac: str | None = None

    def __str__(self) -> str:
        parts = (("serial", self.serial), ("ip", self.ip), ("mac", self.mac))
        return ", ".join(f"{name} {value}" for name, value in parts if value is not None) or "no identity"

    def fits(self, found: Found) -> bool:
        wanted = ((self.serial, found.serial), (self.ip, found.address), (self.mac, found.mac))
        return all(want is None or want.lower() == has.lower() for want, has in wanted)


def discover() -> list[Found]:
    """Every GigE Vision and USB3 Vision camera that answers; takes about a second.

    Raises UnavailableError without Aravis.
    """
    aravis = load()
    aravis.update_device_list()
    found = [
        Found(
            id=aravis.get_device_id(index) or "",
            protocol=aravis.get_device_protocol(index) or "",
            vendor=aravis.get_device_vendor(index) or "",
            model=aravis.get_device_model(index) or "",
            serial=aravis.get_device_serial_nbr(index) or "",
            address=aravis.get_device_address(index) or "",
            mac=(aravis.get_device_physical_id(index) or "").lower(),
        )
        for index in range(aravis.get_n_devices())
    ]
    real = [camera for camera in found if camera.protocol in ("GigEVision", "USB3Vision")]
    return sorted(real, key=lambda camera: (camera.protocol, camera.address, camera.serial))


def look(selector: Selector, where: str) -> Found:
    """The camera that is meant, if it is there now. Raises CameraLostError, CameraError where it is not one.

    A camera whose IP address is known is asked directly, in milliseconds; else all are looked for.
    """
    if selector.ip is not None:
        return _at(selector, selector.ip, where)
    return pick(discover(), selector, where)


def is_there(found: Found) -> bool:
    """Whether a camera that was found before answers now, at the same place. False says nothing for USB."""
    if not found.is_gige:
        return False
    beacon = gvcp.ask(found.address)
    return beacon is not None and (beacon.serial, beacon.mac) == (found.serial, found.mac)


def pick(cameras: Iterable[Found], selector: Selector, where: str) -> Found:
    """The one camera that ``selector`` means. Raises CameraLostError with what there is instead."""
    cameras = list(cameras)
    fitting = [camera for camera in cameras if selector.fits(camera)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise CameraError(
            f"{where}: {len(fitting)} cameras fit {selector} ({names(fitting)}); set its serial number"
        )
    there = f"there is {names(cameras)}" if cameras else "no camera answers"
    raise CameraLostError(
        f"{where}: no camera with {selector}; {there}; check its power and cable, and twinhdr cameras"
    )


def names(cameras: Iterable[Found]) -> str:
    """Cameras in one line."""
    return "; ".join(f"{c.vendor} {c.model} serial {c.serial} at {c.address or c.id}" for c in cameras)


def _at(selector: Selector, ip: str, where: str) -> Found:
    try:
        address = str(ipaddress.IPv4Address(ip))
    except ValueError:
        raise CameraError(f"{where}: {ip} is no IPv4 address; write one as 192.168.1.20") from None
    beacon = gvcp.ask(address)
    if beacon is None:
        raise CameraLostError(
            f"{where}: no camera answers at {ip}; check its power, its cable and that this computer has an "
            "address in its network (twinhdr cameras lists what there is)"
        )
    found = Found(
        address, "GigEVision", beacon.vendor, beacon.model, beacon.serial, address, beacon.mac.lower()
    )
    if not replace(selector, ip=None).fits(found):
        raise CameraError(f"{where}: at {ip} is another camera, {names([found])}; {selector} was asked for")
    return found
