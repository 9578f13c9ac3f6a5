"""The unit of brightness of the video while the reference exposure changes.

A fused frame comes in units of its own reference exposure: 1.0 is what saturates *that*. Shown so, every
change of the camera's setting would change the picture: one that arrives a frame late, a gain that lands
before its exposure time, or a gain rounded to a tenth of a decibel would each be a step. But every frame says
what it was taken with, so the video is shown against an anchor instead, the light that saturates 1.0 *of the
video*. The anchor follows the reference exposure slowly and without a step, and what the camera does between
two frames is divided out exactly.

It is a function of the frames alone, so fusing a recording again shows the same brightness.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from edge.frames import Exposure

LAG_S = 0.3
"""Time constant with which the anchor follows."""
REST_EV = 1e-4
"""Nearer than this the anchor *is* the reference exposure, and frames pass untouched."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """``light_ev`` is log2 of the ``Exposure.light`` that saturates 1.0 of the video, None before the first
    frame; ``t_ns`` the time of the last one. A step is at most ``ev_per_s`` times the time that passed and
    never more than ``ev_per_frame``.
    """

    ev_per_s: float
    ev_per_frame: float
    light_ev: float | None = None
    t_ns: int = 0

    def step(self, reference: Exposure, t_ns: int) -> Anchor:
        """The anchor for a frame taken with ``reference`` at ``t_ns``."""
        goal = math.log2(reference.light)
        if self.light_ev is None:
            return replace(self, light_ev=goal, t_ns=t_ns)
        dt_s = max(t_ns - self.t_ns, 0) * 1e-9
        most = min(self.ev_per_s * dt_s, self.ev_per_frame)
        rest = goal - self.light_ev
        if abs(rest) <= min(REST_EV, most):
            return replace(self, light_ev=goal, t_ns=t_ns)
        step = rest * (1.0 - math.exp(-dt_s / LAG_S))
        return replace(self, light_ev=self.light_ev + min(max(step, -most), most), t_ns=t_ns)

    def scale(self, reference: Exposure) -> float:
        """What radiance in units of ``reference`` is multiplied with to be shown; exactly 1.0 at rest."""
        if self.light_ev is None:
            return 1.0
        rest = self.light_ev - math.log2(reference.light)
        return 1.0 if rest == 0.0 else 2.0**rest
