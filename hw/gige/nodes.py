"""A camera's GenICam nodes by name, whatever their type. Every call goes to the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hw.camera import CameraError
from hw.gige.aravis import call, load


class Nodes:
    """``where`` names the camera in errors. Each method raises CameraLostError, HeldError or CameraError."""

    def __init__(self, device: Any, where: str) -> None:
        self._device = device
        self._where = where
        self._aravis = load()

    def has(self, name: str) -> bool:
        """Whether the camera has the node and offers it now."""
        return bool(call(self._at(name), self._device.is_feature_available, name))

    def first(self, names: Sequence[str]) -> str | None:
        """The first of several spellings that the camera has."""
        return next((name for name in names if self.has(name)), None)

    def number(self, name: str) -> float:
        if self._is_integer(name):
            return float(call(self._at(name), self._device.get_integer_feature_value, name))
        return float(call(self._at(name), self._device.get_float_feature_value, name))

    def set_number(self, name: str, value: float) -> float:
        """Write ``value``, brought into the node's range; return what the camera made of it."""
        low, high = self.bounds(name)
        within = min(max(value, low), high)
        if self._is_integer(name):
            step = max(1, int(call(self._at(name), self._device.get_integer_feature_increment, name)))
            whole = int(low) + round((within - low) / step) * step
            call(self._at(name), self._device.set_integer_feature_value, name, min(whole, int(high)))
        else:
            call(self._at(name), self._device.set_float_feature_value, name, float(within))
        return self.number(name)

    def bounds(self, name: str) -> tuple[float, float]:
        if self._is_integer(name):
            bounds = call(self._at(name), self._device.get_integer_feature_bounds, name)
        else:
            bounds = call(self._at(name), self._device.get_float_feature_bounds, name)
        return float(bounds[0]), float(bounds[1])

    def step(self, name: str) -> int:
        """Increment of an integer node."""
        return max(1, int(call(self._at(name), self._device.get_integer_feature_increment, name)))

    def text(self, name: str) -> str:
        return str(call(self._at(name), self._device.get_string_feature_value, name))

    def set(self, name: str, value: str | bool) -> None:
        """Write an entry of an enumeration, or a switch."""
        if isinstance(value, bool):
            call(self._at(name), self._device.set_boolean_feature_value, name, value)
        else:
            call(self._at(name), self._device.set_string_feature_value, name, value)

    def entries(self, name: str) -> list[str]:
        """What an enumeration offers now; empty where there is no such node."""
        if not self.has(name):
            return []
        return list(
            call(self._at(name), self._device.dup_available_enumeration_feature_values_as_strings, name)
        )

    def execute(self, name: str) -> None:
        call(self._at(name), self._device.execute_command, name)

    def is_float(self, name: str) -> bool:
        return isinstance(self._node(name), self._aravis.GcFloat)

    def _is_integer(self, name: str) -> bool:
        node = self._node(name)
        return isinstance(node, self._aravis.GcInteger) and not isinstance(node, self._aravis.GcFloat)

    def _node(self, name: str) -> Any:
        node = self._device.get_feature(name)
        if node is None:
            raise CameraError(f"{self._at(name)}: the camera has no such node")
        return node

    def _at(self, name: str) -> str:
        return f"{self._where}: {name}"
