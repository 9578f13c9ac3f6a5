"""Opens the networks that the configuration names and measures what they cost on this machine."""

from __future__ import annotations

from dataclasses import dataclass

from edge.config_schema import FuseConfig
from edge.engines import Engine, EngineError, open_engine
from edge.frames import Rung
from edge.fuse import probe_engine
from edge.line import LadderPlan


@dataclass(frozen=True, slots=True)
class Fusion:
    """The engines by rung, what the ladder may do with them, and why a rung is missing."""

    engines: dict[Rung, Engine]
    plan: LadderPlan
    problems: tuple[str, ...]


def open_fusion(config: FuseConfig, *, width: int, height: int, period_ns: float | None) -> Fusion:
    """Engines and plan for images of this size. A network that cannot be opened costs its rung, not the run.

    ``period_ns``: the reference frame period; None where there is no deadline, then nothing is measured.
    """
    engines: dict[Rung, Engine] = {}
    problems = []
    for rung, model in ((Rung.MODEL, config.model), (Rung.SMALL_MODEL, config.small_model)):
        if rung not in config.rungs or model is None:
            continue
        try:
            engines[rung] = open_engine(model, config.threads)
        except EngineError as error:
            problems.append(str(error))
    allowed = tuple(rung for rung in config.rungs if rung >= Rung.MERGE or rung in engines)
    if period_ns is None:
        return Fusion(engines, LadderPlan(allowed, {}, None), tuple(problems))
    probed = {rung: probe_engine(engine, height, width) * 1e9 for rung, engine in engines.items()}
    return Fusion(engines, LadderPlan(allowed, probed, config.deadline_share * period_ns), tuple(problems))
