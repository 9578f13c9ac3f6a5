"""The whole measurement: from pictures of a board, or of any scene, to a calibration with its quality."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from edge.calibration.board import Board, find_board
from edge.calibration.board_light import Samples, board_light, white_samples
from edge.calibration.features import Instant, match
from edge.calibration.gather import board_grey
from edge.calibration.guide import coverage_share
from edge.calibration.maps import nearest_homography, undistorted
from edge.calibration.model import Calibration, Matrix, Mode, as_rows
from edge.calibration.photometry import Sight, match_light
from edge.calibration.selfcal import fit_views
from edge.calibration.shots import Shot
from edge.calibration.solve import Solution, solve
from edge.calibration.views import View
from edge.register.rectify import Rectifier

Advance = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wishes:
    """How the views shall be brought together; see `Calibration`."""

    mode: Mode = "rectify"
    plane_m: float | None = None
    undistort_reference: bool = False
    wide: bool = False
    baseline_m: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A calibration, a pair of pictures to show it on, and how far their subject was (None: unknown)."""

    calibration: Calibration
    shown: Shot
    shown_m: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class BoardSession:
    """Collects views of a board. ``add`` as many as there are, then ``solved``."""

    board: Board
    size: tuple[int, int] | None = None
    views: list[View] = field(default_factory=list)
    _light: dict[str, tuple[dict[tuple[int, int], Samples], dict[tuple[int, int], Samples], float]] = field(
        default_factory=dict
    )
    _shown: tuple[int, Shot] | None = None

    def look(self, shot: Shot) -> View:
        """The board in both pictures of ``shot``; nothing is kept."""
        return View(
            shot.name,
            find_board(board_grey(shot.reference), self.board),
            find_board(board_grey(shot.secondary, 1.0 / shot.ratio), self.board),
        )

    def add(self, shot: Shot, view: View | None = None) -> View:
        """Keep what ``shot`` shows of the board; ``view`` if it was looked at before."""
        view = view or self.look(shot)
        self.size = shot.reference.shape[1], shot.reference.shape[0]
        self.views.append(view)
        shared = len(view.shared()[0])
        if view.reference is not None and view.secondary is not None and shared:
            self._light[view.name] = (
                white_samples(shot.reference, view.reference, self.board),
                white_samples(shot.secondary, view.secondary, self.board),
                shot.ratio,
            )
            if self._shown is None or shared > self._shown[0]:
                self._shown = shared, shot
        return view

    def solved(self, wishes: Wishes) -> Measured:
        """Raises SolveError."""
        size = self.size or (0, 0)
        solution = solve(self.views, self.board, size, wide=wishes.wide, baseline_m=wishes.baseline_m)
        assert self._shown is not None, "solve() refuses views without shared corners"
        light = board_light([part for name, part in self._light.items() if name in solution.view_rms_px])
        made = Calibration(
            size[0],
            size[1],
            as_rows(np.eye(3)),
            "rectify",
            solution.reference,
            solution.secondary,
            solution.mounting,
            wishes.plane_m,
            False,
            None if light is None else light[0],
            self.board.to_dict(),
        )
        matrix, off_px = nearest_homography(made)
        used = [view for view in self.views if view.name in solution.view_rms_px]
        quality = _board_quality(solution, made, used, off_px)
        if light is not None:
            quality["light"] = light[1]
        made = replace(
            made,
            homography=as_rows(matrix),
            mode=wishes.mode,
            undistort_reference=wishes.undistort_reference and wishes.mode == "rectify",
            quality=quality,
        )
        shown = self._shown[1]
        view = next(view for view in self.views if view.name == shown.name)
        return Measured(made, shown, _distance_m(view, made, self.board), solution.doubts)


def measure_scene(
    material: Iterable[Instant], size: tuple[int, int], *, model: str = "auto", focal_px: float | None = None
) -> Measured:
    """Self-calibration: the map most scene details agree on, and the light match. Raises TwinhdrError."""
    instants = list(material)
    fit = fit_views([match(instant) for instant in instants], size, model=model, focal_px=focal_px)
    rough = Calibration(size[0], size[1], as_rows(fit.matrix))
    rectifier = Rectifier(rough)
    sights = [
        Sight(instant.before, rectifier.rectify(instant.secondary), instant.ratio)
        for instant in instants
        if 0.0 <= instant.share <= 1.0
    ]
    light = match_light(sights)
    quality: dict[str, Any] = {
        "method": "scene",
        "model": fit.model,
        "instants": len(instants),
        "matches": fit.matches,
        "agreeing": fit.agreeing,
        "residual_px": round(fit.residual_px, 4),
        "uncertain_px": round(fit.uncertain_px, 4),
    }
    if light is not None:
        quality["light"] = light[1]
    notes = []
    if fit.uncertain_px > 1.0:
        notes.append(
            f"two halves of the recording differ by {2 * fit.uncertain_px:.1f} px: film longer, or a scene "
            f"with "
            "more texture and farther away"
        )
    best = max(instants, key=lambda instant: -abs(np.log(instant.ratio)))
    shown = Shot(best.name, best.before, best.secondary, best.ratio)
    made = replace(rough, photometry=None if light is None else light[0], quality=quality)
    return Measured(made, shown, None, tuple(notes))


def epipolar_px(calibration: Calibration, views: Sequence[View]) -> float:
    """Rms distance in px of the secondary's corners from the lines that the reference's corners demand."""
    reference, secondary, mounting = calibration.reference, calibration.secondary, calibration.mounting
    assert reference is not None, "a board gives both lenses"
    assert secondary is not None, "a board gives both lenses"
    assert mounting is not None, "a board gives the mounting"
    x, y, z = mounting.translation_m
    cross = np.array(((0.0, -z, y), (z, 0.0, -x), (-y, x, 0.0)))
    essential = cross @ mounting.rotation()
    off = []
    for view in views:
        _, mine, other = view.shared()
        one = np.column_stack((undistorted(reference, mine.astype(np.float64)), np.ones(len(mine))))
        two = np.column_stack((undistorted(secondary, other.astype(np.float64)), np.ones(len(other))))
        lines = one @ essential.T
        off.append((two * lines).sum(axis=1) / np.hypot(lines[:, 0], lines[:, 1]) * secondary.fx)
    return float(np.sqrt(np.mean(np.concatenate(off) ** 2)))


def _board_quality(
    solution: Solution, made: Calibration, used: Sequence[View], off_px: float
) -> dict[str, Any]:
    size = made.width, made.height
    return {
        "method": "board",
        "views": len(used),
        "reprojection_rms_px": round(solution.rms_px, 4),
        "epipolar_rms_px": round(epipolar_px(made, used), 4),
        "homography_fit_px": round(off_px, 4),
        "tilt_spread_deg": round(solution.spread_deg, 1),
        "baseline_mm": round(solution.mounting.baseline_m * 1e3, 3),
        "rotation_deg": [round(v, 4) for v in solution.mounting.rotation_deg],
        "focal_error_percent": [round(100 * v, 3) for v in solution.focal_error],
        "coverage_share": {
            name: round(coverage_share([getattr(v, name).corners for v in used], size), 3)
            for name in ("reference", "secondary")
        },
        "view_rms_px": {name: round(value, 4) for name, value in solution.view_rms_px.items()},
        "left_out": dict(solution.left_out),
    }


def _distance_m(view: View, calibration: Calibration, board: Board) -> float | None:
    lens = calibration.reference
    if view.reference is None or lens is None:
        return None
    points = board.points(view.reference.ids)
    _, turn, shift = cv2.solvePnP(points, view.reference.corners, lens.matrix(), lens.coefficients())
    middle: Matrix = cv2.Rodrigues(turn)[0] @ points.mean(axis=0).reshape(3, 1) + shift
    return float(middle[2, 0])
