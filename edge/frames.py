"""What flows through twinhdr, and the one unit of radiance.

Units of radiance, everywhere: **1.0 is what saturates the reference exposure.** A linear sensor value
``v`` in [0, 1] taken with exposure time ``t`` and gain ``g`` stands for the radiance
``v * (t_ref * g_ref) / (t * g)``; a frame 2 EV below the reference therefore reaches 4.0.

Times are integers in nanoseconds. ``t_device_ns`` is the *middle of the exposure* on the camera's own
clock; ``t_host_ns`` is the arrival on the host's monotonic clock and never stands in for frame time.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edge.tone.tonemap import YuvImage

CameraName: TypeAlias = Literal["reference", "secondary"]
PixelFormat: TypeAlias = Literal["bayer_rggb", "bayer_bggr", "bayer_grbg", "bayer_gbrg", "rgb", "mono"]
Image: TypeAlias = NDArray[Any]
FloatImage: TypeAlias = NDArray[np.float32]


class FrameStatus(enum.Enum):
    """What the transport says about one frame."""

    OK = "ok"
    INCOMPLETE = "incomplete"
    """Packets are missing; the image must not be used."""
    UNKNOWN_EXPOSURE = "unknown_exposure"
    """Nothing says what it was taken with: its counts mean no radiance."""
    WRONG_SIZE = "wrong_size"
    """The image is not of the size or format that was set; it must not be used."""


class Rung(enum.IntEnum):
    """The ladder of fusion, best first. Every rung answers in the same radiance units."""

    MODEL = 0
    SMALL_MODEL = 1
    MERGE = 2
    REFERENCE = 3


@dataclass(frozen=True, slots=True)
class Exposure:
    """One setting of one camera."""

    exposure_us: float
    gain_db: float = 0.0

    @property
    def light(self) -> float:
        """Exposure time times linear gain, in microseconds at 0 dB: proportional to the sensor value."""
        return self.exposure_us * math.pow(10.0, self.gain_db / 20.0)

    def ev_from(self, other: Exposure) -> float:
        """Distance in EV (stops): positive where ``self`` collects more light than ``other``."""
        return math.log2(self.light / other.light)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as the camera delivered it, with the settings it was *taken* with.

    ``image`` is (H, W) uint8/uint16 for Bayer and mono formats and (H, W, 3) RGB otherwise, in raw counts
    including the black level, in the lowest ``bit_depth`` bits. It is empty where ``status`` is not OK.
    ``seq`` rises over the whole recording. ``epoch`` rises with each start of the camera's clock: stamps of
    different epochs have nothing to do with each other. ``gap_cause`` says why the frames between the
    previous ``seq`` and this one are missing, where any are.
    """

    camera: CameraName
    seq: int
    t_device_ns: int
    t_host_ns: int
    exposure: Exposure
    image: Image
    pixel_format: PixelFormat
    bit_depth: int
    status: FrameStatus = FrameStatus.OK
    epoch: int = 0
    gap_cause: str = "lost"


@dataclass(frozen=True, slots=True)
class Developed:
    """A frame made linear: (H, W, 3) float32 in [0, 1], RGB with Rec. 709 primaries, white balanced.

    1.0 is what saturates *this* frame's exposure. Values are rectified into the reference view where the
    frame comes from the secondary camera.
    """

    frame: Frame
    linear: FloatImage


@dataclass(frozen=True, slots=True)
class Group:
    """One reference frame and the low and high frames nearest to it in time.

    ``t_ns`` is the middle of the reference exposure in session time. Ages are ``t_reference - t_low`` and
    ``t_reference - t_high`` in nanoseconds on the reference camera's clock (negative: the frame was taken
    after the reference frame).
    """

    t_ns: int
    reference: Frame
    low: Frame | None
    high: Frame | None
    low_age_ns: int | None
    high_age_ns: int | None

    @property
    def pair_id(self) -> tuple[int, int] | None:
        """Sequence numbers of (low, high): equal for groups that share one pair; None if one is missing."""
        if self.low is None or self.high is None:
            return None
        return self.low.seq, self.high.seq


@dataclass(frozen=True, slots=True)
class HdrFrame:
    """One fused frame: (H, W, 3) float32 scene-linear Rec. 709 radiance in reference units, >= 0.

    ``video`` is the same picture as a video signal, where what fused it could compute that on the way.
    ``scale`` times the radiance is what the video shows (``edge.exposure.anchor``); 1.0 unless the reference
    exposure changes.
    """

    seq: int
    t_ns: int
    radiance: FloatImage
    rung: Rung
    model: str
    low_seq: int | None
    high_seq: int | None
    low_age_ns: int | None
    high_age_ns: int | None
    video: YuvImage | None = None
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Packet:
    """One encoded packet of one stream."""

    stream: str
    pts_ns: int
    keyframe: bool
    data: bytes
