"""HDR frames to disk: tone curve, encoder, sidecar, and the figures read off the picture on the way."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge.config.schema import HdrConfig
from edge.encode.video import ClosedSegment, HdrEncoder, VideoSettings
from edge.frames import FloatImage, HdrFrame
from edge.fuse.stopwatch import Stopwatch
from edge.judge.flicker import mean_mu_luminance
from edge.session.recording import SessionWriter
from edge.tone.hdr_metadata import ContentLight
from edge.tone.tonemap import HdrToneMapper, video_format

SAMPLE_STEP = 4
"""Mean luminance is read from every fourth pixel of every fourth row."""
LUMINANCE_709 = (0.2126, 0.7152, 0.0722)


def shown_radiance(frame: HdrFrame) -> FloatImage:
    """Radiance in the unit of the video."""
    return frame.radiance if frame.scale == 1.0 else frame.radiance * np.float32(frame.scale)


def expected_light(hdr: HdrConfig, full_scale: float) -> ContentLight:
    """MaxCLL and MaxFALL to write before anything was measured: the brightest that the bracket can show."""
    peak = min(hdr.peak_nits, hdr.reference_white_nits * full_scale)
    return ContentLight(math.ceil(peak), math.ceil(min(peak, hdr.reference_white_nits)))


class HdrRecorder:
    """Writes the HDR video of one session. One thread. ``threads``: the encoder's, 0: as fits the machine."""

    def __init__(
        self,
        session: SessionWriter,
        hdr: HdrConfig,
        *,
        width: int,
        height: int,
        fps: float,
        origin_ns: int,
        full_scale: float,
        watch: Stopwatch,
        on_segment: Callable[[ClosedSegment], None],
        threads: int = 0,
    ) -> None:
        self._sidecar = session.sidecar
        self._gate = session.gate
        self._folder: Path = session.path
        self._watch = watch
        self._full_scale = full_scale
        self._mapper = HdrToneMapper(video_format(hdr))
        self._encoder = HdrEncoder(
            session.path,
            width=width,
            height=height,
            fps=fps,
            origin_ns=origin_ns,
            fmt=video_format(hdr),
            settings=VideoSettings(
                codec=hdr.codec,
                preset=hdr.preset,
                crf=hdr.crf,
                threads=threads,
                segment_s=hdr.segment_s,
                segment_bytes=hdr.segment_mb * 1_000_000,
                sync_s=hdr.sync_s,
            ),
            estimate=expected_light(hdr, full_scale),
            on_segment=on_segment,
            gate=session.gate,
        )

    def configure(self, hdr: HdrConfig) -> None:
        """Preset and quality, from the next file on. Any thread."""
        self._encoder.configure(preset=hdr.preset, crf=hdr.crf)

    def write(self, frame: HdrFrame) -> float:
        """Encode one frame, note it in the sidecar, return its mean mu-law luminance. Raises EncodeError.

        A frame that the disk does not take is counted by the session's gate.
        """
        with self._watch.stage("tonemap"):
            shown, image = shown_radiance(frame), frame.video
            if image is None or image.format != self._mapper.format or frame.scale != 1.0:
                image = self._mapper.convert(shown)
        with self._watch.stage("measure"):
            mean_mu = mean_mu_luminance(shown, self._full_scale, SAMPLE_STEP)
            mean_luminance = _mean_luminance(shown)
        with self._watch.stage("encode"):
            location = self._encoder.write(image, frame.t_ns)
        if location is None and self._gate is not None:
            self._gate.lost("encode", "reference", frame.seq)
        with self._watch.stage("store"):
            self._sidecar.hdr(
                frame, location, mean_luminance=mean_luminance, mean_mu=mean_mu, light=image.light
            )
        return mean_mu

    def retire(self) -> None:
        """Another recorder takes over while this one hangs; see ``SegmentWriter.retire``. Any thread."""
        self._encoder.retire()

    def close(self) -> None:
        """Finish the open segment. May be called twice."""
        self._encoder.close()


def _mean_luminance(radiance: FloatImage) -> float:
    means = radiance[::SAMPLE_STEP, ::SAMPLE_STEP].mean((0, 1))
    return float(sum(weight * mean for weight, mean in zip(LUMINANCE_709, means, strict=True)))
