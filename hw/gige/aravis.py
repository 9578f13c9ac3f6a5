"""The way into Aravis: loaded when a camera is asked for, its errors turned into ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from edge.errors import UnavailableError
from hw.camera import CameraError, CameraLostError

T = TypeVar("T")

PACKAGES = "gir1.2-aravis-0.8 python3-gi"
LOST = ("TIMEOUT", "NOT_CONNECTED", "TRANSFER_ERROR")
HELD = ("PROTOCOL_ERROR_ACCESS_DENIED", "NOT_CONTROLLER")


class HeldError(CameraError):
    """Another application controls the camera."""


def load() -> Any:
    """The module ``gi.repository.Aravis``. Raises UnavailableError with the packages that bring it."""
    try:
        import gi

        gi.require_version("Aravis", "0.8")
        from gi.repository import Aravis
    except (ImportError, ValueError) as error:
        raise UnavailableError(
            f"GigE and USB3 Vision cameras need Aravis, which does not load ({error}); install it with: "
            f"sudo apt install {PACKAGES}  (a virtual environment needs --system-site-packages)"
        ) from error
    return Aravis


def call(where: str, function: Callable[..., T], *arguments: Any) -> T:
    """``function(*arguments)``, a call of Aravis about ``where``.

    Raises CameraLostError where the camera did not answer, HeldError where another application controls it,
    CameraError for all else that it refused.
    """
    from gi.repository import Aravis, GLib

    try:
        return function(*arguments)
    except GLib.Error as error:
        if error.domain == "arv-device-error-quark":
            codes = Aravis.DeviceError
            if any(error.code == getattr(codes, name, None) for name in LOST):
                raise CameraLostError(f"{where}: no answer ({error.message})") from error
            if any(error.code == getattr(codes, name, None) for name in HELD):
                raise HeldError(f"{where}: another application controls it ({error.message})") from error
            if error.code == codes.NOT_FOUND:
                raise CameraLostError(f"{where}: not found ({error.message})") from error
        raise CameraError(f"{where}: {error.message}") from error
