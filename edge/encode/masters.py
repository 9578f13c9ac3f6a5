"""Lossless masters: the raw frames of one camera as FFV1 in Matroska, bit for bit.

FFV1 is an open standard (RFC 9043), and archives keep film in it. Mono and Bayer frames are stored as gray8,
gray10le, gray12le, gray14le or gray16le, RGB as bgr0 or planar gbrp10le to gbrp16le; every frame is a
keyframe with a checksum per slice.

A Bayer mosaic is stored as four quadrants, one per colour of the 2x2 cell: (even, even) and (even, odd) rows
and columns above, (odd, even) and (odd, odd) below. Neighbours of one colour predict each other, which made a
12-bit mosaic 30 % smaller and as much faster to encode. The tag ``LAYOUT`` says ``quadrants`` or ``plain``.

A cluster closes with every frame (of less than 4 kB: after 0.5 s) and reaches the kernel when the next one
begins: a killed process costs a frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.encode.segments import ClosedSegment, Location, OpenSegment, SegmentWriter
from edge.encode.sink import DiskSync, Sink
from edge.frames import CameraName, Frame, Image, PixelFormat
from edge.store.gate import DiskGate
from hw.camera import CameraInfo

TICKS_PER_S = 1000
"""Matroska counts milliseconds; the sidecar has the exact times."""
QUADRANTS, PLAIN = "quadrants", "plain"
_DEPTHS = (8, 10, 12, 14, 16)


@dataclass(frozen=True, slots=True)
class MasterSettings:
    """``threads`` share the ``slices`` (4, 6, 9, 12, 16, 24 or 30) of each frame; ``sync_s`` as for video."""

    segment_s: float = 60.0
    segment_bytes: int | None = None
    cluster_s: float = 0.5
    slices: int = 4
    threads: int = 2
    sync_s: float | None = 1.0


class MasterWriter(SegmentWriter[Image]):
    """Writes ``folder/<camera>/000000.mkv``, ... ; one thread writes, frames in order of time."""

    def __init__(
        self,
        folder: Path,
        camera: CameraName,
        *,
        width: int,
        height: int,
        pixel_format: PixelFormat,
        bit_depth: int,
        fps: float,
        origin_ns: int,
        settings: MasterSettings | None = None,
        on_segment: Callable[[ClosedSegment], None] | None = None,
        gate: DiskGate | None = None,
    ) -> None:
        self._settings = settings or MasterSettings()
        super().__init__(
            folder,
            camera,
            "mkv",
            origin_ns=origin_ns,
            ticks_per_s=TICKS_PER_S,
            fps=fps,
            segment_s=self._settings.segment_s,
            segment_bytes=self._settings.segment_bytes,
            on_segment=on_segment,
            gate=gate,
        )
        self._shape = (height, width, 3) if pixel_format == "rgb" else (height, width)
        self._quadrants = pixel_format.startswith("bayer") and not (height % 2 or width % 2)
        self._bit_depth = bit_depth
        self._fps = fps
        self._sync = DiskSync(self._settings.sync_s, gate)

    @classmethod
    def of(
        cls,
        folder: Path,
        info: CameraInfo,
        settings: MasterSettings,
        on_segment: Callable[[ClosedSegment], None],
        gate: DiskGate | None = None,
    ) -> MasterWriter:
        """The masters of the camera ``info`` in session time."""
        return cls(
            folder,
            info.name,
            width=info.width,
            height=info.height,
            pixel_format=info.pixel_format,
            bit_depth=info.bit_depth,
            fps=1e6 / info.frame_period_us,
            origin_ns=0,
            settings=settings,
            on_segment=on_segment,
            gate=gate,
        )

    def write(self, frame: Frame, t_ns: int) -> Location | None:
        """Store one frame taken at ``t_ns`` on the reference clock. Raises EncodeError.

        None where the disk does not take it; the gate then counts it.
        """
        location = self._write(frame.image, t_ns)
        if location is None and self._gate is not None:
            self._gate.lost("masters", frame.camera, frame.seq)
        return location

    def close(self) -> None:
        """Finish the open file and end the sync thread. May be called twice. Raises EncodeError."""
        try:
            super().close()
        finally:
            self._sync.close()

    def _open_segment(self, path: Path) -> OpenSegment[Image]:
        return _Mkv(
            path, self._sync, self._shape, self._bit_depth, self._quadrants, self._fps, self._settings
        )


class _Mkv(OpenSegment[Image]):
    """One Matroska file with its own encoder."""

    def __init__(
        self,
        path: Path,
        sync: DiskSync,
        shape: tuple[int, ...],
        bit_depth: int,
        quadrants: bool,
        fps: float,
        settings: MasterSettings,
    ) -> None:
        import av  # 0.1 s, and only recording needs it

        self._av = av
        self._shape = shape
        self._bit_depth = bit_depth
        self._quadrants = quadrants
        self._pix_fmt = stored_format(bit_depth, colour=len(shape) == 3)
        self._sink = Sink(path, sync)
        try:
            self._start(fps, settings)
        except BaseException:
            self._sink.close()
            raise

    def _start(self, fps: float, settings: MasterSettings) -> None:
        options = {"cluster_time_limit": str(round(settings.cluster_s * 1000)), "flush_packets": "1"}
        self._container = self._av.open(self._sink, "w", format="matroska", options=options)
        self._container.metadata["LAYOUT"] = QUADRANTS if self._quadrants else PLAIN
        self._stream = self._container.add_stream("ffv1", rate=Fraction(fps).limit_denominator(1001))
        self._stream.height, self._stream.width = self._shape[:2]
        self._stream.pix_fmt = self._pix_fmt
        self._stream.time_base = Fraction(1, TICKS_PER_S)
        self._stream.codec_context.time_base = Fraction(1, TICKS_PER_S)
        self._stream.codec_context.thread_type = "SLICE"
        self._stream.codec_context.thread_count = settings.threads
        self._stream.options = {"level": "3", "g": "1", "slices": str(settings.slices), "slicecrc": "1"}
        self._stream.codec_context.open()

    @property
    def size(self) -> int:
        return self._sink.size

    def add(self, image: Image, ticks: int) -> None:
        if image.shape != self._shape:
            raise ValueError(f"the image is {image.shape}, the file {self._shape}")
        if image.size and int(image.max()) >> self._bit_depth:
            raise ValueError(f"the image holds {int(image.max())}, more than {self._bit_depth} bits")
        frame = self._av.VideoFrame(self._shape[1], self._shape[0], self._pix_fmt)
        fill(frame, to_quadrants(image) if self._quadrants else image)
        frame.pts = ticks
        frame.time_base = Fraction(1, TICKS_PER_S)
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> int:
        self._container.mux(self._stream.encode(None))
        self._container.close()
        self._sink.close()
        return self._sink.size

    def abandon(self) -> None:
        self._sink.close()


def stored_format(bit_depth: int, *, colour: bool) -> str:
    """FFmpeg's name of the pixel format that holds ``bit_depth`` bits. Raises ValueError beyond 16."""
    depth = next((d for d in _DEPTHS if d >= bit_depth), None)
    if depth is None:
        raise ValueError(f"{bit_depth} bits a pixel; masters hold up to 16")
    if depth == 8:
        return "bgr0" if colour else "gray"
    return f"gbrp{depth}le" if colour else f"gray{depth}le"


def to_quadrants(mosaic: Image) -> Image:
    """(H, W) with even sides: the four pixels of each 2x2 cell moved to four images, two by two."""
    height, width = mosaic.shape
    out = np.empty_like(mosaic)
    for row in (0, 1):
        for column in (0, 1):
            quadrant = out[row * height // 2 :, column * width // 2 :][: height // 2, : width // 2]
            quadrant[:] = mosaic[row::2, column::2]
    return out


def fill(frame: Any, image: Image) -> None:
    """Copy (H, W) or (H, W, 3) RGB counts into a frame of one of the stored formats."""
    if frame.format.name == "bgr0":
        rows = rows_of(frame.planes[0], np.uint8, image.shape[0], 4)
        rows[:, : image.shape[1], :3] = image[..., ::-1]
        rows[:, : image.shape[1], 3] = 0
        return
    planes = (image,) if image.ndim == 2 else (image[..., 1], image[..., 2], image[..., 0])
    dtype = np.uint8 if frame.format.name == "gray" else np.uint16
    for plane, values in zip(frame.planes, planes, strict=True):
        rows_of(plane, dtype, values.shape[0])[:, : values.shape[1]] = values


def rows_of(plane: Any, dtype: type[np.uint8 | np.uint16], height: int, channels: int = 1) -> NDArray[Any]:
    """A plane as (height, padded width[, channels]), writable, without a copy."""
    values = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // np.dtype(dtype).itemsize)[:height]
    return values if channels == 1 else values.reshape(height, -1, channels)
