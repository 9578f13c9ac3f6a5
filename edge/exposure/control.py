"""The thin loop of automatic exposure: frames in, settings out to the cameras, each told with its reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from edge.config.exposure import ExposureConfig, ReferenceExposureConfig, SecondaryExposureConfig
from edge.exposure import reference as of_reference
from edge.exposure import secondary as of_secondary
from edge.exposure.meter import Metered, meter_frame
from edge.exposure.split import Limits, split
from edge.frames import CameraName, Exposure, Frame
from edge.pair import Stamped, is_low
from hw.camera import CameraError, CameraInfo

SPACING = 0.9
"""Of a frame period: two settings closer than this could reach one frame, as one step of twice the size."""
WORTH_EV = 0.01
"""The secondary camera is told of changes from here on."""


@dataclass(frozen=True, slots=True)
class Eye:
    """One camera as exposure control sees it: ``starting`` are the settings it begins with, as a cycle."""

    info: CameraInfo
    starting: tuple[Exposure, ...]
    least_gain_db: float
    set_exposures: Callable[[Sequence[Exposure]], None]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a camera was set to after a look at frame ``seq``, and why. ``seen`` None: only followed."""

    camera: CameraName
    seq: int
    t_ns: int
    exposures: tuple[Exposure, ...]
    cause: str
    seen: Metered | None


@dataclass(frozen=True, slots=True)
class Told:
    """Who is told: of each setting; of the reason in force and how far the reference is off, per frame; of
    every metered frame; of a camera that refuses (None: it takes settings again).
    """

    decided: Callable[[Decision], None]
    held: Callable[[CameraName, str, float, float], None]
    """``(camera, cause, off_ev, beyond_ev)``; the EV figures are the reference's."""
    metered: Callable[[Literal["low", "reference", "high"], Metered], None]
    refused: Callable[[CameraName, str | None], None]


class ExposureControl:
    """Decides for both cameras of one recording. One thread calls ``take``."""

    def __init__(self, config: ExposureConfig, reference: Eye, secondary: Eye, told: Told) -> None:
        self._eyes: dict[CameraName, Eye] = {"reference": reference, "secondary": secondary}
        self._told = told
        self._wanted = config
        self._use(config)
        first = reference.starting[0]
        ranked = sorted(secondary.starting, key=lambda exposure: exposure.light)
        self._low, self._high = ranked[0], ranked[-1]
        self._reference = of_reference.first(first, 0)
        self._secondary = of_secondary.first(self._low.ev_from(first), self._high.ev_from(first), 0)
        self._reference_seen: Metered | None = None
        self._begun = False
        self._issued: dict[CameraName, tuple[Exposure, ...]] = {
            "reference": reference.starting,
            "secondary": secondary.starting,
        }
        self._issued_ns: dict[CameraName, int] = {}
        self._refusing: set[CameraName] = set()
        self._orders = True

    def configure(self, config: ExposureConfig) -> None:
        """Other targets and limits from the next frame on; modes stay. Any thread."""
        modes = (self._wanted.reference.mode, self._wanted.secondary.mode)
        reference = config.reference.model_copy(update={"mode": modes[0]})
        secondary = config.secondary.model_copy(update={"mode": modes[1]})
        self._wanted = config.model_copy(update={"reference": reference, "secondary": secondary})

    def _use(self, config: ExposureConfig) -> None:
        self._config = config
        reference, secondary = self._eyes["reference"], self._eyes["secondary"]
        self._limits: dict[CameraName, Limits] = {
            "reference": _limits(config.reference, reference, config.half_period_us),
            "secondary": _limits(config.secondary, secondary, config.half_period_us),
        }

    def take(self, item: Stamped, now_ns: int) -> None:
        """Look at the newest frame of a camera; ``now_ns`` is the host's time of doing so."""
        if self._wanted is not self._config:
            self._use(self._wanted)
        self._begin(item)
        if item.frame.camera == "secondary":
            self._take_secondary(item, now_ns)
        elif not self._too_soon("reference", now_ns):  # a step that is not passed on must not be made
            self._take_reference(item, now_ns)

    def _too_soon(self, camera: CameraName, now_ns: int) -> bool:
        last_ns = self._issued_ns.get(camera)
        period_ns = 1e3 * self._eyes[camera].info.frame_period_us
        return last_ns is not None and now_ns - last_ns < SPACING * period_ns

    def _begin(self, item: Stamped) -> None:
        if not self._begun:
            self._begun = True
            first = self._eyes["reference"].starting[0]
            self._reference = of_reference.first(first, item.t_ns)
            self._secondary = of_secondary.first(
                self._low.ev_from(first), self._high.ev_from(first), item.t_ns
            )

    def _take_reference(self, item: Stamped, now_ns: int) -> None:
        frame = item.frame
        seen = self._reference_seen = self._meter(frame, "reference")
        if self._config.secondary.mode == "auto" and self._orders:
            self._secondary = of_secondary.decide_order(
                self._secondary, seen, item.t_ns, self._config.secondary
            )
        if self._config.reference.mode == "auto":
            plan = self._reference = of_reference.decide(
                self._reference,
                seen,
                frame.exposure,
                item.t_ns,
                self._limits["reference"],
                self._config.reference,
            )
            self._told.held("reference", plan.cause, plan.off_ev, plan.beyond_ev)
            if (plan.exposure,) != self._issued["reference"]:
                self._issue(
                    Decision("reference", frame.seq, item.t_ns, (plan.exposure,), plan.cause, seen), now_ns
                )

    def _take_secondary(self, item: Stamped, now_ns: int) -> None:
        frame, config, reference = item.frame, self._config.secondary, self._reference.exposure
        seen: Metered | None = None
        cause = "follows the reference"
        low = is_low(frame.exposure, reference)
        if config.mode == "auto" and low is not None and self._reference_seen is not None:
            seen = self._meter(frame, "low" if low else "high")
            decide = of_secondary.decide_low if low else of_secondary.decide_high
            plan = self._secondary = decide(
                self._secondary, seen, frame.exposure, reference, self._reference_seen, item.t_ns, config
            )
            cause = (
                f"low {plan.low.value:+.1f} EV: {plan.low_cause}; high {plan.high.value:+.1f} EV: "
                f"{plan.high_cause}; {' '.join(plan.order)}: {plan.order_cause}"
            )
            self._told.held("secondary", cause, 0.0, 0.0)
        cycle = self._cycle(reference)
        changed = of_secondary.unequal(cycle, self._issued["secondary"], WORTH_EV)
        if changed and not self._too_soon("secondary", now_ns):
            self._issue(Decision("secondary", frame.seq, item.t_ns, cycle, cause, seen), now_ns)

    def _cycle(self, reference: Exposure) -> tuple[Exposure, ...]:
        """What the secondary should cycle through; its settings are kept to split the next ones alike."""
        plan, limits = self._secondary, self._limits["secondary"]
        self._low = split(reference.light * 2.0**plan.low.value, limits, self._low)
        self._high = split(reference.light * 2.0**plan.high.value, limits, self._high)
        return of_secondary.cycle(plan, self._low, self._high)

    def _meter(self, frame: Frame, kind: Literal["low", "reference", "high"]) -> Metered:
        info = self._eyes[frame.camera].info
        seen = meter_frame(frame, info, self._config.secondary.clipped_share)
        self._told.metered(kind, seen)
        return seen

    def _issue(self, decision: Decision, now_ns: int) -> None:
        camera = decision.camera
        self._issued_ns[camera] = now_ns
        try:
            self._eyes[camera].set_exposures(decision.exposures)
        except CameraError as error:  # it may be away for a moment; the next frame tries again
            self._refusing.add(camera)
            if camera == "secondary" and len(decision.exposures) > 2:
                # Not every camera can take one exposure twice in a row: that is a wish, the rest is not.
                self._secondary = replace(self._secondary, order=of_secondary.EVEN)
                self._orders = False
            self._told.refused(camera, str(error))
            return
        self._issued[camera] = decision.exposures
        if camera in self._refusing:
            self._refusing.discard(camera)
            self._told.refused(camera, None)
        self._told.decided(decision)


def _limits(
    section: ReferenceExposureConfig | SecondaryExposureConfig, eye: Eye, half_period_us: float | None
) -> Limits:
    longest_us = min(section.longest_us, eye.info.frame_period_us)
    return Limits(
        shortest_us=min(section.shortest_us, longest_us),
        longest_us=longest_us,
        least_gain_db=eye.least_gain_db,
        most_gain_db=max(section.most_gain_db, eye.least_gain_db),
        half_period_us=half_period_us,
    )
