"""The section ``gige``: two GigE Vision or USB3 Vision cameras."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from edge.config.section import Section

Identity: TypeAlias = Annotated[str, Field(min_length=1, max_length=64)]
Offset: TypeAlias = Annotated[int, Field(ge=0, le=65535)]
PacketBytes: TypeAlias = Annotated[int, Field(ge=576, le=16_000)]


class GigeCameraConfig(Section):
    """One camera: which it is, and what of its sensor is read.

    Of ``serial``, ``ip`` and ``mac`` those that are set must all fit. ``pixel_format`` is a GenICam name such
    as BayerRG12p; ``auto`` takes the most compact one of ``rig.bit_depth`` that the camera offers.
    Offsets of None centre the image on the sensor.
    """

    serial: Identity | None
    ip: Identity | None
    mac: Identity | None
    pixel_format: Identity
    offset_x: Offset | None
    offset_y: Offset | None
    black_level: int = Field(ge=0, le=4095)


class GigeConfig(Section):
    """How both are opened, started, and their packets received."""

    reference: GigeCameraConfig
    secondary: GigeCameraConfig
    trigger_line: Identity
    alternation: Literal["auto", "hdr_polling", "sequencer", "per_frame"]
    packet_size: PacketBytes | Literal["auto"]
    packet_delay_ns: int = Field(ge=0, le=10_000_000)
    socket_buffer_mib: int = Field(ge=1, le=256)
    open_timeout_s: float = Field(ge=0, le=3600)
