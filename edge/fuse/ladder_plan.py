"""Opens the networks that the configuration names and measures what they cost on this machine."""

from __future__ import annotations

from dataclasses import dataclass

from edge.config.schema import FuseConfig
from edge.engines import Engine, EngineError, SizedEngine, model_path, open_engine
from edge.engines.driver import probe_driver
from edge.frames import Rung
from edge.fuse.fuser import probe_engine
from edge.fuse.late_engines import Awaited
from edge.fuse.line import LadderPlan
from edge.register.align import Aligner


@dataclass(frozen=True, slots=True)
class Fusion:
    """The engines by rung, what the ladder may do with them, and what is not as it should be with them.

    ``awaited``: rungs that an engine on the GPU may still come for.
    """

    engines: dict[Rung, Engine]
    plan: LadderPlan
    problems: tuple[str, ...]
    awaited: tuple[Awaited, ...] = ()


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
    from edge.engines.choice import proof_state

    engines: dict[Rung, Engine] = {}
    probed: dict[Rung, float] = {}
    problems: list[str] = []
    awaited: list[Awaited] = []
    size, aligned = (height, width), aligner is not None
    for rung, model in ((Rung.MODEL, config.model), (Rung.SMALL_MODEL, config.small_model)):
        if rung not in config.rungs or model is None:
            continue
        told: list[str] = []
        try:
            path = model_path(model)
        except EngineError as error:
            problems.append(str(error))
            continue
        seen = proof_state(path, size)  # before it is looked for: what comes later is seen as a change
        try:
            engine = open_engine(model, config.threads, size, aligned=aligned, tell=told.append)
            probed[rung] = probe_engine(engine, height, width, aligner) * 1e9
            engines[rung] = engine
        except EngineError as error:
            told.append(str(error))
        problem = "; ".join(told)
        problems += [problem] if problem else []
        if not can_wait and not isinstance(engines.get(rung), SizedEngine) and probe_driver().gpu:
            awaited.append(Awaited(rung, path, size, aligned, seen, problem))
    allowed = tuple(rung for rung in config.rungs if rung >= Rung.MERGE or rung in engines)
    budget_ns = config.deadline_share * period_ns
    if can_wait:
        fast = tuple(rung for rung in allowed if probed.get(rung, 0.0) <= budget_ns)
        return Fusion(engines, LadderPlan(fast, probed, None), tuple(problems))
    return Fusion(engines, LadderPlan(allowed, probed, budget_ns), tuple(problems), tuple(awaited))
