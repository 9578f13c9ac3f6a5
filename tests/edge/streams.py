"""Stamps of the simulated cameras without their pictures: an hour of them costs seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from edge.frames import CameraName, Exposure, Frame, FrameStatus
from hw.simulator.spec import DeviceClock, Faults, SimulatorSpec
from hw.simulator.timeline import Cycle, Fate, device_stamp, frame_fate, frame_times, used_exposure

EMPTY = np.empty((0, 0), np.uint16)
REFERENCE = Exposure(8_000.0)
LOW = Exposure(2_000.0)
HIGH = Exposure(32_000.0)


def frame(camera: CameraName, seq: int, exposure: Exposure | None = None, **changes: Any) -> Frame:
    """A frame without a picture; by default the secondary alternates, low first."""
    if exposure is None:
        exposure = REFERENCE if camera == "reference" else (LOW, HIGH)[seq % 2]
    made = Frame(camera, seq, seq * 10**7, seq * 10**7, exposure, EMPTY, "bayer_rggb", 12)
    return replace(made, **changes)


class Arrival(NamedTuple):
    """A frame and the middle of its exposure in ns after the start edge: the truth."""

    frame: Frame
    true_ns: int


def rig_spec(
    seed: int = 1,
    *,
    drift_ppm: tuple[float, float] = (12.0, -21.0),
    tick_ratio: tuple[float, float] = (1.0, 1.0),
    fps: tuple[float, float] = (30.0, 15.0),
    faults: Faults = Faults(),  # noqa: B008 - frozen
) -> SimulatorSpec:
    """The simulator's default rig with other (reference, secondary) clocks and rates."""
    base = SimulatorSpec(seed=seed)
    return replace(
        base,
        reference=replace(
            base.reference,
            frame_period_us=1e6 / fps[0],
            clock=DeviceClock(7_310_000_000, drift_ppm[0], tick_ratio[0]),
            faults=faults,
        ),
        secondary=replace(
            base.secondary,
            frame_period_us=1e6 / fps[1],
            clock=DeviceClock(91_450_000_000, drift_ppm[1], tick_ratio[1]),
            faults=faults,
        ),
    )


def arrivals(spec: SimulatorSpec, seconds: float) -> list[Arrival]:
    """What both cameras deliver in ``seconds``, in order of arrival."""
    found = [*_of(spec, "reference", seconds), *_of(spec, "secondary", seconds)]
    return sorted(found, key=lambda a: a.frame.t_host_ns)


def _of(spec: SimulatorSpec, name: CameraName, seconds: float) -> Iterable[Arrival]:
    camera = spec.camera(name)
    cycles = [Cycle(0, camera.exposures)]
    for seq in range(int(seconds * 1e6 / camera.frame_period_us)):
        fate = frame_fate(camera, spec.seed, name, seq)
        if fate is Fate.LOST:
            continue
        exposure = used_exposure(cycles, camera, spec.seed, name, seq)
        times = frame_times(camera, spec.seed, name, seq, exposure)
        yield Arrival(
            frame(
                name,
                seq,
                exposure,
                t_device_ns=device_stamp(camera.clock, times.mid_ns),
                t_host_ns=spec.host_epoch_ns + times.arrival_ns,
                status=FrameStatus.OK if fate is Fate.DELIVERED else FrameStatus.INCOMPLETE,
            ),
            times.mid_ns,
        )


def delayed(items: Iterable[Arrival], late_ns: Callable[[Frame], float]) -> list[Arrival]:
    """The same frames, each handed over later by ``late_ns``; a camera's frames keep their order."""
    last: dict[CameraName, int] = {}
    out = []
    for item in items:
        f = item.frame
        at_ns = max(last.get(f.camera, 0), f.t_host_ns + round(late_ns(f)))
        last[f.camera] = at_ns
        out.append(Arrival(replace(f, t_host_ns=at_ns), item.true_ns))
    return sorted(out, key=lambda a: a.frame.t_host_ns)
