"""What stands in ``session.json`` and ``frames.jsonl``, checked on reading (in prose: docs/session.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from edge.frames import CameraName, Exposure, PixelFormat, Rung
from hw.camera import CameraInfo

FORMAT = "twinhdr-session"
VERSION = 1

Transfer = Literal["linear", "gamma22", "srgb"]


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or not path.parts:
        raise ValueError("must be a path inside the session folder")
    return name


def _as_rung(name: Any) -> Any:
    if isinstance(name, str) and name.upper() in Rung.__members__:
        return Rung[name.upper()]
    raise ValueError(f"must be one of {', '.join(rung.name.lower() for rung in Rung)}")


Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
RelativeFile = Annotated[str, Field(max_length=1024), AfterValidator(_inside)]
RungName = Annotated[Rung, BeforeValidator(_as_rung)]


class _Line(BaseModel):
    """Strict in types, open to keys of later versions."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class FrameRecord(_Line):
    """One raw frame as the sidecar tells it; ``t_ns`` is mid-exposure on the reference clock."""

    kind: CameraName
    seq: Count
    t_ns: Int64
    exposure_us: float = Field(gt=0, le=1e9)
    gain_db: float = Field(default=0.0, ge=-100, le=100)
    device_ns: Int64 | None = Field(default=None, alias="t_device_ns")
    host_ns: Int64 | None = Field(default=None, alias="t_host_ns")
    status: Literal["ok", "incomplete"] = "ok"
    file: RelativeFile | None = None
    index: Count = 0

    @property
    def camera(self) -> CameraName:
        return self.kind

    @property
    def exposure(self) -> Exposure:
        return Exposure(self.exposure_us, self.gain_db)

    @property
    def t_device_ns(self) -> int:
        """Mid-exposure on the camera's own clock; ``t_ns`` where the line does not say."""
        return self.t_ns if self.device_ns is None else self.device_ns

    @property
    def t_host_ns(self) -> int:
        """Arrival on the host; the end of the exposure where the line does not say."""
        return self.t_ns + round(self.exposure_us * 500.0) if self.host_ns is None else self.host_ns


class HdrRecord(_Line):
    """One fused frame as the sidecar tells it."""

    seq: Count
    t_ns: Int64
    rung: RungName
    model: str
    low_seq: Count | None = None
    high_seq: Count | None = None
    low_age_ns: Int64 | None = None
    high_age_ns: Int64 | None = None
    mean_luminance: Finite | None = None
    mean_mu: Finite | None = None
    peak_nits: Finite | None = None
    average_nits: Finite | None = None
    scale: float = Field(default=1.0, gt=0)
    file: RelativeFile | None = None
    index: Count = 0


@dataclass(frozen=True)
class SessionHeader:
    """``session.json``. Mappings hold plain JSON values. ``started_utc`` is for people, never for logic.

    ``clock_synchronised``: whether ``started_utc`` came from a clock that a time server keeps; None: unknown.
    ``transfer`` says how counts between black and white level code light; cameras count linearly, pictures
    from elsewhere may not. ``edge.develop.linear`` undoes it.
    ``exposures`` are the planned ones, in the order in which the camera cycles through them.
    """

    session_id: str
    started_utc: str
    software: str
    cameras: Mapping[CameraName, CameraInfo]
    exposures: Mapping[CameraName, tuple[Exposure, ...]]
    transfer: Transfer = "linear"
    colour: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    simulator: Mapping[str, Any] | None = None
    clock_synchronised: bool | None = None


class _Camera(_Line):
    width: int = Field(ge=1, le=65535)
    height: int = Field(ge=1, le=65535)
    pixel_format: PixelFormat
    bit_depth: int = Field(ge=1, le=16)
    black_level: int = Field(default=0, ge=0, le=65535)
    white_level: int | None = Field(default=None, ge=1, le=65535)
    frame_period_us: float = Field(default=1e6 / 30.0, gt=0, le=1e9)
    model: str = "unknown"
    serial: str = ""
    device_stamps: bool = True

    def info(self, name: CameraName) -> CameraInfo:
        white = (1 << self.bit_depth) - 1 if self.white_level is None else self.white_level
        if not self.black_level < white < 1 << self.bit_depth:
            raise ValueError(
                f"cameras.{name}: black_level {self.black_level} and white_level {white} must rise and fit "
                f"in {self.bit_depth} bits"
            )
        return CameraInfo(
            name=name,
            model=self.model,
            serial=self.serial,
            width=self.width,
            height=self.height,
            pixel_format=self.pixel_format,
            bit_depth=self.bit_depth,
            black_level=self.black_level,
            white_level=white,
            frame_period_us=self.frame_period_us,
            device_stamps=self.device_stamps,
        )


class _Exposure(_Line):
    exposure_us: float = Field(gt=0, le=1e9)
    gain_db: float = Field(default=0.0, ge=-100, le=100)


class _Cameras(_Line):
    reference: _Camera
    secondary: _Camera


class _Exposures(_Line):
    reference: list[_Exposure] = Field(min_length=1, max_length=16)
    secondary: list[_Exposure] = Field(min_length=1, max_length=16)


class _Header(_Line):
    format: Literal["twinhdr-session"]
    version: int
    cameras: _Cameras
    exposures: _Exposures
    session_id: str = ""
    started_utc: str = ""
    software: str = ""
    transfer: Transfer = "linear"
    colour: dict[str, Any] = Field(default_factory=dict)
    calibration: dict[str, Any] | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    simulator: dict[str, Any] | None = None
    clock_synchronised: bool | None = None


def header_to_json(header: SessionHeader) -> str:
    """The text of ``session.json``."""
    cameras = {name: asdict(info) for name, info in header.cameras.items()}
    for camera in cameras.values():
        del camera["name"]
    exposures = {name: [asdict(e) for e in planned] for name, planned in header.exposures.items()}
    rest = {key: getattr(header, key) for key in ("transfer", "colour", "calibration", "config", "simulator")}
    told = {
        key: getattr(header, key) for key in ("session_id", "started_utc", "clock_synchronised", "software")
    }
    record = (
        {"format": FORMAT, "version": VERSION} | told | {"cameras": cameras, "exposures": exposures} | rest
    )
    return json.dumps(record, indent=2, allow_nan=False) + "\n"


def header_from_json(text: bytes) -> SessionHeader:
    """``session.json``, checked. Raises ValueError with a text that names the key."""
    try:
        data = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if isinstance(data, dict) and data.get("format") == FORMAT and data.get("version") != VERSION:
        raise ValueError(
            f"version: {data.get('version')!r}, and this twinhdr reads {VERSION}; update twinhdr"
        )
    read = validated(_Header, data)
    cameras: dict[CameraName, CameraInfo] = {
        "reference": read.cameras.reference.info("reference"),
        "secondary": read.cameras.secondary.info("secondary"),
    }
    planned = {"reference": read.exposures.reference, "secondary": read.exposures.secondary}
    exposures: dict[CameraName, tuple[Exposure, ...]] = {}
    for name in cameras:
        exposures[name] = tuple(Exposure(e.exposure_us, e.gain_db) for e in planned[name])
    return SessionHeader(
        session_id=read.session_id,
        started_utc=read.started_utc,
        software=read.software,
        cameras=cameras,
        exposures=exposures,
        transfer=read.transfer,
        colour=read.colour,
        calibration=read.calibration,
        config=read.config,
        simulator=read.simulator,
        clock_synchronised=read.clock_synchronised,
    )


ModelT = TypeVar("ModelT", bound=BaseModel)


def validated(model: type[ModelT], data: Any) -> ModelT:
    """``data`` as ``model``. Raises ValueError with every fault in one line, keys first."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc']) or 'line'}: {fault['msg'].lower()}"
            for fault in error.errors(include_url=False)
        ]
        raise ValueError("; ".join(faults[:4])) from None
