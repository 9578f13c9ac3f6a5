"""A closed loop of the simulated sensor and automatic exposure, without fusion: fast enough to test."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.capture.reader import Intake, read_in_order_until
from edge.capture.rig import OpenRig, open_rig
from edge.config.layers import load_config
from edge.config.schema import Config
from edge.exposure.control import Decision, Told
from edge.exposure.meter import Metered
from edge.exposure.steering import steering_of
from edge.frames import CameraName, Frame
from edge.pair import Stamped
from hw.camera import Rig
from hw.simulator.rig import SimulatedRig

SMALL = "version: 1\nrig: {width: 96, height: 64}\nsimulator: {pace: max}\n"


def config_for(folder: Path, more: str) -> Config:
    """A rig of 96x64 pixels with ``more`` on top."""
    main = folder / "small.yaml"
    main.write_text(SMALL)
    (folder / "conf.d").mkdir(exist_ok=True)
    (folder / "conf.d" / "more.yaml").write_text("version: 1\n" + more)
    return load_config(main)


@dataclass
class Filmed:
    """What came of it; ``times_s`` of the reference frames, ``metered`` in the order of filming."""

    frames: dict[CameraName, list[Frame]] = field(default_factory=lambda: {"reference": [], "secondary": []})
    times_s: list[float] = field(default_factory=list)
    metered: dict[str, list[Metered]] = field(
        default_factory=lambda: {"low": [], "reference": [], "high": []}
    )
    decisions: list[Decision] = field(default_factory=list)
    beyond_ev: list[float] = field(default_factory=list)
    refused: list[str | None] = field(default_factory=list)


def lagging(opened: OpenRig, frames: int) -> OpenRig:
    """The same simulated rig with cameras that take a setting ``frames`` frames late."""
    assert isinstance(opened.rig, SimulatedRig)
    spec = opened.rig.spec
    slow = {
        name: dataclasses.replace(spec.camera(name), exposure_lag_frames=frames)
        for name in ("reference", "secondary")
    }
    return dataclasses.replace(opened, rig=SimulatedRig(dataclasses.replace(spec, **slow), None))


def film(
    config: Config, seconds: float, lag_frames: int = 1, change: Callable[[Rig], Any] | None = None
) -> Filmed:
    """Film ``seconds`` of session time in one thread, as the recorder reads a source that can wait."""
    opened = lagging(open_rig(config), lag_frames)
    if change is not None:
        opened = dataclasses.replace(opened, rig=change(opened.rig))
    rig, out = opened.rig, Filmed()

    def held(camera: CameraName, _cause: str, _off_ev: float, beyond_ev: float) -> None:
        if camera == "reference":
            out.beyond_ev.append(beyond_ev)

    told = Told(
        out.decisions.append,
        held,
        lambda kind, seen: out.metered[kind].append(seen),
        lambda _camera, text: out.refused.append(text),
    )
    steering = steering_of(config, opened, told)

    def sink(item: Stamped) -> None:
        out.frames[item.frame.camera].append(item.frame)
        if item.frame.camera == "reference":
            out.times_s.append(item.t_ns / 1e9)
        steering.take(item)

    def ended() -> bool:
        steering.act()
        return bool(out.times_s) and out.times_s[-1] >= seconds

    for start in (rig.reference.start, rig.secondary.start, rig.trigger.start):
        start()
    read_in_order_until(rig.reference, rig.secondary, Intake(sink, lambda *_: None), ended)
    return out
