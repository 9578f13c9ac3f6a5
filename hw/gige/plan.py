"""What one camera is asked to do; from the configuration, in this package's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.frames import CameraName
from hw.gige.discovery import Selector
from hw.gige.shutter import Alternation

if TYPE_CHECKING:
    from edge.config.schema import Config


@dataclass(frozen=True, slots=True)
class CameraPlan:
    """One camera. ``packet_size`` None: the largest that arrives. Offsets None: centred on the sensor.

    ``source`` names what starts the camera (Line0, Action1); None: it films from ``start`` on, or where it
    ``waits`` from ``release`` on. ``paced``: each frame waits for an edge of its own.
    """

    name: CameraName
    selector: Selector
    width: int
    height: int
    bit_depth: int
    fps: float
    pixel_format: str = "auto"
    offset_x: int | None = None
    offset_y: int | None = None
    black_level: int = 0
    alternation: Alternation = "auto"
    packet_size: int | None = None
    packet_delay_ns: int = 0
    socket_buffer_bytes: int = 4 << 20
    source: str | None = None
    waits: bool = False
    paced: bool = False

    @property
    def where(self) -> str:
        """The camera in a text for people."""
        return f"{self.name} camera"

    @property
    def period_ns(self) -> int:
        return round(1e9 / self.fps)


def camera_plan(
    config: Config, name: CameraName, *, source: str | None, waits: bool = False, paced: bool = False
) -> CameraPlan:
    """What ``config`` asks of one camera; the rest see CameraPlan."""
    own = config.gige.reference if name == "reference" else config.gige.secondary
    fps = config.rig.reference.fps if name == "reference" else config.rig.secondary.fps
    return CameraPlan(
        name=name,
        selector=Selector(own.serial, own.ip, own.mac),
        width=config.rig.width,
        height=config.rig.height,
        bit_depth=config.rig.bit_depth,
        fps=fps,
        pixel_format=own.pixel_format,
        offset_x=own.offset_x,
        offset_y=own.offset_y,
        black_level=own.black_level,
        alternation=config.gige.alternation,
        packet_size=None if config.gige.packet_size == "auto" else config.gige.packet_size,
        packet_delay_ns=config.gige.packet_delay_ns,
        socket_buffer_bytes=config.gige.socket_buffer_mib << 20,
        source=source,
        waits=waits,
        paced=paced,
    )
