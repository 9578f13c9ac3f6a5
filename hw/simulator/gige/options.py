"""What a simulated GigE Vision camera is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hw.simulator.gige.features import Abilities
from hw.simulator.gige.film import FilmSpec


@dataclass(frozen=True, slots=True)
class Clock:
    """The camera's clock: ``offset_ns`` when the process starts, ticking at ``ratio * (1 + drift)`` per ns.

    Its registers always claim 1 GHz; ``ratio`` is the firmware's fault (10 and 0.694 occur). ``drift_ppm``
    is the oscillator and moves the frames too.
    """

    offset_ns: int = 0
    drift_ppm: float = 0.0
    ratio: float = 1.0

    @property
    def true_per_own(self) -> float:
        """True time that passes while the oscillator counts off one unit."""
        return 1.0 / (1.0 + self.drift_ppm * 1e-6)

    def at(self, since_boot_ns: int) -> int:
        return self.offset_ns + round(since_boot_ns * self.ratio * (1.0 + self.drift_ppm * 1e-6))


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong. Shares are per mille, drawn from ``seed``."""

    packet_loss: float = 0.0
    """Packets that the network loses; they may be asked for again."""
    damaged_frames: float = 0.0
    """Frames of which one packet is lost for good."""
    lost_frames: float = 0.0
    """Frames of which nothing arrives."""
    late_exposure: float = 0.0
    """Frames that a change of exposure reaches one frame late."""
    exposure_lag: int = 0
    """Frames that pass before any change of exposure takes hold."""
    first_frame_missing: bool = False
    """The first exposure after a start is taken but never sent, as some sensors do after a hardware start."""
    resend: bool = True
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Options:
    """One camera."""

    interface: str
    serial: str
    film: FilmSpec
    abilities: Abilities
    clock: Clock = Clock()
    faults: Faults = field(default_factory=Faults)
    vendor: str = "Hikrobot"
    model: str = "MV-CS032-10GC"
    reference_exposure_us: float = 8000.0
    hdr_cycle: int = 4
    stamp: Literal["begin", "middle", "end"] = "begin"
    readout_us: float = 1000.0
    link_mbps: float = 1000.0
    line: Path | None = None
    truth: Path | None = None
    film_cache: Path | None = None
