"""Cameras that are gone, frozen, or send what cannot be used; GigE Vision over a real network stack."""

from __future__ import annotations

import signal

from tests.reliability.bench import Bench
from tests.reliability.gige import gige_trial, missing
from tests.reliability.losses import FUSED, REFERENCE, SECONDARY
from tests.reliability.table import Row, fault

AWAY_S = 3.0
BACK_S = 5.0
"""The published figure: recording again within this time of the replug."""
FROZEN_S = 8.0
FPS = {REFERENCE: 30, FUSED: 30, SECONDARY: 15}


def suffering(name: str, seconds: float) -> dict[str, int | None]:
    """What may be lost while a camera is away for ``seconds`` and coming back."""
    streams = (REFERENCE, FUSED) if name == "reference" else (SECONDARY,)
    return {stream: round((seconds + BACK_S + 1.0) * FPS[stream]) for stream in streams}


def gone(bench: Bench, name: str) -> Row:
    with gige_trial(bench) as gige:
        trial, camera = gige.trial, gige.cameras[name]
        trial.begin()
        camera.kill()
        trial.says(f"{name} camera", within_s=3.0)
        trial.lasts(AWAY_S)
        camera.start()
        trial.since()
        trial.back(within_s=BACK_S)
        trial.quiet(but=("flicker",))
        return trial.finish(
            suffers=suffering(name, AWAY_S + 1.0),
            tells=(f"{name} camera",),
            note=f"while it was away for {AWAY_S:.0f} s and coming back",
            unexplained=tuple(suffering(name, 0.0)),
        )


def frozen(bench: Bench, name: str) -> Row:
    with gige_trial(bench) as gige:
        trial, camera = gige.trial, gige.cameras[name]
        trial.begin()
        camera.signal(signal.SIGSTOP)
        trial.says(f"{name} camera", within_s=3.0)
        trial.lasts(FROZEN_S)
        camera.signal(signal.SIGCONT)
        trial.since()
        trial.back(within_s=BACK_S)
        trial.quiet()
        return trial.finish(
            suffers=suffering(name, FROZEN_S + 1.0),
            tells=(f"{name} camera",),
            note=f"while it stood still for {FROZEN_S:.0f} s and coming back",
            unexplained=tuple(suffering(name, 0.0)),
        )


@fault(
    "reference_gone",
    "reference camera gone",
    f"its power is cut for {AWAY_S:.0f} s",
    missing=missing,
)
def reference_gone(bench: Bench) -> Row:
    return gone(bench, "reference")


@fault("secondary_gone", "secondary camera gone", "the same", missing=missing)
def secondary_gone(bench: Bench) -> Row:
    return gone(bench, "secondary")


@fault(
    "reference_frozen",
    "reference camera frozen",
    f"it answers and sends nothing for {FROZEN_S:.0f} s, then goes on where it was",
    missing=missing,
)
def reference_frozen(bench: Bench) -> Row:
    return frozen(bench, "reference")


@fault("secondary_frozen", "secondary camera frozen", "the same", missing=missing)
def secondary_frozen(bench: Bench) -> Row:
    return frozen(bench, "secondary")


@fault(
    "camera_stuck",
    "camera sends one and the same picture",
    f"the reference repeats the counts of one exposure for {FROZEN_S:.0f} s, with new numbers and stamps",
    missing=missing,
)
def camera_stuck(bench: Bench) -> Row:
    with gige_trial(bench) as gige:
        trial, camera = gige.trial, gige.cameras["reference"]
        trial.begin()
        camera.signal(signal.SIGUSR1)
        trial.says("reference picture", within_s=6.0)
        trial.lasts(FROZEN_S)
        camera.signal(signal.SIGUSR1)
        trial.quiet()
        return trial.finish(suffers={}, tells=("reference picture",), note="but all of them show the same")


@fault(
    "cameras_corrupt",
    "cameras corrupt",
    "of 5 % of all frames a packet is lost for good, and of 1 % of the packets the first attempt; for 10 s",
    missing=missing,
)
def cameras_corrupt(bench: Bench) -> Row:
    faults = ("--damaged-per-mille", "50", "--loss-per-mille", "10")
    with gige_trial(bench, arguments=faults) as gige:
        trial = gige.trial
        trial.filming(more=30)
        trial.watch.begin()
        trial.lasts(10.0)
        drops = trial.watch.status["totals"]["drops"]
        said = {key: total for key, total in drops.items() if "capture" in key and total}
        trial.told = "dropped frames, on the page and in /metrics: " + ", ".join(sorted(said))
        suffers: dict[str, int | None] = {REFERENCE: 90, SECONDARY: 45, FUSED: 90}
        return trial.finish(suffers=suffers, tells=(), note="the damaged frames, and no others")
