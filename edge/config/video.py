"""The section ``video``: cameras that give ready pictures, and video files in their place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Protocol, TypeAlias

from pydantic import Field

from edge.config.section import Section

Place: TypeAlias = Annotated[str, Field(min_length=1, max_length=4096)]
FourCc: TypeAlias = Annotated[str, Field(pattern=r"^[A-Z0-9 ]{4}$")]


class VideoCameraConfig(Section):
    """One camera. ``gain`` is in the device's own units, which have no common meaning; None is its lowest."""

    uri: Place | None
    controls: Place | None
    gain: Annotated[int, Field(ge=0, le=65535)] | None


class VideoConfig(Section):
    """How both are opened and what their counts mean."""

    reference: VideoCameraConfig
    secondary: VideoCameraConfig
    backend: Literal["auto", "jetson", "opencv"]
    pixel_format: FourCc | None
    transfer: Literal["srgb", "gamma22", "linear"]


class _Gain(Protocol):
    @property
    def gain_db(self) -> float: ...


class _Rig(Protocol):
    """What is asked of the section ``rig``."""

    @property
    def bit_depth(self) -> int: ...

    @property
    def reference(self) -> _Gain: ...

    @property
    def secondary(self) -> _Gain: ...


def video_faults(video: VideoConfig, rig: _Rig, trigger: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """What contradicts ``rig.source: video``: keys, the likeliest culprit first, and what is expected."""
    for name, camera in (("reference", video.reference), ("secondary", video.secondary)):
        if camera.uri is None:
            yield (
                (f"video.{name}.uri", "rig.source"),
                f"video.{name}.uri to name a camera or a video file because rig.source is video; "
                "write csi://0, v4l2:///dev/video0 or a path",
            )
    if trigger not in ("simulated", "none"):
        yield (
            ("trigger.kind", "rig.source"),
            "none because rig.source is video; such cameras start by themselves",
        )
    if rig.bit_depth != 8:
        yield ("rig.bit_depth", "rig.source"), "8 because rig.source is video; such cameras give no more"
    for name, gain in (("reference", rig.reference), ("secondary", rig.secondary)):
        if gain.gain_db != 0:
            yield (
                (f"rig.{name}.gain_db", "rig.source"),
                f"0 because rig.source is video, whose gains have no unit; use video.{name}.gain",
            )
