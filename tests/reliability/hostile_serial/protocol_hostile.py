"""A serial port for pyserial, ``hostile://``: what is written to it is answered by ``Serial.answer``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from serial.serialutil import SerialBase


class Serial(SerialBase):
    """``answer`` gets each request as bytes and gives the bytes that come back."""

    answer: ClassVar[Callable[[bytes], bytes]] = staticmethod(lambda _request: b"")

    def open(self) -> None:
        self.is_open = True
        self._waiting = b""

    def close(self) -> None:
        self.is_open = False

    def from_url(self, url: str) -> None:
        """Nothing to learn from it."""

    @property
    def in_waiting(self) -> int:
        return len(self._waiting)

    def read(self, size: int = 1) -> bytes:
        taken, self._waiting = self._waiting[:size], self._waiting[size:]
        return taken

    def write(self, data: Any) -> int:
        self._waiting += type(self).answer(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Written is sent."""

    def reset_input_buffer(self) -> None:
        self._waiting = b""

    def reset_output_buffer(self) -> None:
        """Written is sent."""

    def _reconfigure_port(self) -> None:
        """There is no wire."""

    def _update_dtr_state(self) -> None:
        """There is no wire."""

    def _update_rts_state(self) -> None:
        """There is no wire."""
