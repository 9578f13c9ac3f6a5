"""The shape of the configuration: types, ranges and what contradicts what.

The models have no defaults: ``defaults.yaml`` is the lowest layer and the only place where they live.
Units are in the key names. ``edge.config.layers`` reads files and turns what fails here into located faults.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypeAlias

from pydantic import Field

from edge.config.exposure import ExposureConfig, crossed
from edge.config.gige import GigeConfig
from edge.config.section import Section
from edge.config.thermal import ThermalConfig, thermal_faults
from edge.config.trigger import TriggerConfig, trigger_faults
from edge.config.video import VideoConfig, video_faults
from edge.config.web import WebConfig, web_faults
from edge.frames import Exposure, Rung

SHORTEST_EXPOSURE_US = 10.0

Even: TypeAlias = Annotated[int, Field(ge=64, le=8192, multiple_of=2)]
Fps: TypeAlias = Annotated[float, Field(ge=1, le=240)]
GainDb: TypeAlias = Annotated[float, Field(ge=0, le=48)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Threads: TypeAlias = Annotated[int, Field(ge=0, le=256)]
SegmentS: TypeAlias = Annotated[float, Field(ge=2, le=3600)]
SegmentMb: TypeAlias = Annotated[int, Field(ge=1, le=4000)]  # FAT32 ends at 4.29e9 bytes
Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=4096)]
# Strict mode takes only Path objects; the loader has already made the string absolute.
FilePath: TypeAlias = Annotated[Path, Field(strict=False)]
Gain: TypeAlias = Annotated[float, Field(gt=0, le=16)]
Coefficient: TypeAlias = Annotated[float, Field(ge=-16, le=16)]
MatrixRow: TypeAlias = tuple[Coefficient, Coefficient, Coefficient]
Pace: TypeAlias = Annotated[float, Field(gt=0, le=100)] | Literal["auto", "max"]
RungName: TypeAlias = Literal["model", "small_model", "merge", "reference"]

X265_PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow",
)  # fmt: skip


class ReferenceConfig(Section):
    """The camera whose exposure stays constant; its frames become the video."""

    fps: Fps
    exposure_us: float = Field(ge=SHORTEST_EXPOSURE_US, le=1_000_000)
    gain_db: GainDb

    @property
    def exposure(self) -> Exposure:
        return Exposure(self.exposure_us, self.gain_db)


class SecondaryConfig(Section):
    """The camera that alternates a low and a high exposure, in EV from the reference exposure."""

    fps: Fps
    low_ev: float = Field(ge=-8, lt=0)
    high_ev: float = Field(gt=0, le=8)
    gain_db: GainDb


class RigConfig(Section):
    """The two cameras."""

    source: Literal["simulator", "replay", "gige", "video"]
    width: Even
    height: Even
    bit_depth: Literal[8, 10, 12]
    reference: ReferenceConfig
    secondary: SecondaryConfig

    def secondary_exposure(self, ev: float) -> Exposure:
        """The setting of the secondary camera that collects 2**ev times the light of the reference."""
        light = self.reference.exposure.light * 2.0**ev
        per_us = Exposure(1.0, self.secondary.gain_db).light
        return Exposure(light / per_us, self.secondary.gain_db)

    @property
    def low(self) -> Exposure:
        return self.secondary_exposure(self.secondary.low_ev)

    @property
    def high(self) -> Exposure:
        return self.secondary_exposure(self.secondary.high_ev)


class FaultsConfig(Section):
    """What goes wrong on purpose in the simulator."""

    lost_frame_share: Share
    late_exposure_share: Share
    silent_after_s: Annotated[float, Field(ge=0, le=1e6)] | None
    secondary_clock_ratio: float = Field(ge=0.05, le=20)
    secondary_clock_drift_ppm: float = Field(ge=-1000, le=1000)


class SimulatorConfig(Section):
    """A moving world made of one HDR image, filmed by two virtual cameras."""

    scene: Text
    light: Literal["steady", "sunrise", "tunnel", "lamp"]
    seed: int = Field(ge=0, le=2**63 - 1)
    pace: Pace
    faults: FaultsConfig


class ReplayConfig(Section):
    """A recorded session in place of cameras."""

    session: FilePath | None
    pace: Pace


class CalibrationConfig(Section):
    file: FilePath | None


class DevelopConfig(Section):
    """From raw counts to linear Rec. 709 RGB."""

    demosaic: Literal["auto", "fine", "fast"]
    white_balance: tuple[Gain, Gain, Gain]
    colour_matrix: tuple[MatrixRow, MatrixRow, MatrixRow] | None


class PairConfig(Section):
    max_age_ms: float = Field(gt=0, le=10_000)
    wait_ms: float = Field(ge=0, le=2_000)


class FuseConfig(Section):
    """The ladder, best rung first, and what runs on it."""

    model: Text
    small_model: Text | None
    threads: Threads
    alignment: Literal["auto", "fine", "fast", "off"]
    deadline_share: float = Field(gt=0, le=10)
    ladder: Annotated[tuple[RungName, ...], Field(min_length=1, max_length=4)]

    @property
    def rungs(self) -> tuple[Rung, ...]:
        return tuple(Rung[name.upper()] for name in self.ladder)


class HdrConfig(Section):
    """The HDR video."""

    enabled: bool
    transfer: Literal["pq", "hlg"]
    codec: Literal["hevc", "av1"]
    preset: str | int
    crf: float = Field(ge=0, le=63)
    reference_white_nits: float = Field(ge=10, le=10_000)
    peak_nits: float = Field(ge=100, le=10_000)
    segment_s: SegmentS
    segment_mb: SegmentMb
    sync_s: float = Field(ge=0.1, le=60)


class MastersConfig(Section):
    """Lossless masters of both raw streams."""

    enabled: bool
    segment_s: SegmentS
    segment_mb: SegmentMb


class PreviewConfig(Section):
    fps: float = Field(ge=0.1, le=60)
    width: Even
    quality: int = Field(ge=1, le=100)


class StoreConfig(Section):
    root: FilePath
    min_free_gb: float = Field(ge=0, le=1_000_000)
    min_free_share: float = Field(ge=0, le=0.9)
    delete: Literal["sessions", "segments", "never"]


class LogConfig(Section):
    level: Literal["debug", "info", "warning", "error"]


class Config(Section):
    """Everything ``twinhdr run`` is told. Every key is set: layers below have filled what a file left out."""

    version: Literal[1]
    rig: RigConfig
    simulator: SimulatorConfig
    replay: ReplayConfig
    gige: GigeConfig
    video: VideoConfig
    trigger: TriggerConfig
    calibration: CalibrationConfig
    exposure: ExposureConfig
    develop: DevelopConfig
    pair: PairConfig
    fuse: FuseConfig
    hdr: HdrConfig
    masters: MastersConfig
    preview: PreviewConfig
    web: WebConfig
    store: StoreConfig
    thermal: ThermalConfig
    log: LogConfig


class Contradiction(NamedTuple):
    """Values that are right alone and wrong together.

    ``keys`` are those involved, the likeliest culprit first. ``expected`` follows "expected " in the fault.
    """

    keys: tuple[str, ...]
    expected: str


def contradictions(config: Config) -> list[Contradiction]:
    """All contradictions between keys, in the order of the file."""
    planned = [*crossed(config.exposure), *web_faults(config.web), *thermal_faults(config.thermal)]
    sections = [Contradiction(*fault) for fault in planned]
    return [*_exposures(config.rig), *_source(config), *sections, *_ladder(config.fuse), *_hdr(config.hdr)]


def _exposures(rig: RigConfig) -> Iterator[Contradiction]:
    reference, secondary = rig.reference, rig.secondary
    reference_us, secondary_us = 1e6 / reference.fps, 1e6 / secondary.fps
    shared = ("rig.reference.exposure_us", "rig.reference.gain_db", "rig.secondary.gain_db")
    if reference.exposure_us > reference_us:
        yield Contradiction(
            ("rig.reference.exposure_us", "rig.reference.fps"),
            f"an exposure of at most one frame period ({reference_us:.0f} us at {reference.fps:g} fps), "
            f"not {reference.exposure_us:g} us; shorten it or lower fps",
        )
    if rig.high.exposure_us > secondary_us:
        yield Contradiction(
            ("rig.secondary.high_ev", "rig.secondary.fps", *shared),
            f"a high exposure of at most one frame period ({secondary_us:.0f} us at {secondary.fps:g} fps), "
            f"not {rig.high.exposure_us:.0f} us; lower high_ev or fps, or raise rig.secondary.gain_db",
        )
    if rig.low.exposure_us < SHORTEST_EXPOSURE_US:
        yield Contradiction(
            ("rig.secondary.low_ev", *shared),
            f"a low exposure of at least {SHORTEST_EXPOSURE_US:g} us, not {rig.low.exposure_us:.1f} us; "
            "raise low_ev or lower rig.secondary.gain_db",
        )


def _source(config: Config) -> Iterator[Contradiction]:
    if config.rig.source == "replay" and config.replay.session is None:
        yield Contradiction(
            ("replay.session", "rig.source"),
            "replay.session to name a recorded session because rig.source is replay; "
            "add the path or set rig.source to simulator",
        )
    if config.rig.source == "video":
        faults = video_faults(config.video, config.rig, config.trigger.kind)
        yield from (Contradiction(*fault) for fault in faults)
    yield from (Contradiction(*fault) for fault in trigger_faults(config))
    if config.rig.source == "gige" and config.trigger.kind == "simulated":
        yield Contradiction(
            ("trigger.kind", "rig.source"),
            "a trigger that real cameras can have because rig.source is gige; none starts them by software",
        )


def _ladder(fuse: FuseConfig) -> Iterator[Contradiction]:
    order = [rung.value for rung in fuse.rungs]
    if order != sorted(set(order)) or fuse.rungs[-1] is not Rung.REFERENCE:
        yield Contradiction(
            ("fuse.ladder",),
            "each rung at most once, in the order model, small_model, merge, reference, "
            "ending with reference, which is always possible; reorder the list",
        )


def _hdr(hdr: HdrConfig) -> Iterator[Contradiction]:
    preset = ("hdr.preset", "hdr.codec")
    if hdr.codec == "hevc" and hdr.preset not in X265_PRESETS:
        presets = ", ".join(X265_PRESETS)
        yield Contradiction(preset, f"one of {presets} because hdr.codec is hevc; ultrafast is the cheapest")
    if hdr.codec == "av1" and not (isinstance(hdr.preset, int) and 0 <= hdr.preset <= 13):
        yield Contradiction(
            preset, "a whole number from 0 to 13 because hdr.codec is av1; 12 is fast, 8 compresses better"
        )
    if hdr.codec == "hevc" and hdr.crf > 51:
        yield Contradiction(
            ("hdr.crf", "hdr.codec"), "a number from 0 to 51 because hdr.codec is hevc; 20 is a fair start"
        )
    if hdr.peak_nits <= hdr.reference_white_nits:
        yield Contradiction(
            ("hdr.peak_nits", "hdr.reference_white_nits"),
            f"peak_nits ({hdr.peak_nits:g}) above reference_white_nits ({hdr.reference_white_nits:g}), "
            "or no highlight could be shown; 1000 and 203 are usual",
        )
