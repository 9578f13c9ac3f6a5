"""HDR video into fragmented MP4 segments: HEVC through x265 or AV1 through SVT-AV1.

Both encoders run without delay (zerolatency; low-delay prediction without lookahead), a fragment closes every
0.2 s and goes to the kernel at once, so a killed process costs less than half a second of video. Each file
starts with a keyframe and its own header and plays alone; because times count from the session's start,
``cat 000000.mp4 000001.mp4`` plays as well.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edge.encode.mp4 import HeaderRewriter, patch_content_light
from edge.encode.segments import ClosedSegment, EncodeError, Location, OpenSegment, SegmentWriter
from edge.encode.sink import DiskSync, Sink
from edge.store.gate import DiskGate
from edge.tone.hdr_metadata import ContentLight, LightMeter, MasteringDisplay
from edge.tone.tonemap import HdrFormat, YuvImage

__all__ = ["ClosedSegment", "EncodeError", "HdrEncoder", "Location", "VideoSettings"]

TICKS_PER_S = 90_000
_BT2020, _BT2020_NC, _PQ, _HLG, _LIMITED = 9, 9, 16, 18, 1
"""Code points of ITU-T H.273, as FFmpeg and AV1 use them."""
_TYPICAL_FALL_NITS = 400
_FEW_CORES = 4
_TASKS = "/proc/self/task"


@dataclass(frozen=True, slots=True)
class VideoSettings:
    """How to encode. ``preset`` None: x265 superfast, SVT-AV1 10; ``crf`` None: 20 and 30.

    ``threads`` 0: one for x265 on a machine of up to four cores, else as many as the encoder likes. x265 runs
    its worker threads at nice 10, so that beside a busy network they starve: on two busy cores 960x540 fell
    to 2 fps with workers and kept 9 fps without. ``sync_s``: seconds between fdatasync calls, so that a power
    cut costs little more than a crash; None: never.
    """

    codec: Literal["hevc", "av1"] = "hevc"
    preset: str | int | None = None
    crf: float | None = None
    threads: int = 0
    segment_s: float = 60.0
    segment_bytes: int | None = None
    keyframe_s: float = 1.0
    fragment_s: float = 0.2
    sync_s: float | None = 1.0


class HdrEncoder(SegmentWriter[YuvImage]):
    """Writes ``folder/subfolder/000000.mp4``, ... ; one thread writes, frames in order of time.

    ``origin_ns`` is the session's zero of time. ``width`` and ``height`` are those of the planes (even).
    ``estimate`` (default: the mastering peak, and 400 cd/m2 for the average) stands at the head of the first
    file until it is measured; each next file starts from what was measured so far. A finished file has its
    own MaxCLL and MaxFALL in box and stream; a crash leaves the estimate.
    """

    def __init__(
        self,
        folder: Path,
        *,
        width: int,
        height: int,
        fps: float,
        origin_ns: int,
        fmt: HdrFormat | None = None,
        settings: VideoSettings | None = None,
        estimate: ContentLight | None = None,
        on_segment: Callable[[ClosedSegment], None] | None = None,
        subfolder: str = "hdr",
        gate: DiskGate | None = None,
    ) -> None:
        self._settings = settings or VideoSettings()
        super().__init__(
            folder,
            subfolder,
            "mp4",
            origin_ns=origin_ns,
            ticks_per_s=TICKS_PER_S,
            fps=fps,
            segment_s=self._settings.segment_s,
            segment_bytes=self._settings.segment_bytes,
            on_segment=on_segment,
            gate=gate,
        )
        self._format = fmt or HdrFormat()
        self._size = (width, height)
        self._fps = fps
        peak = round(self._format.peak_nits)
        self._estimate = estimate or ContentLight(peak, min(_TYPICAL_FALL_NITS, peak))
        self._session_light = LightMeter()
        self._sync = DiskSync(self._settings.sync_s, gate)

    @property
    def session_light(self) -> ContentLight | None:
        """MaxCLL and MaxFALL over all frames so far; None for HLG and before the first frame."""
        return self._session_light.content_light

    def configure(self, *, preset: str | int | None, crf: float | None) -> None:
        """From the next file on. Any thread."""
        self._settings = replace(self._settings, preset=preset, crf=crf)

    def write(self, image: YuvImage, t_ns: int) -> Location | None:
        """Encode one frame taken at ``t_ns``; None where the disk does not take it. Raises EncodeError."""
        location = self._write(image, t_ns)
        if image.light is not None and location is not None:
            self._session_light.add(image.light)
        return location

    def close(self) -> None:
        """Finish the open file and end the sync thread. May be called twice. Raises EncodeError."""
        try:
            super().close()
        finally:
            self._sync.close()

    def _open_segment(self, path: Path) -> OpenSegment[YuvImage]:
        light = (self.session_light or self._estimate).sei_safe()
        return _Mp4(path, self._sync, self._size, self._fps, self._format, self._settings, light)


class _Mp4(OpenSegment[YuvImage]):
    """One fragmented MP4 with its own encoder."""

    def __init__(
        self,
        path: Path,
        sync: DiskSync,
        size: tuple[int, int],
        fps: float,
        fmt: HdrFormat,
        settings: VideoSettings,
        light: ContentLight,
    ) -> None:
        import av  # 0.1 s, and only recording needs it

        self._av = av
        self._path = path
        self._size = size
        self._meter = LightMeter()
        self._ticks_per_frame = round(TICKS_PER_S / fps)
        self._sink = Sink(path, sync)
        try:
            self._start(fps, fmt, settings, light)
        except BaseException:
            self._sink.close()
            raise

    def _start(self, fps: float, fmt: HdrFormat, settings: VideoSettings, light: ContentLight) -> None:
        mastering = MasteringDisplay(fmt.peak_nits, fmt.min_nits)
        below: Any = HeaderRewriter(self._sink, mastering, light) if fmt.transfer == "pq" else self._sink
        self._container = self._av.open(below, "w", format="mp4", options=_muxer_options(settings))
        name = "libx265" if settings.codec == "hevc" else "libsvtav1"
        self._stream = self._container.add_stream(name, rate=Fraction(fps).limit_denominator(1001))
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "yuv420p10le"
        self._stream.time_base = Fraction(1, TICKS_PER_S)
        context = self._stream.codec_context
        context.time_base = Fraction(1, TICKS_PER_S)
        context.color_primaries, context.colorspace, context.color_range = _BT2020, _BT2020_NC, _LIMITED
        context.color_trc = _PQ if fmt.transfer == "pq" else _HLG
        make = _x265_options if settings.codec == "hevc" else _svt_options
        self._stream.options = make(settings, fmt, fps, mastering, light)
        if settings.codec == "hevc":
            context.codec_tag = "hvc1"
        with ordinary_priority():
            context.open()

    @property
    def size(self) -> int:
        return self._sink.size

    def add(self, image: YuvImage, ticks: int) -> None:
        height, width = image.y.shape
        if (width, height) != self._size:
            raise ValueError(f"the image is {width}x{height}, the file {self._size[0]}x{self._size[1]}")
        frame = self._av.VideoFrame(width, height, "yuv420p10le")
        for plane, values in zip(frame.planes, (image.y, image.cb, image.cr), strict=True):
            rows = np.frombuffer(plane, np.uint16).reshape(-1, plane.line_size // 2)
            rows[: values.shape[0], : values.shape[1]] = values
        frame.pts = ticks
        frame.time_base = Fraction(1, TICKS_PER_S)
        self._mux(frame)
        if image.light is not None:
            self._meter.add(image.light)

    def finish(self) -> int:
        self._mux(None)
        self._container.close()
        self._sink.close()
        light = self.light()
        if light is not None:
            patch_content_light(self._path, light)
        return self._sink.size

    def abandon(self) -> None:
        self._sink.close()

    def light(self) -> ContentLight | None:
        measured = self._meter.content_light
        return measured.sei_safe() if measured is not None else None

    def _mux(self, frame: Any) -> None:
        for packet in self._stream.encode(frame):
            packet.duration = self._ticks_per_frame
            self._container.mux(packet)


@contextlib.contextmanager
def ordinary_priority() -> Iterator[None]:
    """Undo what a library does to the scheduling of this thread and of threads that it starts meanwhile.

    SVT-AV1, when root runs it, gives all its threads and the calling one real-time priority 99 and leaves it
    so: everything else on the machine, cameras included, then waits for the encoder.
    """
    before = set(os.listdir(_TASKS))
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        for task in {0} | {int(name) for name in set(os.listdir(_TASKS)) - before}:
            with contextlib.suppress(ProcessLookupError):  # it has ended already
                os.sched_setscheduler(task, policy, parameters)


def _muxer_options(settings: VideoSettings) -> dict[str, str]:
    """A header without an index, fragments by time, absolute decode times from the first fragment on."""
    return {
        "movflags": "frag_keyframe+empty_moov+default_base_moof+frag_discont",
        "frag_duration": str(round(settings.fragment_s * 1e6)),
        "flush_packets": "1",
        "avoid_negative_ts": "make_non_negative",
    }


def _x265_options(
    settings: VideoSettings, fmt: HdrFormat, fps: float, mastering: MasteringDisplay, light: ContentLight
) -> dict[str, str]:
    params = {
        "repeat-headers": 1,
        "info": 0,
        "log-level": "error",
        "keyint": max(1, round(fps * settings.keyframe_s)),
        "open-gop": 0,
        "scenecut": 0,
        "colorprim": "bt2020",
        "transfer": "smpte2084" if fmt.transfer == "pq" else "arib-std-b67",
        "colormatrix": "bt2020nc",
        "range": "limited",
        "chromaloc": 0,
    }
    if fmt.transfer == "pq":
        params |= {
            "hdr10": 1,
            "hdr10-opt": 1,
            "master-display": mastering.x265(),
            "max-cll": f"{light.max_cll},{light.max_fall}",
        }
    threads = settings.threads or (1 if len(os.sched_getaffinity(0)) <= _FEW_CORES else 0)
    if threads:
        params["pools"] = "none" if threads == 1 else threads
    return {
        "preset": str(settings.preset or "superfast"),
        "tune": "zerolatency",
        "crf": f"{20 if settings.crf is None else settings.crf:g}",
        "x265-params": ":".join(f"{key}={value}" for key, value in params.items()),
    }


def _svt_options(
    settings: VideoSettings, fmt: HdrFormat, fps: float, mastering: MasteringDisplay, light: ContentLight
) -> dict[str, str]:
    os.environ.setdefault("SVT_LOG", "1")  # errors only; the encoder reads nothing else to say less
    params: dict[str, Any] = {
        "pred-struct": 1,
        "lookahead": 0,
        "color-primaries": _BT2020,
        "transfer-characteristics": _PQ if fmt.transfer == "pq" else _HLG,
        "matrix-coefficients": _BT2020_NC,
        "color-range": 0,
        "chroma-sample-position": "left",
    }
    if fmt.transfer == "pq":
        params["mastering-display"] = mastering.svt_av1()
        params["content-light"] = f"{light.max_cll},{light.max_fall}"
    if settings.threads:
        params["lp"] = settings.threads
    return {
        "preset": str(10 if settings.preset is None else settings.preset),
        "crf": f"{30 if settings.crf is None else round(settings.crf)}",
        "g": str(max(1, round(fps * settings.keyframe_s))),
        "svtav1-params": ":".join(f"{key}={value}" for key, value in params.items()),
    }
