"""The preview stage: the newest fused frame to the page, never in the way of the recording."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace

from edge.config.schema import Config
from edge.encode.sink import CLOSE_S
from edge.errors import ImageError
from edge.exports.contact import ContactSheet, save_sheet
from edge.fuse.line import Fused
from edge.fuse.stopwatch import Stopwatch
from edge.stages.parts import Parts
from edge.stages.rings import Rings, each
from edge.supervise.crew import Turn
from edge.supervise.heat import Allowance
from edge.tone.sdr import Rgb8
from edge.viewfinder.viewer import Viewer

log = logging.getLogger(__name__)


class Showing:
    """Asked by the fusion stage whether a picture is due; shows it in a thread of its own."""

    def __init__(self, parts: Parts, rings: Rings, watch: Stopwatch) -> None:
        self._parts = parts
        self._rings = rings
        self._watch = watch
        self._allowance = Allowance()
        self._viewer = self._new_viewer()
        self._sheet = ContactSheet(parts.session.path)
        self._saving: threading.Thread | None = None

    def allow(self, allowance: Allowance) -> None:
        """What heat and power leave. Any thread."""
        self._allowance = allowance

    def configure(self, config: Config) -> None:
        """Rate, width and quality, from the next picture on. Any thread."""
        self._parts = replace(self._parts, config=config)
        self._viewer.configure(config.preview)

    def offer(self, fused: Fused) -> None:
        """Show it, if a picture is due."""
        if self._allowance.preview and self._viewer.due(time.monotonic_ns()):
            self._rings.pictures.put(fused)

    def run(self, turn: Turn) -> None:
        """Show until the ring ends."""
        if turn.number:
            self._viewer = self._new_viewer()
        viewer = self._viewer

        def show(fused: Fused) -> None:
            viewer.show(fused, time.monotonic_ns())
            self._sheet.take(fused)
            if self._sheet.due:  # a recording that ends by force has one, too
                self._save_sheet()

        each(self._rings.pictures, turn, show)
        self._save_sheet()
        if self._saving is not None:
            self._saving.join(CLOSE_S)

    def _save_sheet(self) -> None:
        """In a thread of its own: a disk that hangs must not keep pictures from the page."""
        if self._saving is not None and self._saving.is_alive():
            return
        picture = self._sheet.render()
        if picture is not None:
            self._saving = threading.Thread(
                target=self._save, args=(picture,), name="contact picture", daemon=True
            )
            self._saving.start()

    def _save(self, picture: Rgb8) -> None:
        try:
            save_sheet(self._parts.session.path, picture)
        except ImageError as error:
            log.warning("no contact picture: %s", error)

    def _new_viewer(self) -> Viewer:
        parts = self._parts
        return Viewer(parts.config.preview, parts.hub, parts.reporter.health, self._watch)
