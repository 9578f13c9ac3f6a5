"""The section ``trigger``: what starts both cameras in the same instant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from edge.config.section import Section

if TYPE_CHECKING:
    from edge.config.schema import Config

SHORTEST_PULSE_US = 50.0
WITHOUT_WIRES = ("simulated", "none")


class TriggerConfig(Section):
    """Which way, and for a board where it is and what it does; its keys mean nothing to other kinds."""

    kind: Literal["simulated", "none", "board", "action", "software"]
    port: Annotated[str, Field(min_length=1, max_length=4096)]
    mode: Literal["start", "paced"]
    pulse_us: float = Field(ge=0, le=30_000)
    silence_ms: int = Field(ge=100, le=5_000)


def trigger_faults(config: Config) -> Iterator[tuple[tuple[str, ...], str]]:
    """Keys and expectation of each contradiction, as in ``edge.config.schema.Contradiction``."""
    trigger, rig = config.trigger, config.rig
    if rig.source in ("simulator", "replay") and trigger.kind not in WITHOUT_WIRES:
        yield (
            ("trigger.kind", "rig.source"),
            f"simulated or none because rig.source is {rig.source}, which has no wires to start by",
        )
    if trigger.kind != "board":
        return
    if 0 < trigger.pulse_us < SHORTEST_PULSE_US or (trigger.pulse_us == 0 and trigger.mode == "paced"):
        yield (
            ("trigger.pulse_us", "trigger.mode"),
            f"at least {SHORTEST_PULSE_US:g} us, the shortest pulse of the board"
            " (with mode start also 0, which holds the lines up until the end)",
        )
    shortest_us = 1e6 / max(rig.reference.fps, rig.secondary.fps)
    if trigger.mode == "paced" and trigger.pulse_us > shortest_us - SHORTEST_PULSE_US:
        yield (
            ("trigger.pulse_us", "rig.reference.fps", "rig.secondary.fps"),
            f"a pulse that ends {SHORTEST_PULSE_US:g} us before the next ({shortest_us:.0f} us a frame), "
            f"not {trigger.pulse_us:g} us; shorten it",
        )
