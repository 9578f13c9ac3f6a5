"""What every source of pictures hands on."""

from __future__ import annotations

from dataclasses import dataclass

from edge.errors import EX_DATAERR, TwinhdrError
from edge.frames import FloatImage


class MaterialError(TwinhdrError):
    """There is nothing here to calibrate from. The text says what is missing."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """Both cameras' pictures of one instant, (H, W, 3) float32 linear.

    ``ratio`` is the secondary's light over the reference's.
    """

    name: str
    reference: FloatImage
    secondary: FloatImage
    ratio: float = 1.0
