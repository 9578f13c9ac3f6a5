"""What the camera writes behind each image about how it was taken. Reading it does not call the device."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

from edge.frames import Exposure
from hw.camera import CameraError
from hw.gige import quirks as q
from hw.gige.aravis import call
from hw.gige.nodes import Nodes

log = logging.getLogger(__name__)

SAME_SHARE = 0.002
"""A chunk this near to a setting is that setting: some cameras count exposure in sensor rows."""


class Chunks:
    """Switches on what the camera has of exposure and gain; where it has none, ``exposure`` is None.

    Raises CameraLostError or HeldError.
    """

    def __init__(self, nodes: Nodes, camera: Any, quirks: q.Quirks, where: str) -> None:
        self._where = where
        self._quirks = quirks
        self._nodes: dict[str, tuple[str, bool]] = {}
        self._parser: Any = None
        try:
            self._switch_on(nodes)
        except CameraError as error:
            if type(error) is not CameraError:
                raise
            log.info("%s: no chunk data (%s)", where, error)
            self._nodes = {}
        if "exposure" in self._nodes:
            self._parser = camera.create_chunk_parser()
            log.info("%s writes %s into each frame", where, ", ".join(self._nodes))
        else:
            log.info("%s does not write its exposure into the frames", where)

    def exposure(self, buffer: Any, planned: Sequence[Exposure]) -> Exposure | None:
        """What the frame in ``buffer`` was taken with; of ``planned`` the one that it rounds to, if any."""
        if self._parser is None or not buffer.has_chunks():
            return None
        try:
            exposure_us = self._value(buffer, "exposure")
            gain = self._value(buffer, "gain") if "gain" in self._nodes else None
        except CameraError as error:
            log.debug("%s", error)
            return None
        if not (math.isfinite(exposure_us) and exposure_us > 0):
            return None
        near = min(planned, key=lambda each: abs(each.exposure_us - exposure_us))
        gain_db = near.gain_db if gain is None else q.gain_db(self._nodes["gain"][0], gain, self._quirks)
        same = abs(near.exposure_us / exposure_us - 1.0) <= SAME_SHARE and abs(near.gain_db - gain_db) < 0.01
        return near if same else Exposure(exposure_us, gain_db)

    def _switch_on(self, nodes: Nodes) -> None:
        if not nodes.has("ChunkModeActive"):
            return
        nodes.set("ChunkModeActive", True)
        offered = nodes.entries("ChunkSelector")
        for meaning in ("exposure", "gain"):
            entries, names = q.CHUNKS[meaning]
            entry = next((name for name in entries if name in offered), None)
            if entry is None:
                continue
            nodes.set("ChunkSelector", entry)
            nodes.set("ChunkEnable", True)
            for name in names:
                try:
                    self._nodes[meaning] = (name, nodes.is_float(name))
                except CameraError:
                    continue
                break
        if "exposure" not in self._nodes:
            nodes.set("ChunkModeActive", False)

    def _value(self, buffer: Any, meaning: str) -> float:
        name, is_float = self._nodes[meaning]
        read = self._parser.get_float_value if is_float else self._parser.get_integer_value
        return float(call(f"{self._where}: {name}", read, buffer, name))
