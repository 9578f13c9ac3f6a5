"""Whether a new configuration stays: pure decisions on what was seen of the recorder, time as an argument."""

from __future__ import annotations

from dataclasses import dataclass, replace

HEALTHY_S = 60.0
"""How long the recorder must be healthy without a break."""
LIMIT_S = 180.0
"""By when: engines are loaded, cameras found, then HEALTHY_S."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The recorder at one moment. ``faults`` are the page's (/healthz), empty where it is not asked."""

    active: bool
    failed: bool
    restarts: int
    faults: tuple[str, ...] = ()
    stopped: bool = False
    """A person has stopped it, or never started it."""
    state: str = ""
    """What systemd calls it, for people."""


@dataclass(frozen=True, slots=True)
class Watch:
    """A probation under way. ``restarts`` are those at its begin; None before the first sample.

    ``known``: names of faults that were there before, which no configuration is blamed for.
    """

    began_s: float
    healthy_s: float = HEALTHY_S
    limit_s: float = LIMIT_S
    restarts: int | None = None
    healthy_since_s: float | None = None
    known: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Kept:
    """The configuration stays."""


@dataclass(frozen=True, slots=True)
class Reverted:
    """The one before comes back, because ``reason``."""

    reason: str


def fault_name(fault: str) -> str:
    """What is at fault, without the figures of the moment."""
    return fault.partition(":")[0]


def step(watch: Watch, sample: Sample, now_s: float) -> Watch | Kept | Reverted:
    """The probation after a look at the recorder at ``now_s``, or how it ended."""
    if sample.failed:
        return Reverted(f"the recorder failed ({sample.state or 'failed'})")
    restarts = sample.restarts if watch.restarts is None else watch.restarts
    if sample.restarts > restarts:
        return Reverted(f"the recorder ended and was started again {sample.restarts - restarts} time(s)")
    new = [fault for fault in sample.faults if fault_name(fault) not in watch.known]
    healthy = sample.active and not new
    since_s = (now_s if watch.healthy_since_s is None else watch.healthy_since_s) if healthy else None
    if since_s is not None and now_s - since_s >= watch.healthy_s:
        return Kept()
    if now_s - watch.began_s >= watch.limit_s:
        why = "; ".join(new) or f"the recorder is {sample.state or 'not active'}"
        return Reverted(f"not healthy for {watch.healthy_s:g} s within {watch.limit_s:g} s: {why}")
    return replace(watch, restarts=restarts, healthy_since_s=since_s)
