"""What twinhdr asks of a camera and of whatever starts two of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from edge.errors import EX_UNAVAILABLE, TwinhdrError
from edge.frames import CameraName, Exposure, Frame, PixelFormat


class CameraError(TwinhdrError):
    """A camera cannot do what was asked. The text names the camera, the cause and what to try next."""

    exit_code = EX_UNAVAILABLE


class CameraLostError(CameraError):
    """The camera no longer answers; close it and open a new one."""


class EndOfRecordingError(CameraLostError):
    """A recording in place of a camera has no more frames: the end, not a fault."""


class TriggerError(TwinhdrError):
    """The cameras could not be started together. The text names the board, the cause and the next step."""

    exit_code = EX_UNAVAILABLE


@dataclass(frozen=True, slots=True)
class CameraInfo:
    """What is true of every frame a camera delivers.

    ``black_level`` and ``white_level`` are raw counts at ``bit_depth``: linear value 0.0 and 1.0.
    ``frame_period_us`` is the camera's own period as configured.
    ``device_stamps`` is False where the camera has no clock and ``t_device_ns`` is derived from arrival.
    """

    name: CameraName
    model: str
    serial: str
    width: int
    height: int
    pixel_format: PixelFormat
    bit_depth: int
    black_level: int
    white_level: int
    frame_period_us: float
    device_stamps: bool = True


class Camera(Protocol):
    """A camera: armed by ``start``, filming from the trigger's edge on, at its own pace.

    ``read`` is called from one thread only; ``set_exposures`` and ``stop`` from any.
    """

    @property
    def info(self) -> CameraInfo: ...

    def start(self) -> None:
        """Arm: frames come after the start edge. Raises CameraError."""

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame in order, or None when none came within ``timeout_s`` (real seconds).

        Raises CameraLostError when the camera is gone for good, EndOfRecordingError where it was a recording
        and that is over.
        """

    def set_exposures(self, exposures: Sequence[Exposure]) -> None:
        """Cycle through ``exposures`` from the next frame the camera can still change.

        One exposure: constant. A cycle as long as the one before goes on at its place in it, so that small
        changes leave the alternation whole. Frames say what they were really taken with.
        """

    def stop(self) -> None:
        """End filming and release the device. May be called twice."""


@dataclass(frozen=True, slots=True)
class CameraState:
    """How a camera that may go and come back is doing.

    While it is not ``ok``, ``text`` says since when and why, ``todo`` what helps. ``losses`` counts how often
    it was lost; ``counters`` are totals of its transport since the start, by name.
    """

    ok: bool
    text: str = ""
    todo: str = ""
    losses: int = 0
    counters: Mapping[str, int] = field(default_factory=dict)


@runtime_checkable
class Watched(Protocol):
    """A camera, or a trigger, that outlives the loss of its device.

    ``read`` of such a camera answers None meanwhile and never raises.
    """

    def state(self, now_ns: int) -> CameraState:
        """How it is at ``now_ns`` (host's monotonic clock). From any thread; takes no time."""


class Trigger(Protocol):
    """Starts both cameras in the same instant."""

    def start(self) -> int:
        """Give the common edge. Returns its time in ns on the host's monotonic clock. Raises TriggerError."""

    def stop(self) -> None:
        """Drop the lines. May be called twice."""


class Edge(Protocol):
    """The common start as far as it is known: within ``uncertainty_ns`` of the time that ``start`` gave.

    ``skew_ns`` is the most by which the cameras were started apart, as the board measured it or the way of
    starting bounds it; None where nothing does.
    """

    @property
    def uncertainty_ns(self) -> int: ...

    @property
    def skew_ns(self) -> int | None: ...


@runtime_checkable
class TellsEdge(Protocol):
    """A trigger that knows how good its start was."""

    @property
    def edge(self) -> Edge | None:
        """Of the last start; None before it."""


class Rig(Protocol):
    """Two cameras and what starts them: everything the daemon needs from ``hw``."""

    @property
    def reference(self) -> Camera: ...

    @property
    def secondary(self) -> Camera: ...

    @property
    def trigger(self) -> Trigger: ...
