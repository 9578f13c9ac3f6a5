"""Brings an opened camera into the state that the plan asks for: the same after each power cycle."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

from edge.timing.ticks import KNOWN_TICK_RATIOS, SNAP_TOLERANCE
from hw.camera import CameraError, CameraInfo
from hw.gige import gvcp
from hw.gige import quirks as q
from hw.gige.aravis import call
from hw.gige.discovery import Found
from hw.gige.nodes import Nodes
from hw.gige.pixels import WireFormat, choose
from hw.gige.plan import CameraPlan

log = logging.getLogger(__name__)

SLOW_SHARE = 0.98
TICK_TRIES, TICK_PAUSE_S = 5, 0.05
ACTION_NODES = (
    ("ActionDeviceKey", gvcp.ACTION_KEY),
    ("ActionSelector", 1),
    ("ActionGroupKey", gvcp.ACTION_KEY),
    ("ActionGroupMask", gvcp.ACTION_MASK),
)
_TIMESTAMP_CONTROL, _TIMESTAMP_HIGH, _TIMESTAMP_LOW = 0x0944, 0x0948, 0x094C
_LATCH = 2


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is true of the camera after its set-up."""

    info: CameraInfo
    wire: WireFormat
    quirks: q.Quirks


def prepare(nodes: Nodes, plan: CameraPlan, found: Found) -> Prepared:
    """Stop it, switch off what bends counts, set region and format. Raises CameraError, CameraLostError."""
    if nodes.has("AcquisitionStop"):
        nodes.execute("AcquisitionStop")  # whoever had it before may have left it filming
    triggers_off(nodes)
    for name, off in q.SWITCHED_OFF:
        if nodes.has(name):
            nodes.set(name, off)
    for name, value in q.SWITCHED_TO:
        if value in nodes.entries(name):
            nodes.set(name, value)
    spelt, wire = choose(nodes.entries("PixelFormat"), plan.pixel_format, plan.bit_depth, plan.where)
    nodes.set("PixelFormat", spelt)
    _region(nodes, plan)
    info = CameraInfo(
        name=plan.name,
        model=f"{found.vendor} {found.model}".strip(),
        serial=found.serial,
        width=plan.width,
        height=plan.height,
        pixel_format=wire.pixel_format,
        bit_depth=wire.bit_depth,
        black_level=plan.black_level,
        white_level=(1 << wire.bit_depth) - 1,
        frame_period_us=plan.period_ns / 1e3,
    )
    return Prepared(info, wire, q.quirks_of(found.vendor, found.model))


def set_frame_rate(nodes: Nodes, plan: CameraPlan) -> None:
    """Ask for the frame rate, with the exposures set before. Raises CameraError if out of reach."""
    enable = nodes.first(q.FRAME_RATE_ENABLE)
    if enable is not None:
        nodes.set(enable, True)
    rate = nodes.first(q.FRAME_RATE)
    if rate is None:
        raise CameraError(f"{plan.where}: it has none of {', '.join(q.FRAME_RATE)}; it cannot be used")
    fps = nodes.set_number(rate, plan.fps)
    resulting = nodes.first(q.RESULTING_RATE)
    if resulting is not None:
        fps = min(fps, nodes.number(resulting))
    if fps < SLOW_SHARE * plan.fps:
        raise CameraError(
            f"{plan.where}: it can film at {fps:.1f} frames per second, not {plan.fps:g}; lower its fps, its "
            "exposure or rig.width and rig.height, or choose a pixel_format with fewer bits"
        )


def triggers_off(nodes: Nodes) -> None:
    """Free run: no trigger of any kind is waited for."""
    for selector in nodes.entries("TriggerSelector"):
        nodes.set("TriggerSelector", selector)
        if nodes.has("TriggerMode"):
            nodes.set("TriggerMode", "Off")


def arm(nodes: Nodes, plan: CameraPlan, source: str) -> str:
    """Let an edge of ``source`` start the camera; the trigger that it releases, which is logged."""
    offered = nodes.entries("TriggerSelector")
    wanted = ("FrameStart",) if plan.paced else q.START_SELECTORS
    selector = next((name for name in wanted if name in offered), None)
    if selector is None and offered:
        raise CameraError(
            f"{plan.where}: its triggers are {', '.join(offered)}; needed is {' or '.join(wanted)}"
        )
    if selector is not None:
        nodes.set("TriggerSelector", selector)
    sources = nodes.entries("TriggerSource")
    if source not in sources:
        raise CameraError(
            f"{plan.where}: nothing called {source} can start it, but {', '.join(sources)}; change "
            "gige.trigger_line, or trigger.kind to software"
        )
    nodes.set("TriggerSource", source)
    if "RisingEdge" in nodes.entries("TriggerActivation"):
        nodes.set("TriggerActivation", "RisingEdge")
    burst = nodes.first(q.BURST_COUNT)
    if selector == "FrameBurstStart" and burst is not None:
        nodes.set_number(burst, nodes.bounds(burst)[1])
    for name, value in ACTION_NODES if source.startswith("Action") else ():
        if nodes.has(name):
            nodes.set_number(name, value)
    nodes.set("TriggerMode", "On")
    log.info("%s waits for %s to release its %s (of %s)", plan.where, source, selector, ", ".join(offered))
    return selector or ""


def _region(nodes: Nodes, plan: CameraPlan) -> None:
    """Width and height as planned, or an error: both cameras must deliver one size."""
    for size, offset, wanted, at in (
        ("Width", "OffsetX", plan.width, plan.offset_x),
        ("Height", "OffsetY", plan.height, plan.offset_y),
    ):
        movable = nodes.has(offset)
        if movable:
            nodes.set_number(offset, 0)
        largest = int(nodes.bounds(size)[1])
        got = nodes.set_number(size, wanted)
        if got != wanted:
            raise CameraError(
                f"{plan.where}: its {size} can be up to {largest} in steps of {nodes.step(size)}, "
                f"not {wanted}; set rig.{size.lower()} to what both cameras can deliver"
            )
        if not movable:
            continue
        step = nodes.step(offset)
        place = (largest - wanted) // 2 // step * step if at is None else at
        if at is None:
            place -= place % (2 * step) if step % 2 else 0  # the Bayer pattern begins at even pixels
        if nodes.set_number(offset, place) != place:
            raise CameraError(
                f"{plan.where}: {offset} {place} does not fit: at most {largest - wanted}, in steps of {step}"
            )


class TickWatch:
    """Compares a GigE camera's clock with the host's while it is being set up.

    Enough to tell x10 and x0.694 from 1; ``edge.timing.ticks`` learns it again from the frames. Cameras that
    cannot latch their clock count as right.
    """

    def __init__(self, device: Any, where: str) -> None:
        self._device = device
        self._where = where
        self._begin = self._latch()

    def ratio(self) -> float:
        """Counted ns for each real one: one of the known ratios, 1 where it stays undecided."""
        for _ in range(TICK_TRIES):
            end = self._latch()
            if self._begin is None or end is None:
                return 1.0
            if (found := tick_ratio(self._begin, end)) is not None:
                if found != 1.0:
                    log.warning(
                        "%s counts %g ns for each real one; its stamps are corrected", self._where, found
                    )
                return found
            time.sleep(TICK_PAUSE_S)  # the host was held up: the longer the span, the less that matters
        return 1.0

    def _latch(self) -> Latched | None:
        try:
            frequency = call(self._where, self._device.get_timestamp_tick_frequency)
            before_ns = time.monotonic_ns()
            call(self._where, self._device.write_register, _TIMESTAMP_CONTROL, _LATCH)
            after_ns = time.monotonic_ns()
            high = call(self._where, self._device.read_register, _TIMESTAMP_HIGH)
            low = call(self._where, self._device.read_register, _TIMESTAMP_LOW)
        except CameraError as error:
            if type(error) is not CameraError:
                raise
            log.debug("%s does not latch its clock: %s", self._where, error)
            return None
        return Latched(((high << 32) | low) * 1e9 / frequency, before_ns, after_ns) if frequency else None


@dataclass(frozen=True, slots=True)
class Latched:
    """The device's clock at an instant between two host times."""

    device_ns: float
    before_ns: int
    after_ns: int


def tick_ratio(begin: Latched, end: Latched) -> float | None:
    """The one known ratio that two readings allow; None where they allow several, or none. Pure."""
    counted_ns = end.device_ns - begin.device_ns
    longest_ns, shortest_ns = end.after_ns - begin.before_ns, end.before_ns - begin.after_ns
    if counted_ns <= 0 or shortest_ns <= 0:
        return None
    low = counted_ns / longest_ns * (1 - SNAP_TOLERANCE)
    high = counted_ns / shortest_ns * (1 + SNAP_TOLERANCE)
    allowed = [ratio for ratio in KNOWN_TICK_RATIOS if low <= ratio <= high]
    return allowed[0] if len(allowed) == 1 else None
