"""What gives pictures, below the camera that knows exposures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edge.frames import Image


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: (H, W, 3) RGB uint8, its own memory, not another's ring.

    ``t_arrival_ns`` is when the host had it, on the monotonic clock; for a file, its time in the file.
    ``seq`` counts pictures, those included that were lost, as far as the source knows of them.
    """

    seq: int
    t_arrival_ns: int
    image: Image


class PictureSource(Protocol):
    """A stream of pictures. ``read`` is called from one thread; ``close`` from any."""

    @property
    def model(self) -> str: ...

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, as the source really gives them."""

    @property
    def fps(self) -> float: ...

    @property
    def live(self) -> bool:
        """Whether pictures come whether or not they are read."""

    def start(self) -> None:
        """Begin to stream. Raises CameraError."""

    def read(self, timeout_s: float) -> Picture | None:
        """The next picture, None where none came in time.

        Raises CameraLostError when the device is gone for good, EndOfRecordingError after the last of a file.
        """

    def close(self) -> None:
        """End the stream and let go of the device. May be called twice."""


class ExposureControl(Protocol):
    """What sets the exposure of a live camera."""

    def nearest_us(self, exposure_us: float) -> float:
        """What asking for ``exposure_us`` gives, in microseconds. Raises CameraError out of range."""

    def apply(self, exposure_us: float) -> None:
        """Set it, for a frame or a few from now. A camera that is away gets it when it is back."""

    def close(self) -> None: ...
