"""How often a stage is started again, and when. Pure: times come in as arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """``restarts`` within ``window_s``; the first at once, each further one after twice the pause before."""

    restarts: int = 3
    window_s: float = 120.0
    pause_s: float = 0.5

    def next_start_s(self, before_s: Sequence[float], now_s: float) -> float | None:
        """When a stage that ended at ``now_s`` may start again; None: the budget is spent.

        ``before_s`` are the times of its earlier restarts, in order.
        """
        recent = sum(1 for t_s in before_s if now_s - t_s < self.window_s)
        if recent >= self.restarts:
            return None
        return now_s + (0.0 if recent == 0 else self.pause_s * 2.0 ** (recent - 1))
