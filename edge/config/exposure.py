"""The section ``exposure`` of the configuration: who sets exposure times and gains, and within what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from edge.config.section import Section

Mode: TypeAlias = Literal["fixed", "auto"]
ExposureUs: TypeAlias = Annotated[float, Field(ge=10, le=1_000_000)]
GainDb: TypeAlias = Annotated[float, Field(ge=0, le=48)]
SmoothingS: TypeAlias = Annotated[float, Field(ge=0, le=60)]
EvPerS: TypeAlias = Annotated[float, Field(gt=0, le=10)]


class ReferenceExposureConfig(Section):
    """Automatic exposure of the reference; it starts from ``rig.reference``, whose gain is the least."""

    mode: Mode
    target_ev: float = Field(ge=-8, le=-0.5)
    band_ev: float = Field(ge=0.1, le=3)
    smoothing_s: SmoothingS
    ev_per_s: EvPerS
    ev_per_frame: float = Field(gt=0, le=0.1)
    shortest_us: ExposureUs
    longest_us: ExposureUs
    most_gain_db: GainDb


class SecondaryExposureConfig(Section):
    """Planned distances of low and high; fixed ones are those of ``rig.secondary``."""

    mode: Mode
    low_nearest_ev: float = Field(ge=-8, lt=0)
    low_farthest_ev: float = Field(ge=-8, lt=0)
    high_nearest_ev: float = Field(gt=0, le=8)
    high_farthest_ev: float = Field(gt=0, le=8)
    clipped_share: float = Field(ge=0, le=0.5)
    order: Literal["even", "planned"]
    smoothing_s: SmoothingS
    ev_per_s: EvPerS
    shortest_us: ExposureUs
    longest_us: ExposureUs
    most_gain_db: GainDb


class ExposureConfig(Section):
    """Both cameras; ``mains_hz`` null where no lamp lights the scene."""

    mains_hz: Literal[50, 60] | None
    reference: ReferenceExposureConfig
    secondary: SecondaryExposureConfig

    @property
    def half_period_us(self) -> float | None:
        """Of the mains: how often a lamp on it brightens."""
        return None if self.mains_hz is None else 500_000.0 / self.mains_hz

    @property
    def automatic(self) -> bool:
        """Whether anything is left to decide while filming."""
        return "auto" in (self.reference.mode, self.secondary.mode)


def crossed(exposure: ExposureConfig) -> Iterator[tuple[tuple[str, str], str]]:
    """Ranges that end before they begin: ((culprit, other), what is expected)."""
    for name, section in (("reference", exposure.reference), ("secondary", exposure.secondary)):
        if section.shortest_us > section.longest_us:
            yield (
                (f"exposure.{name}.longest_us", f"exposure.{name}.shortest_us"),
                f"at least shortest_us ({section.shortest_us:g}); raise it or lower shortest_us",
            )
    secondary = exposure.secondary
    if secondary.low_farthest_ev > secondary.low_nearest_ev:
        yield (
            ("exposure.secondary.low_farthest_ev", "exposure.secondary.low_nearest_ev"),
            f"at most low_nearest_ev ({secondary.low_nearest_ev:g}), because low lies below the reference; "
            "swap the two",
        )
    if secondary.high_farthest_ev < secondary.high_nearest_ev:
        yield (
            ("exposure.secondary.high_farthest_ev", "exposure.secondary.high_nearest_ev"),
            f"at least high_nearest_ev ({secondary.high_nearest_ev:g}); swap the two",
        )
