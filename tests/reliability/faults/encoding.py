"""Encoders that never come back."""

from __future__ import annotations

from tests.reliability import shim
from tests.reliability.bench import Bench
from tests.reliability.losses import FUSED, REFERENCE, SECONDARY
from tests.reliability.table import Row, fault

HUNG_S = 10.0
"""The published figure: a stage that hangs works again within this time."""


@fault(
    "encoder_hung",
    "encoder hung",
    "one call of the HEVC encoder never returns (a library put before FFmpeg's keeps it)",
    missing=shim.missing,
)
def encoder_hung(bench: Bench) -> Row:
    hanging = shim.Shim(bench.folder)
    with bench.trial(environment=hanging.environment) as trial:
        trial.begin()
        hanging.hang_encoder("libx265")
        trial.until_it_stops("hdr", within_s=5.0)
        trial.back("hdr", within_s=HUNG_S)
        trial.says("stage encode", within_s=1.0)
        return trial.finish(suffers={FUSED: 330}, tells=("stage encode",))


@fault(
    "masters_hung",
    "masters' encoder hung",
    "the same with one call of the FFV1 encoder",
    missing=shim.missing,
)
def masters_hung(bench: Bench) -> Row:
    hanging = shim.Shim(bench.folder)
    with bench.trial(environment=hanging.environment) as trial:
        trial.begin()
        hanging.hang_encoder("ffv1")
        trial.since()
        trial.lasts(1.0)
        trial.back("reference", "secondary", within_s=HUNG_S)
        seen = trial.watch.named
        trial.recorder.until(lambda: any("masters" in name for name in seen), 2.0, "word of it")
        stream = REFERENCE if f"stage {REFERENCE}" in seen else SECONDARY
        trial.says(f"stage {stream}", within_s=1.0)
        return trial.finish(suffers={stream: 330}, tells=(f"stage {stream}",))
