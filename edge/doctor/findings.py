"""What the doctor finds, and what a check is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from edge.config.layers import Config
from hw.device import Device

State: TypeAlias = Literal["ok", "info", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact. ``warn``: recording works, something is worse than it could be; ``fail``: it does not."""

    name: str
    state: State
    found: str
    advice: str = ""


Check: TypeAlias = Callable[[Config], Iterable[Finding]]
DeviceCheck: TypeAlias = Callable[[Device, Config], Iterable[Finding]]
