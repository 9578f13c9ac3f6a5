"""Controls of a V4L2 device by the names that ``v4l2-ctl --list-ctrls`` prints.

The kernel's interface itself, through ioctl: OpenCV maps a handful of controls to numbers of its own, hides
their ranges, and has none for frame rate priority or for the sensors of a Jetson. Structures and numbers are
those of linux/videodev2.h on 64-bit Linux; a C compiler checks each of
them in ``tests/hw/video/test_v4l2_layout.py``.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from edge.errors import EX_UNAVAILABLE, TwinhdrError


class V4l2Error(TwinhdrError):
    """A V4L2 device refuses. The text names the device, the control and what to try."""

    exit_code = EX_UNAVAILABLE


class Capability(ctypes.Structure):
    """``struct v4l2_capability``."""

    _fields_ = (
        ("driver", ctypes.c_char * 16),
        ("card", ctypes.c_char * 32),
        ("bus_info", ctypes.c_char * 32),
        ("version", ctypes.c_uint32),
        ("capabilities", ctypes.c_uint32),
        ("device_caps", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 3),
    )


class QueryExtCtrl(ctypes.Structure):
    """``struct v4l2_query_ext_ctrl``: unlike v4l2_queryctrl it has ranges of 64-bit controls."""

    _fields_ = (
        ("id", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("name", ctypes.c_char * 32),
        ("minimum", ctypes.c_int64),
        ("maximum", ctypes.c_int64),
        ("step", ctypes.c_uint64),
        ("default_value", ctypes.c_int64),
        ("flags", ctypes.c_uint32),
        ("elem_size", ctypes.c_uint32),
        ("elems", ctypes.c_uint32),
        ("nr_of_dims", ctypes.c_uint32),
        ("dims", ctypes.c_uint32 * 4),
        ("reserved", ctypes.c_uint32 * 32),
    )


class _Value(ctypes.Union):
    _fields_ = (
        ("value", ctypes.c_int32),
        ("value64", ctypes.c_int64),
        ("pointer", ctypes.c_void_p),
    )
    _pack_ = 1


class ExtControl(ctypes.Structure):
    """``struct v4l2_ext_control``, packed as in the header."""

    _pack_ = 1
    _anonymous_ = ("union",)
    _fields_ = (
        ("id", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("reserved2", ctypes.c_uint32 * 1),
        ("union", _Value),
    )


class ExtControls(ctypes.Structure):
    """``struct v4l2_ext_controls``."""

    _fields_ = (
        ("which", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
        ("error_idx", ctypes.c_uint32),
        ("request_fd", ctypes.c_int32),
        ("reserved", ctypes.c_uint32 * 1),
        ("controls", ctypes.POINTER(ExtControl)),
    )


def _ioctl_number(direction: int, number: int, struct: type[ctypes.Structure]) -> int:
    """``_IOC`` of asm-generic/ioctl.h, for the type letter of V4L2."""
    return direction << 30 | ctypes.sizeof(struct) << 16 | ord("V") << 8 | number


_READ, _READ_WRITE = 2, 3
QUERYCAP = _ioctl_number(_READ, 0, Capability)
G_EXT_CTRLS = _ioctl_number(_READ_WRITE, 71, ExtControls)
S_EXT_CTRLS = _ioctl_number(_READ_WRITE, 72, ExtControls)
QUERY_EXT_CTRL = _ioctl_number(_READ_WRITE, 103, QueryExtCtrl)

NEXT = 0x80000000 | 0x40000000
"""``V4L2_CTRL_FLAG_NEXT_CTRL | V4L2_CTRL_FLAG_NEXT_COMPOUND``."""
DISABLED, READ_ONLY, HAS_PAYLOAD = 0x0001, 0x0004, 0x0100
CAPTURE_CAPS = 0x00000001 | 0x00001000
"""``V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_VIDEO_CAPTURE_MPLANE``."""
INTEGER, BOOLEAN, MENU, INTEGER64, INTEGER_MENU = 1, 2, 3, 5, 9
_NUMBERS = (INTEGER, BOOLEAN, MENU, INTEGER64, INTEGER_MENU)


@dataclass(frozen=True, slots=True)
class Control:
    """One control that takes a number. ``name`` is as v4l2-ctl prints it."""

    id: int
    name: str
    kind: int
    minimum: int
    maximum: int
    step: int
    default: int

    def nearest(self, value: float) -> int:
        """The value of the control's grid that is nearest to ``value``, within its range."""
        step = max(self.step, 1)
        on_grid = self.minimum + round((value - self.minimum) / step) * step
        highest = self.minimum + (self.maximum - self.minimum) // step * step
        return min(max(on_grid, self.minimum), highest)


def v4l2_ctl_name(title: str) -> str:
    """``Exposure Time, Absolute`` -> ``exposure_time_absolute``."""
    return re.sub(r"[^0-9a-z]+", "_", title.lower()).strip("_")


class V4l2Device:
    """An open device node, for its controls. Another part of the process may stream from it meanwhile.

    Raises V4l2Error where the node is missing, busy, not ours to open, or no V4L2 device.
    """

    def __init__(self, node: Path) -> None:
        self.node = node
        try:
            self._fd = os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise V4l2Error(f"{node}: {error.strerror}; {_what_next(error.errno)}") from error
        try:
            self._capability = Capability()
            self._ioctl(QUERYCAP, self._capability, "answer as a video device")
            self.controls: Mapping[str, Control] = {control.name: control for control in self._enumerate()}
        except BaseException:
            os.close(self._fd)
            raise

    def __enter__(self) -> V4l2Device:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def driver(self) -> str:
        """The kernel driver, such as uvcvideo or tegra-video."""
        return bytes(self._capability.driver).decode(errors="replace")

    @property
    def card(self) -> str:
        """The device's own name."""
        return bytes(self._capability.card).decode(errors="replace")

    @property
    def bus_info(self) -> str:
        """Where it is plugged in, such as usb-0000:00:14.0-1: tells two equal webcams apart."""
        return bytes(self._capability.bus_info).decode(errors="replace")

    @property
    def captures(self) -> bool:
        """Whether this node gives pictures; a webcam's second node gives metadata only."""
        return bool(self._capability.device_caps & CAPTURE_CAPS)

    def get(self, name: str) -> int:
        """The value of a control. Raises V4l2Error."""
        control = self._control(name)
        one = ExtControl(id=control.id)
        self._exchange(G_EXT_CTRLS, one, f"tell {name}")
        return int(one.value64 if control.kind == INTEGER64 else one.value)

    def set(self, name: str, value: int) -> None:
        """Set a control. Raises V4l2Error where there is none of that name or the value is refused."""
        control = self._control(name)
        one = ExtControl(id=control.id)
        if control.kind == INTEGER64:
            one.value64 = value
        else:
            one.value = value
        self._exchange(S_EXT_CTRLS, one, f"set {name}={value} ({control.minimum} to {control.maximum})")

    def close(self) -> None:
        """Let go of the node. May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _control(self, name: str) -> Control:
        if name not in self.controls:
            there = ", ".join(sorted(self.controls)) or "none"
            raise V4l2Error(f"{self.node}: no control {name}; it has {there}")
        return self.controls[name]

    def _enumerate(self) -> Iterator[Control]:
        query = QueryExtCtrl(id=NEXT)
        while True:
            try:
                fcntl.ioctl(self._fd, QUERY_EXT_CTRL, query)
            except OSError as error:
                if error.errno in (errno.EINVAL, errno.ENOTTY):
                    return  # after the last, or where a device has none
                raise V4l2Error(f"{self.node}: cannot list its controls: {error.strerror}") from error
            if query.type in _NUMBERS and not query.flags & (DISABLED | READ_ONLY | HAS_PAYLOAD):
                title = bytes(query.name).decode(errors="replace")
                yield Control(
                    query.id,
                    v4l2_ctl_name(title),
                    query.type,
                    query.minimum,
                    query.maximum,
                    query.step,
                    query.default_value,
                )
            query = QueryExtCtrl(id=query.id | NEXT)

    def _exchange(self, number: int, one: ExtControl, what: str) -> None:
        several = ExtControls(which=0, count=1, controls=ctypes.pointer(one))
        self._ioctl(number, several, what)

    def _ioctl(self, number: int, argument: ctypes.Structure, what: str) -> None:
        try:
            fcntl.ioctl(self._fd, number, argument)
        except OSError as error:
            raise V4l2Error(
                f"{self.node}: cannot {what}: {error.strerror}; {_what_next(error.errno)}"
            ) from error


def _what_next(code: int | None) -> str:
    match code:
        case errno.ENOENT | errno.ENODEV | errno.ENXIO:
            return "plug the camera in; v4l2-ctl --list-devices shows what is there"
        case errno.EACCES | errno.EPERM:
            return "let this user at cameras: sudo usermod -aG video $USER, then log in again"
        case errno.EBUSY:
            return "end the other program that uses it: fuser -v /dev/video*"
        case errno.ENOTTY:
            return "name a node that v4l2-ctl --list-devices shows"
        case errno.ERANGE | errno.EINVAL:
            return "v4l2-ctl --list-ctrls shows what it takes"
        case _:
            return "unplug it and plug it in again"
