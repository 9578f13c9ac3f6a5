"""How steady fused sequences are, ours beside a single camera's that alternates its exposure.

The bars are those of the project: the fused sequence deviates (LSD, mu domain) at most 0.001 more than the
truth, and where the low/high pair changes the mean luminance steps at most 0.002 beyond the scene's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from edge.frames import FloatImage
from export.compare.row import Row
from export.judging.judge import Figures, Steadiness
from export.judging.metrics import psnr_linear, psnr_mu
from export.judging.setups import Moment, Shoot, alternating_camera, dual_camera

LSD_BAR = 0.001
STEP_BAR = 0.002
Setup = Callable[[Shoot], Iterator[Moment]]

OURS = "two cameras"
SETUPS: dict[str, Setup] = {
    OURS: dual_camera,
    "one camera, 3 exposures": lambda shoot: alternating_camera(shoot, 3),
    "one camera, 2 exposures": lambda shoot: alternating_camera(shoot, 2),
}


@dataclass(slots=True)
class Watched:
    """One method on one setup, frame by frame."""

    steadiness: Steadiness = field(default_factory=Steadiness)
    psnr_mu: list[float] = field(default_factory=list)
    psnr_linear: list[float] = field(default_factory=list)

    def add(self, answer: FloatImage, truth: FloatImage) -> None:
        """The next frame, on the truth's scale."""
        self.steadiness.add(answer)
        self.psnr_mu.append(psnr_mu(answer, truth))
        self.psnr_linear.append(psnr_linear(answer, truth))


@dataclass(frozen=True, slots=True)
class Flicker:
    """What came of one scene and setup: figures and curves by method; the truth is one of them."""

    scene: str
    setup: str
    times_s: tuple[float, ...]
    figures: dict[str, Figures]
    curves: dict[str, tuple[float, ...]]

    def bars(self, method: str) -> tuple[bool, bool]:
        """Whether ``method`` keeps LSD and step within their bars."""
        figures = self.figures[method]
        return figures["lsd_beyond"] <= LSD_BAR, figures["step_at_change"] <= STEP_BAR


def watch(
    shoot: Shoot,
    setup: str,
    rows: Sequence[Row],
    seen: Callable[[], None] = lambda: None,
) -> Flicker:
    """Film ``shoot`` (two frames at least) with ``setup``, fuse it with each row; ``seen`` once a frame."""
    watched = {row.name: Watched() for row in rows}
    truth = Steadiness()
    times, groups = [], []
    for moment in SETUPS[setup](shoot):
        for row in rows:
            watched[row.name].add(_fused(row, moment), moment.truth)
        truth.add(moment.truth)
        times.append(moment.t_s)
        groups.append(moment.group)
        seen()
    changes = [a != b for a, b in pairwise(groups)]
    figures: dict[str, Figures] = {"truth": truth.figures(None)}
    curves = {"truth": tuple(truth.curve)}
    for name, method in watched.items():
        steady = method.steadiness
        figures[name] = {
            "psnr_mu": float(np.mean(method.psnr_mu)),
            "psnr_linear": float(np.mean(method.psnr_linear)),
            **steady.figures(truth),
            "step_at_change": _step_at(changes, steady.curve, truth.curve),
        }
        curves[name] = tuple(steady.curve)
    return Flicker(shoot.scene, setup, tuple(times), figures, curves)


def _fused(row: Row, moment: Moment) -> FloatImage:
    answer: FloatImage = np.clip(row.method(moment.sample) * np.float32(moment.to_low), 0.0, 1.0)
    return answer


def _step_at(changes: Iterable[bool], curve: Sequence[float], truth: Sequence[float]) -> float:
    """Largest step beyond the truth's among those that ``changes`` marks."""
    steps = np.abs(np.diff(np.asarray(curve) - np.asarray(truth)))
    return float(np.max(steps[np.array(list(changes), bool)], initial=0.0))
