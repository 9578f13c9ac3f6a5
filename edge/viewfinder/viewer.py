"""The preview and the figures read off a picture: latest frame only, never in the way of the recording."""

from __future__ import annotations

import numpy as np

from edge.config.schema import PreviewConfig
from edge.encode.recorder import shown_radiance
from edge.frames import FloatImage, Rung
from edge.fuse.line import Fused
from edge.fuse.stopwatch import Stopwatch
from edge.health.health import Health
from edge.tone.sdr import SdrPreview, to_jpeg
from edge.viewfinder.aids import CLIPPED, clipped_marks, histogram, largest_channel, sharpness
from edge.viewfinder.preview import MARKS, PreviewHub

CRUSHED = 0.002
"""Share of the reference's full scale below which read noise of a 12-bit sensor buries the picture."""
METER_STEP = 4
METER_PERIOD_NS = 1_000_000_000


class Viewer:
    """Turns fused groups into JPEGs and picture figures. One thread calls ``show``."""

    def __init__(self, config: PreviewConfig, hub: PreviewHub, health: Health, watch: Stopwatch) -> None:
        self._config = config
        self._hub = hub
        self._health = health
        self._watch = watch
        self._preview = SdrPreview(config.width)
        self._last_ns: int | None = None
        self._metered_ns: int | None = None

    def configure(self, config: PreviewConfig) -> None:
        """From the next picture on. Any thread."""
        self._config = config

    def due(self, now_ns: int) -> bool:
        """Whether a picture shown now would be seen or metered; asked by the stage that has it."""
        watched = any(self._hub.wanted(stream, now_ns) for stream in self._hub.streams)
        since = None if self._last_ns is None else now_ns - self._last_ns
        period_ns = round(1e9 / self._config.fps) if watched else METER_PERIOD_NS
        return since is None or since >= period_ns

    def show(self, fused: Fused, now_ns: int) -> None:
        """Publish the pictures that somebody looks at; meter once a second."""
        self._last_ns = now_ns
        if self._metered_ns is None or now_ns - self._metered_ns >= METER_PERIOD_NS:
            self._metered_ns = now_ns
            self._meter(fused)
        wanted = [stream for stream in self._hub.streams if self._hub.wanted(stream, now_ns)]
        self._focus(fused, wanted)
        # Without a first picture the page would wait for one after asking.
        if wanted or not self._hub.latest(("fused",)):
            with self._watch.stage("preview"):
                self._publish(fused, wanted or ["fused", "reference"], now_ns)

    def _publish(self, fused: Fused, wanted: list[str], now_ns: int) -> None:
        # The tone curve follows the fused picture and serves all streams, so that they compare.
        shown, scale = shown_radiance(fused.hdr), np.float32(fused.hdr.scale)
        quality = self._config.quality
        self._preview.width = self._config.width
        pictures = {"fused": to_jpeg(self._preview.render(shown, fused.hdr.t_ns), quality)}
        for stream, radiance in _others(fused).items():
            if stream in wanted and radiance is not None:
                pictures[stream] = to_jpeg(self._preview.render_like_last(radiance * scale), quality)
        for marks, picture in MARKS.items():
            if marks in wanted and picture in pictures:
                pictures[marks] = clipped_marks(*_exposed(fused, picture))
        self._hub.publish(pictures, now_ns)

    def _focus(self, fused: Fused, wanted: list[str]) -> None:
        """Only while somebody looks: focusing is done by hand, and costs a gradient of every picture."""
        prepared = fused.prepared
        for name, one in (("reference", prepared.reference), ("low", prepared.low), ("high", prepared.high)):
            sharp = sharpness(one) if name in wanted and one is not None else None
            self._health.gauge("sharpness", sharp, name)

    def _meter(self, fused: Fused) -> None:
        group = fused.prepared.group
        pair_light = None if fused.hdr.rung is Rung.REFERENCE else fused.prepared.light
        lights = pair_light or (1.0, 1.0, 1.0)
        pictures = (
            ("reference", fused.prepared.reference, 1.0, 1.0),
            ("fused", fused.hdr.radiance, 1.0 / lights[0], 1.0 / lights[2]),
        )
        for name, radiance, ceiling, floor in pictures:
            largest = largest_channel(radiance, METER_STEP)
            self._health.histogram("exposure_histogram", histogram(largest, ceiling), name)
            self._health.gauge("clipped_share", float((largest >= CLIPPED * ceiling).mean()), name)
            self._health.gauge("crushed_share", float((largest < CRUSHED * floor).mean()), name)
        for name, one in (("low", fused.prepared.low), ("high", fused.prepared.high)):
            shares = None if one is None else histogram(largest_channel(one, METER_STEP))
            self._health.histogram("exposure_histogram", shares, name)
        for name, frame in (("low", group.low), ("reference", group.reference), ("high", group.high)):
            # A figure of a camera that fell silent would look alive.
            used = None if frame is None else frame.exposure
            self._health.gauge("exposure_us", None if used is None else used.exposure_us, name)
            self._health.gauge("gain_db", None if used is None else used.gain_db, name)
            ev = None if used is None else used.ev_from(group.reference.exposure)
            self._health.gauge("ev", ev, name)


def _others(fused: Fused) -> dict[str, FloatImage | None]:
    """The other streams as radiance in reference units."""
    prepared, light = fused.prepared, fused.prepared.light
    streams: dict[str, FloatImage | None] = {"reference": prepared.reference, "low": None, "high": None}
    if light is not None and prepared.low is not None and prepared.high is not None:
        streams["low"] = prepared.low * np.float32(1.0 / light[0])
        streams["high"] = prepared.high * np.float32(1.0 / light[2])
    return streams


def _exposed(fused: Fused, stream: str) -> tuple[FloatImage, float]:
    """The picture of a stream with the value at which it clips."""
    prepared = fused.prepared
    own = {"reference": prepared.reference, "low": prepared.low, "high": prepared.high}.get(stream)
    if own is not None:
        return own, 1.0
    light = None if fused.hdr.rung is Rung.REFERENCE else prepared.light
    return fused.hdr.radiance, 1.0 if light is None else 1.0 / light[0]
