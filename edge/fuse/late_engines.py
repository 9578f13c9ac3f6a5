"""Engines that become ready while a recording runs: found, opened beside it, and offered to its fusion line.

After an update of JetPack, of the model or of the picture size, engines are built for minutes
(``twinhdr-engine.service``). The recorder does not wait for them: it starts with what there is, on the CPU or
on the merge, and takes an engine over between two frames once its proof is there. Rungs share one unit of
radiance, so the change shows as detail, not as a flash.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge.engines import Engine, EngineError
from edge.frames import Rung

if TYPE_CHECKING:
    from edge.engines.choice import ProofState

log = logging.getLogger(__name__)

LAST_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Awaited:
    """A rung whose network runs on the CPU, or nowhere, on a machine with a GPU.

    ``size`` is (height, width); ``seen`` what there was of its proofs when it was last looked for, and
    ``problem`` why that was not used.
    """

    rung: Rung
    model: Path
    size: tuple[int, int]
    aligned: bool
    seen: ProofState
    problem: str


@dataclass(frozen=True, slots=True)
class Late:
    """An engine that became ready, and nanoseconds that a frame costs with it."""

    rung: Rung
    engine: Engine
    cost_ns: float


@dataclass(frozen=True, slots=True)
class Means:
    """What the watch works with. ``state`` is looked at often and must be cheap.

    ``open`` answers with the engine, or tells why there is none. ``probe`` answers with seconds per frame and
    raises EngineError. ``ready(late)`` and ``changed(problems)`` are called in a thread of the watch's own.
    """

    state: Callable[[Path, tuple[int, int]], ProofState]
    open: Callable[[Awaited, Callable[[str], None]], Engine | None]
    probe: Callable[[Engine], float]
    ready: Callable[[Late], None]
    changed: Callable[[tuple[str, ...]], None]


class EngineWatch:
    """Looks for what is ``awaited`` whenever ``poll`` is called, by one thread; work is done in another."""

    def __init__(self, awaited: Sequence[Awaited], problems: Sequence[str], means: Means) -> None:
        self._awaited = list(awaited)
        told = {one.problem for one in awaited}
        self._others = [text for text in problems if text not in told]
        self._means = means
        self._worker: threading.Thread | None = None

    @property
    def waiting(self) -> tuple[Rung, ...]:
        """Rungs that still have no engine."""
        return tuple(one.rung for one in self._awaited)

    def poll(self) -> None:
        """Look whether a proof has changed, and begin to open what it names."""
        if self._worker is not None and self._worker.is_alive():
            return
        self._worker = None
        for number, one in enumerate(self._awaited):
            state = self._means.state(one.model, one.size)
            if state != one.seen:
                self._worker = threading.Thread(
                    target=self._open, args=(number, state), name="late engine", daemon=True
                )
                self._worker.start()
                return

    def close(self) -> None:
        """Wait for what is being opened: a process that ends inside TensorRT ends with a crash."""
        if self._worker is not None:
            self._worker.join(LAST_PATIENCE_S)

    def _open(self, number: int, state: ProofState) -> None:
        one, told = self._awaited[number], [""]
        try:
            engine = self._means.open(one, lambda text: told.__setitem__(0, text))
            late = None if engine is None else Late(one.rung, engine, self._means.probe(engine) * 1e9)
        except EngineError as error:
            late, told = None, [str(error)]
        if late is None:
            log.warning("%s", told[0] or f"the engine of {one.model.stem} is gone again")
            self._awaited[number] = Awaited(one.rung, one.model, one.size, one.aligned, state, told[0])
        else:
            log.info("%s has an engine now, %.1f ms a frame", late.engine.name, late.cost_ns / 1e6)
            del self._awaited[number]
            self._means.ready(late)
        self._means.changed(tuple(filter(None, [*self._others, *(a.problem for a in self._awaited)])))
