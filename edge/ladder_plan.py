"""Opens the networks that the configuration names and measures what they cost on this machine."""

from __future__ import annotations

from dataclasses import dataclass

from edge.align import Aligner
from edge.config_schema import FuseConfig
from edge.engines import Engine, EngineError, open_engine
from edge.frames import Rung
from edge.fuse import probe_engine
from edge.line import LadderPlan


@dataclass(frozen=True, slots=True)
class Fusion:
    """The engines by rung, what the ladder may do with them, and what is not as it should be with them."""

    engines: dict[Rung, Engine]
    plan: LadderPlan
    problems: tuple[str, ...]


def open_fusion(
    config: FuseConfig,
    *,
    width: int,
    height: int,
    period_ns: float,
    can_wait: bool,
    aligner: Aligner | None = None,
) -> Fusion:
    """Engines and plan for images of this size. A network that fails costs its rung, not the run.

    ``period_ns`` is the reference frame period. A source that ``can_wait`` is fused on the best rung that
    would keep up with it, and stays there: it has no deadline of its own to miss.
    """
    engines: dict[Rung, Engine] = {}
    probed: dict[Rung, float] = {}
    problems: list[str] = []
    for rung, model in ((Rung.MODEL, config.model), (Rung.SMALL_MODEL, config.small_model)):
        if rung not in config.rungs or model is None:
            continue
        try:
            engine = open_engine(
                model, config.threads, (height, width), aligned=aligner is not None, tell=problems.append
            )
            probed[rung] = probe_engine(engine, height, width, aligner) * 1e9
            engines[rung] = engine
        except EngineError as error:
            problems.append(str(error))
    allowed = tuple(rung for rung in config.rungs if rung >= Rung.MERGE or rung in engines)
    budget_ns = config.deadline_share * period_ns
    if can_wait:
        fast = tuple(rung for rung in allowed if probed.get(rung, 0.0) <= budget_ns)
        return Fusion(engines, LadderPlan(fast, probed, None), tuple(problems))
    return Fusion(engines, LadderPlan(allowed, probed, budget_ns), tuple(problems))
