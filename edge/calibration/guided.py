"""A person moves a board before two cameras: what is taken, what is known so far, what to do next."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from edge.calibration.board import Detection
from edge.calibration.gather import Darkroom, Moment, shot_of
from edge.calibration.guide import Advice, advise, coverage, is_new
from edge.calibration.measure import BoardSession
from edge.calibration.shots import Shot
from edge.calibration.solve import Solution, solve
from edge.calibration.views import SHARED_CORNERS, SolveError, View

STILL_PX = 1.0
"""Corners may have moved by so much since the moment before; a hand needs a second to be that still."""
MOST_VIEWS = 40


class Guided:
    """Looks at moments one after the other and keeps those that bring something new.

    ``look`` belongs to one thread, ``status`` may be read from any.
    """

    def __init__(self, room: Darkroom, collected: BoardSession, size: tuple[int, int]) -> None:
        self._room, self._collected, self._size = room, collected, size
        self._last: View | None = None
        self._solution: Solution | None = None
        self._problem = ""
        self._advice = advise((), collected.board, size)
        self._lock = threading.Lock()
        self._status: dict[str, Any] = {}
        self._publish(None, taken=False)

    @property
    def advice(self) -> Advice:
        """What the person should do next."""
        return self._advice

    @property
    def done(self) -> bool:
        """Whether there is nothing left to add."""
        return self._advice.done or len(self._collected.views) >= MOST_VIEWS

    def look(self, moment: Moment) -> tuple[Shot, View, bool]:
        """The pictures of a moment, what they show of the board, and whether they were kept."""
        shot, view = shot_of(moment, self._room, self._collected.board)
        kept = self._still(view) and is_new(view, self._collected.views, self._collected.board, self._size)
        if kept:
            self._collected.add(shot, view)
            self._advice = advise(self._collected.views, self._collected.board, self._size)
            self._solve()
        self._last = view
        self._publish(view, kept)
        return shot, view, kept

    def status(self) -> dict[str, Any]:
        """For the page: plain values."""
        with self._lock:
            return self._status

    def _still(self, view: View) -> bool:
        """Whether both cameras see the board where they saw it the moment before."""
        if self._last is None:
            return False
        return all(
            _moved_px(getattr(self._last, name), getattr(view, name)) <= STILL_PX
            for name in ("reference", "secondary")
        )

    def _solve(self) -> None:
        try:
            self._solution = solve(self._collected.views, self._collected.board, self._size)
            self._problem = ""
        except SolveError as error:
            self._solution, self._problem = None, str(error)

    def _publish(self, view: View | None, taken: bool) -> None:
        views, solution = self._collected.views, self._solution
        seen = {
            name: 0 if view is None or getattr(view, name) is None else len(getattr(view, name).ids)
            for name in ("reference", "secondary")
        }
        mirrored = view is not None and any(
            found is not None and found.mirrored for found in (view.reference, view.secondary)
        )
        status = {
            "board": self._collected.board.to_dict(),
            "size": list(self._size),
            "corners": self._collected.board.corners,
            "seen": seen,
            "mirrored": mirrored,
            "taken": taken,
            "views": len(views),
            "advice": {"kind": self._advice.kind, "text": self._advice.text, "place": self._advice.place},
            "coverage": {
                name: coverage(_corners(views, name), self._size).tolist()
                for name in ("reference", "secondary")
            },
            "rms_px": None if solution is None else round(solution.rms_px, 3),
            "view_rms_px": {} if solution is None else solution.view_rms_px,
            "left_out": {} if solution is None else solution.left_out,
            "baseline_mm": None if solution is None else round(solution.mounting.baseline_m * 1e3, 2),
            "problem": self._problem,
            "done": self.done,
        }
        with self._lock:
            self._status = status


def _corners(views: Sequence[View], name: str) -> list[Any]:
    return [getattr(v, name).corners for v in views if getattr(v, name) is not None]


def _moved_px(before: Detection | None, now: Detection | None) -> float:
    if before is None or now is None:
        return float("inf")
    common, i, j = np.intersect1d(before.ids, now.ids, return_indices=True)
    if len(common) < SHARED_CORNERS:
        return float("inf")
    return float(np.median(np.hypot(*(now.corners[j] - before.corners[i]).T)))
