"""Frame ids made one endless count."""

from __future__ import annotations

NARROW = 65535
"""GigE Vision block ids have 16 bits and skip 0: 65535 is followed by 1 (GigE Vision 1.2, 24.2)."""


class FrameIds:
    """One run of a camera, from its start to its loss.

    ``narrow`` ids wrap; USB3 Vision and GigE Vision 2 with extended ids count in 64 bits, which an id above
    65535 shows.
    """

    def __init__(self, narrow: bool = True) -> None:
        self._narrow = narrow
        self._last: int | None = None
        self._count = 0

    def count(self, frame_id: int) -> int:
        """Frames since the first one, those included that never arrived; the first is 0."""
        if frame_id > NARROW:
            self._narrow = False
        if self._last is not None:
            step = frame_id - self._last
            self._count += step % NARROW if self._narrow else step
        self._last = frame_id
        return self._count
