"""A recording on disk, written and read back: see docs/session.md for the format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edge.errors import EX_DATAERR, TwinhdrError
from edge.frames import CameraName, Exposure, Frame, Rung
from edge.sidecar import SidecarWriter
from hw.camera import CameraInfo


class SessionError(TwinhdrError):
    """A recording cannot be read or written. The text names file, line, cause and what to do next."""

    exit_code = EX_DATAERR


@dataclass(frozen=True)
class SessionHeader:
    """``session.json``. Mappings hold plain JSON values. ``started_utc`` is for people, never for logic."""

    session_id: str
    started_utc: str
    software: str
    cameras: Mapping[CameraName, CameraInfo]
    exposures: Mapping[CameraName, tuple[Exposure, ...]]
    transfer: Literal["linear", "gamma22", "srgb"] = "linear"
    colour: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    simulator: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """One raw frame as the sidecar tells it."""

    camera: CameraName
    seq: int
    t_device_ns: int
    t_ns: int
    t_host_ns: int
    exposure: Exposure
    status: str
    file: str | None
    index: int


@dataclass(frozen=True, slots=True)
class HdrRecord:
    """One fused frame as the sidecar tells it."""

    seq: int
    t_ns: int
    rung: Rung
    model: str
    low_seq: int | None
    high_seq: int | None
    low_age_ns: int | None
    high_age_ns: int | None
    file: str | None
    index: int
    mean_luminance: float
    mean_mu: float
    peak_nits: float | None
    average_nits: float | None


@dataclass(frozen=True, slots=True)
class Record:
    """Any line: its number in the file, its kind, its fields."""

    line: int
    kind: str
    fields: Mapping[str, Any]


class SessionWriter:
    """Makes the folder and its header; the sidecar is ``writer.sidecar``, video writers get ``writer.path``."""

    path: Path
    sidecar: SidecarWriter

    @classmethod
    def create(cls, path: Path, header: SessionHeader, *, sync: bool = True) -> SessionWriter:
        """A new session; ``path`` must not exist or be empty. Raises SessionError."""
        raise NotImplementedError

    @classmethod
    def refused(cls, session: Path, model: str, *, sync: bool = True) -> SessionWriter:
        """``session/refused/<model>``, emptied first if it is there: where ``refuse`` writes."""
        raise NotImplementedError


class Session:
    """A recording, read as a stream. ``problems`` grows while reading: each skip is told there once."""

    path: Path
    header: SessionHeader
    problems: list[str]

    @classmethod
    def open(cls, path: Path) -> Session:
        """Read the header. Raises SessionError when there is no readable session."""
        raise NotImplementedError

    @property
    def clean(self) -> bool:
        """Whether the recording ended as it should."""
        raise NotImplementedError

    @property
    def origin_ns(self) -> int:
        """The session's zero of time on the reference clock."""
        raise NotImplementedError

    def records(self, *kinds: str) -> Iterator[Record]:
        """The sidecar's lines in order, of these kinds or all. Bad lines go to ``problems``."""
        raise NotImplementedError

    def frame_records(self, camera: CameraName) -> Iterator[FrameRecord]:
        """The validated lines of one camera."""
        raise NotImplementedError

    def hdr_records(self) -> Iterator[HdrRecord]:
        """The validated lines of the fused video."""
        raise NotImplementedError

    def stamped(self, camera: CameraName) -> Iterator[tuple[Frame, int]]:
        """Frames with their time on the reference clock in ns, decoded one by one, in order."""
        raise NotImplementedError

    def frames(self, camera: CameraName) -> Iterator[Frame]:
        """Frames of one camera in order, never more than a few in memory."""
        raise NotImplementedError

    def refused_models(self) -> list[str]:
        """Models this session was refused with."""
        raise NotImplementedError

    def refused(self, model: str) -> Session:
        """The refused output as a session of its own: this header, its own lines and files."""
        raise NotImplementedError
