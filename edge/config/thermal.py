"""The section ``thermal``: what is given up before the machine slows itself down."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from edge.config.section import Section

Celsius: TypeAlias = Annotated[float, Field(ge=-20, le=150)]
Margin: TypeAlias = Annotated[float, Field(ge=0, le=80)]


class ThermalConfig(Section):
    """Four bands; each list has their begins, the mildest first.

    ``margins_celsius`` are below the temperature at which the kernel throttles a zone; ``limits_celsius``
    hold where a zone does not say when that is.
    """

    enabled: bool
    margins_celsius: tuple[Margin, Margin, Margin, Margin]
    limits_celsius: tuple[Celsius, Celsius, Celsius, Celsius]
    hysteresis_celsius: float = Field(ge=0, le=30)
    hold_s: float = Field(ge=0, le=3600)


def thermal_faults(config: ThermalConfig) -> list[tuple[tuple[str, ...], str]]:
    """Keys and what they should be, for lists that are out of order."""
    faults: list[tuple[tuple[str, ...], str]] = []
    if list(config.margins_celsius) != sorted(config.margins_celsius, reverse=True):
        faults.append(
            (("thermal.margins_celsius",), "margins that fall, as [16, 10, 5, 2]; reorder the list")
        )
    if list(config.limits_celsius) != sorted(config.limits_celsius):
        faults.append(
            (("thermal.limits_celsius",), "limits that rise, as [80, 85, 90, 95]; reorder the list")
        )
    return faults
