"""A recorded session as something to judge: its groups as the device saw them, with truth where simulated."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge.develop.prepare import Prepared, Preparer
from edge.frames import CameraName, FloatImage, Group
from edge.fuse.assembly import develop_settings
from edge.fuse.stopwatch import untimed
from edge.pair import Pairer, Stamped
from edge.register.align import stand_in
from edge.register.rectify import Calibration, Rectifier, identity, parse_calibration
from edge.session.config import session_config
from edge.session.recording import Session, SessionError
from export.judging.judged import Case
from export.training.brackets import Sample, gamma_mean


def session_cases(path: Path, every: int = 1, frames: int | None = None) -> tuple[int, bool, Iterator[Case]]:
    """Every ``every``-th reference frame of a session with its pair, ``frames`` at most.

    Answers with how many there are at most, whether they have their truth, and the cases, read as they are
    asked for. Raises SessionError where there is no readable session with masters.
    """
    session = Session.open(path)
    count = len(range(0, sum(1 for _ in session.frame_records("reference")), every))
    if count == 0 or not any(True for _ in session.stamped("reference")):
        raise SessionError(
            f"{path}: no reference frame can be read; only a session recorded with masters.enabled can be "
            "judged"
        )
    simulated = session.header.simulator is not None
    total = count if frames is None else min(count, frames)
    return total, simulated, _cases(session, every, total, simulated)


def _cases(session: Session, every: int, total: int, simulated: bool) -> Iterator[Case]:
    config = session_config(session.header.config, session.path)
    cameras, transfer = session.header.cameras, session.header.transfer
    preparer = Preparer(
        develop_settings(config, cameras["reference"], transfer),
        develop_settings(config, cameras["secondary"], transfer),
        Rectifier(_calibration(session)),
        untimed(),
    )
    nominal = [exposure.light for exposure in session.header.exposures["secondary"]]
    rig = None
    if simulated:
        from hw.simulator.rig import SimulatedRig
        from hw.simulator.spec import SimulatorSpec

        rig = SimulatedRig(SimulatorSpec.from_dict(session.header.simulator or {}), None)
    given = 0
    for number, group in enumerate(groups(session, round(config.pair.max_age_ms * 1e6))):
        if number % every:
            continue
        prepared = preparer.prepare(group)
        truth = None if rig is None else rig.truth(group.reference.seq, group.reference.exposure)
        yield Case(
            f"{group.reference.seq:06d}", sample_of(prepared, truth, (min(nominal), max(nominal))), simulated
        )
        given += 1
        if given == total:
            return


def groups(session: Session, max_age_ns: int) -> Iterator[Group]:
    """Every reference frame of a recording in order, each with its decided pair."""
    pairer = Pairer(max_age_ns, None)

    def stamped(camera: CameraName) -> Iterator[Stamped]:
        return (Stamped(frame, t_ns) for frame, t_ns in session.stamped(camera))

    for item in heapq.merge(stamped("reference"), stamped("secondary"), key=lambda item: item.t_ns):
        pairer.add(item, item.t_ns)
        yield from pairer.groups(item.t_ns)
    yield from pairer.flush()


def sample_of(prepared: Prepared, truth: FloatImage | None, nominal: tuple[float, float]) -> Sample:
    """A prepared group as a sample. ``truth`` is radiance in reference units, black where None.

    ``nominal``: light of the low and high exposure as asked for, in the unit of ``Exposure.light``, for a
    group that lacks one; its picture is then what the reference says about it.
    """
    group, reference = prepared.group, prepared.reference
    unit = group.reference.exposure.light
    low_light = nominal[0] if group.low is None else group.low.exposure.light
    high_light = nominal[1] if group.high is None else group.high.exposure.light
    exposure = np.array((low_light / unit, 1.0, high_light / unit), np.float32)
    low = stand_in(reference, float(exposure[0])) if prepared.low is None else prepared.low
    high = stand_in(reference, float(exposure[2])) if prepared.high is None else prepared.high
    scaled = np.zeros_like(reference) if truth is None else np.clip(truth * exposure[0], 0.0, 1.0)
    mean = np.array([gamma_mean(image) for image in (low, reference, high)], np.float32)
    return Sample(low, reference, high, scaled, exposure, mean)


def _calibration(session: Session) -> Calibration:
    info, stored = session.header.cameras["reference"], session.header.calibration
    if stored is None:
        return identity(info.width, info.height)
    return parse_calibration(stored, f"{session.path}/session.json: calibration")
