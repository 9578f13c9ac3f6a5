"""One row of a comparison: a method with a name, and what its answer means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from edge.frames import FloatImage
from export.training.brackets import Sample

Method: TypeAlias = Callable[[Sample], FloatImage]
"""A bracket to (H, W, 3) float32; radiance is linear in [0, 1], 1.0 saturates the low exposure."""


@dataclass(frozen=True, slots=True)
class Row:
    """``kind``: "radiance" as ``Method`` says, or "display": a picture to look at, in [0, 1].

    A display picture has no radiance, so nothing but its structure is judged. ``note`` stands below the
    table.
    """

    name: str
    method: Method
    kind: Literal["radiance", "display"] = "radiance"
    note: str = ""
